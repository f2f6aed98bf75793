//! What an instance has below `LXD_DIR` besides its volume: the link to it, the log and device directories.

use std::io;

use lxd_db::snapshots;
use lxd_sys::Dir;
use lxd_types::error::Context;
use lxd_types::{Error, Result};

use super::InstanceKey;
use crate::SharedCore;

/// Directories with an entry of each instance, and the mode of that entry.
const DIRECTORIES: [(&str, u32); 3] = [("logs", 0o700), ("devices", 0o711), ("shmounts", 0o711)];

/// Makes what is missing; called at creation and before each start.
///
/// # Errors
/// The data directory cannot be written.
pub async fn prepare_directories(core: &SharedCore, key: &InstanceKey) -> Result<()> {
    let name = key.storage_name();
    let pool = super::pool_name(core, key).await?;
    let target = pool.map(|pool| core.paths.storage_pools().join(pool).join("containers").join(&name));
    below(core, move |root| {
        for (directory, mode) in DIRECTORIES {
            let place = root.open_dir(directory)?;
            ignore(place.mkdir(&name, mode), io::ErrorKind::AlreadyExists)?;
        }
        let containers = root.open_dir("containers")?;
        if let Some(target) = &target {
            if containers.read_link(&name).ok().as_ref() == Some(target) {
                return Ok(());
            }
            ignore(containers.remove_file(&name), io::ErrorKind::NotFound)?;
            containers.symlink(target, &name)?;
        }
        Ok(())
    })
    .await
    .context("Failed to prepare the instance's directories")
}

/// Makes `LXD_DIR/snapshots/NAME` lead to the snapshots of an instance, or removes it where there are none.
///
/// # Errors
/// The data directory cannot be written.
pub async fn link_snapshots(core: &SharedCore, key: &InstanceKey) -> Result<()> {
    let name = key.storage_name();
    let wanted = key.clone();
    let any = core.db.read(move |tx| Ok(!snapshots::list(tx, super::load(tx, &wanted)?.row.id)?.is_empty()));
    let any = match any.await {
        Err(error) if error.kind() == lxd_types::Kind::NotFound => false,
        other => other?,
    };
    let pool = super::pool_name(core, key).await?;
    let folder = core.paths.storage_pools();
    let target = pool.filter(|_| any).map(|pool| folder.join(pool).join("containers-snapshots").join(&name));
    below(core, move |root| {
        let links = root.open_dir("snapshots")?;
        if links.read_link(&name).ok() == target {
            return Ok(());
        }
        ignore(links.remove_file(&name), io::ErrorKind::NotFound)?;
        target.map_or(Ok(()), |target| links.symlink(target, &name))
    })
    .await
    .context("Failed to link the instance's snapshots")
}

/// Removes them again.
///
/// # Errors
/// Something cannot be removed.
pub async fn remove_directories(core: &SharedCore, key: &InstanceKey) -> Result<()> {
    let name = key.storage_name();
    let (_inside, backups) = (core.backup_store.enter().await, core.paths.backups());
    below(core, move |root| {
        for (directory, _) in DIRECTORIES {
            ignore(root.open_dir(directory)?.remove_tree(&name), io::ErrorKind::NotFound)?;
        }
        // They may be in a volume whose pool is not there: then they stay, and the instance goes all the same.
        let removed = Dir::open(backups).and_then(|all| all.remove_tree(format!("instances/{name}")));
        ignore(removed, io::ErrorKind::NotFound)?;
        let profiles = root.open_dir("security/seccomp")?;
        ignore(profiles.remove_file(&name), io::ErrorKind::NotFound)?;
        ignore(root.open_dir("snapshots")?.remove_file(&name), io::ErrorKind::NotFound)?;
        ignore(root.open_dir("containers")?.remove_file(&name), io::ErrorKind::NotFound)
    })
    .await
    .context("Failed to remove the instance's directories")
}

/// Gives them the name of a renamed instance.
///
/// # Errors
/// Something cannot be renamed.
pub async fn rename_directories(core: &SharedCore, old: &InstanceKey, new: &InstanceKey) -> Result<()> {
    let (from, to) = (old.storage_name(), new.storage_name());
    let (_inside, backups) = (core.backup_store.enter().await, core.paths.backups());
    below(core, move |root| {
        for (directory, _) in DIRECTORIES {
            let place = root.open_dir(directory)?;
            ignore(place.rename(&from, &to), io::ErrorKind::NotFound)?;
        }
        let [had, has] = [&from, &to].map(|name| format!("instances/{name}"));
        ignore(Dir::open(backups)?.rename(had, has), io::ErrorKind::NotFound)?;
        ignore(root.open_dir("security/seccomp")?.remove_file(&from), io::ErrorKind::NotFound)?;
        ignore(root.open_dir("snapshots")?.remove_file(&from), io::ErrorKind::NotFound)?;
        ignore(root.open_dir("containers")?.remove_file(&from), io::ErrorKind::NotFound)
    })
    .await
    .context("Failed to rename the instance's directories")?;
    link_snapshots(core, new).await?;
    prepare_directories(core, new).await
}

async fn below(
    core: &SharedCore,
    work: impl FnOnce(Dir) -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let root = core.paths.root().to_owned();
    tokio::task::spawn_blocking(move || work(Dir::open(root)?))
        .await
        .unwrap_or_else(|panic| Err(io::Error::other(Error::internal(panic.to_string()))))
}

fn ignore(result: io::Result<()>, kind: io::ErrorKind) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        other => other,
    }
}
