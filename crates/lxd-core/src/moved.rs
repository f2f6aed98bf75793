//! A data directory that was moved or copied since the daemon ran last: what is recorded with the directory's own path
//! gets the new one, so that the server is the same one there, and nothing of the old place is touched.

use std::path::{Path, PathBuf};

use lxd_db::{Tx, instances, nodes, storage_pools};
use lxd_sys::Dir;
use lxd_types::error::Context;
use lxd_types::{ConfigExt, Error, Result};

use crate::SharedCore;
use crate::instances::{InstanceKey, take_over};

/// The file in the directory of the databases that says where they were used last.
const FILE: &str = "place";

/// The longest path of a data directory.
const LIMIT: u64 = 4096;

/// Compares the place with that of the last run.
///
/// # Errors
/// The data directory or the database cannot be written.
pub async fn settle(core: &SharedCore) -> Result<()> {
    let here = core.paths.root().to_owned();
    let folder = core.paths.database();
    let before = blocking(move || read(&folder)).await?;
    if before.as_deref() == Some(&*here) {
        return Ok(());
    }
    if let Some(before) = before {
        tracing::info!(from = %before.display(), to = %here.display(), "The data directory was moved");
        let to = here.clone();
        let keys = core.db.write(move |tx| follow(tx, &before, &to)).await?;
        for key in keys {
            take_over(core, &key).await?;
        }
    }
    // Only now: what was interrupted is done again.
    let folder = core.paths.database();
    blocking(move || {
        let text = here.as_os_str().as_encoded_bytes();
        Dir::open(folder)?.write_atomic(FILE, text, 0o600)
    })
    .await
}

fn read(folder: &Path) -> std::io::Result<Option<PathBuf>> {
    match Dir::open(folder)?.read_text(FILE, LIMIT) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        text => Ok(Some(text?.into())),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|panic| Error::internal(panic.to_string()))?;
    done.context("Failed to note the place of the data directory")
}

/// Gives pools their new sources; answers the instances, whose links lead to the old place.
fn follow(tx: &Tx<'_>, from: &Path, to: &Path) -> Result<Vec<InstanceKey>> {
    for pool in storage_pools::list(tx, nodes::LONE)? {
        let Some(source) = moved(pool.config.value("source"), from, to) else { continue };
        let mut config = pool.config;
        config.insert("source".to_owned(), source);
        storage_pools::update(tx, pool.id, nodes::LONE, &pool.description, &config)?;
    }
    let names = instances::names(tx, instances::Filter::default())?;
    names.iter().map(|(project, name)| InstanceKey::stored(project, name)).collect()
}

/// The new path of what lay below the old place; none for what lies elsewhere.
fn moved(source: &str, from: &Path, to: &Path) -> Option<String> {
    let rest = Path::new(source).strip_prefix(from).ok()?;
    Some(to.join(rest).to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lay_in_the_directory_moves() {
        let new = |source: &str| moved(source, Path::new("/var/lib/lxd"), Path::new("/srv/copy"));
        assert_eq!(new("/var/lib/lxd/disks/p.img").as_deref(), Some("/srv/copy/disks/p.img"));
        for kept in ["/var/lib/lxd-other/p", "/srv/pool", "/dev/sdb", ""] {
            assert_eq!(new(kept), None, "{kept}");
        }
    }
}
