//! `POST /1.0/instances/{name}/backups`.

use std::io::{BufWriter, Write};
use std::sync::Arc;

use chrono::Utc;
use lxd_api::StatusCode;
use lxd_api::instance::{InstanceBackupsPost, InstanceSource};
use lxd_auth::Permit;
use lxd_db::instance_backups as rows;
use lxd_image::{Encoder, Packer};
use lxd_instance::backup_yaml::{BackupYaml, Index};
use lxd_storage::{Origin, Pool, SnapshotRef, VolumeRef, transfer};
use lxd_sys::Dir;
use lxd_task::operation::Operation;
use lxd_task::{OpHandle, OperationSpec};
use lxd_types::compression::Compression;
use lxd_types::names::{BackupName, InstanceName, SnapshotName};
use lxd_types::{Error, Kind, Result, snapshot_pattern};

use super::super::copy::{self, CopyOf};
use super::super::{InstanceKey, backup_yaml, load, snapshots};
use super::{BackupKey, draft, in_folder};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::projects::require_backups;
use crate::{SharedCore, Undo};

/// Bytes that are written to the disk at once.
const BLOCK: usize = 1 << 20;

/// What is packed where.
type Part = (String, Arc<Dir>);

/// Starts the making of a backup; the answer is its operation.
///
/// # Errors
/// There is no such instance, or name or compression are wrong.
pub async fn create(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    post: InstanceBackupsPost,
) -> Result<Arc<Operation>> {
    let key = InstanceKey::new(permit.project(), name);
    let wanted = key.clone();
    let taken = core.db.read(move |tx| rows::list(tx, load(tx, &wanted)?.row.id)).await?;
    if post.name.contains('/') {
        return Err(Error::bad_request("Backup names may not contain slashes"));
    }
    let own: BackupName = match post.name.as_str() {
        "" => {
            let names = taken.iter().map(|backup| backup.name.as_str());
            snapshot_pattern::next_name("backup%d", names, &Utc::now())?.parse()?
        }
        given => given.parse()?,
    };
    let (chosen, setting) = (&post.compression_algorithm, "backups.compression_algorithm");
    let compression = crate::projects::compression(core, &key.project, setting, chosen).await?;
    let spec = OperationSpec::task("Backing up instance", key.project.as_str())
        .on("backups", format!("/1.0/backups/{own}"))
        .on("instances", key.url())
        .on("containers", format!("/1.0/containers/{}", key.name))
        .by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core.operations.clone().spawn(spec, move |op| async move {
        let backup = BackupKey { instance: key, name: own.to_string() };
        run(&core, &op, &backup, &own, &post, compression)
            .await
            .map_err(|error| error.context("Create backup"))?;
        let event =
            Lifecycle::new("instance-backup-created", backup.url()).in_project(&backup.instance.project);
        core.tell(permit.caller(), event);
        Ok(())
    }))
}

async fn run(
    core: &SharedCore,
    op: &OpHandle,
    key: &BackupKey,
    name: &BackupName,
    post: &InstanceBackupsPost,
    compression: Compression,
) -> Result<()> {
    let source = InstanceSource { source: key.instance.name.to_string(), ..InstanceSource::default() };
    let origin = CopyOf::parse(&source, &key.instance.project)?;
    let _gate = copy::hold(core, op, &origin).await?;
    let with_snapshots = !(post.instance_only || post.container_only);
    let wanted = key.instance.clone();
    let model = core.db.read(move |tx| load(tx, &wanted)).await?;
    backup_yaml::renew_now(core, model.row.id).await?;
    let mut content = backup_yaml::content(core, model.row.id).await?;
    if !with_snapshots {
        content.snapshots.clear();
        content.volume_snapshots.clear();
    }
    let row = rows::Backup {
        instance_id: model.row.id,
        name: key.name.clone(),
        created: Utc::now(),
        expiry: (!post.expires_at.is_never()).then(|| post.expires_at.0.to_utc()),
        instance_only: !with_snapshots,
        ..rows::Backup::default()
    };
    let pool = snapshots::pool_of(core, &key.instance).await?;
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::ForgetBackup {
            project: key.instance.project.clone(),
            instance: key.instance.name.clone(),
            name: name.clone(),
            created: row.created,
        })
        .await?;
        let project = key.instance.project.clone();
        let record = move |tx: &lxd_db::Tx<'_>| {
            require_backups(tx, project.as_str())?;
            rows::insert(tx, &row).map(drop)
        };
        let recorded = core.db.write(record).await;
        recorded.map_err(|error| match error.kind() {
            Kind::Conflict => {
                Error::conflict(format!("Backup \"{}/{}\" already exists", key.instance.name, key.name))
            }
            _ => error,
        })?;
        core.faults.point("backup recorded")?;
        let still = still_volume(core, undo, &pool, &key.instance).await?;
        let packed =
            pack_parts(core, key, name, &pool, still.origin(&key.instance), content, compression).await;
        still.remove(&pool).await?;
        packed?;
        core.faults.point("backup packed")
    })
    .await
}

/// What is packed as the instance: its volume, or a snapshot of it that was made for this, because it runs.
struct Still {
    snapshot: Option<SnapshotRef>,
}

impl Still {
    fn origin(&self, key: &InstanceKey) -> Origin {
        match &self.snapshot {
            Some(snapshot) => Origin::Snapshot(snapshot.clone()),
            None => Origin::Volume(VolumeRef::container(&key.project, &key.name)),
        }
    }

    async fn remove(&self, pool: &Arc<dyn Pool>) -> Result<()> {
        match &self.snapshot {
            Some(snapshot) => pool.delete_snapshot(snapshot).await,
            None => Ok(()),
        }
    }
}

/// A running instance stands still only while a snapshot is made of its volume, not while that is packed.
async fn still_volume(
    core: &SharedCore,
    undo: &mut Log,
    pool: &Arc<dyn Pool>,
    key: &InstanceKey,
) -> Result<Still> {
    if !core.runtime.is_running(key) {
        return Ok(Still { snapshot: None });
    }
    let name: SnapshotName = format!("lxd-backup-{}", uuid::Uuid::new_v4().simple()).parse()?;
    let snapshot = VolumeRef::container(&key.project, &key.name).snapshot(&name);
    // It has no row, so undoing removes its files.
    undo.push(Undo::FinishDeleteSnapshot {
        project: key.project.clone(),
        instance: key.name.clone(),
        name,
        pool: super::super::pool_name(core, key).await?,
    })
    .await?;
    undo.push(Undo::Thaw { project: key.project.clone(), name: key.name.clone() }).await?;
    let entry = core.runtime.get(key).filter(|entry| entry.status == StatusCode::RUNNING);
    let running = entry.as_ref().map(|entry| &entry.running);
    snapshots::frozen(core, running, async || pool.create_snapshot(&snapshot).await).await?;
    Ok(Still { snapshot: Some(snapshot) })
}

/// Makes everything reachable that is packed, packs it, and ends that again.
async fn pack_parts(
    core: &SharedCore,
    key: &BackupKey,
    name: &BackupName,
    pool: &Arc<dyn Pool>,
    instance: Origin,
    content: BackupYaml,
    compression: Compression,
) -> Result<()> {
    let volume = VolumeRef::container(&key.instance.project, &key.instance.name);
    let mut origins = Vec::new();
    for snapshot in &content.snapshots {
        let place = format!("backup/snapshots/{}", snapshot.name);
        origins.push((place, Origin::Snapshot(volume.snapshot(&snapshot.name.parse()?))));
    }
    origins.push(("backup/container".to_owned(), instance));
    let mut parts: Vec<Part> = Vec::new();
    let mut mounted = Ok(());
    for (place, origin) in &origins {
        match transfer::mount(pool, origin).await {
            Ok(at) => parts.push((place.clone(), at.dir)),
            Err(error) => {
                mounted = Err(error);
                break;
            }
        }
    }
    let count = parts.len();
    let packed = match mounted {
        Ok(()) => pack(core, key, name, index(key, pool, content)?, parts, compression).await,
        Err(error) => Err(error),
    };
    for (_, origin) in origins.iter().take(count) {
        transfer::unmount(pool, origin).await?;
    }
    packed
}

fn index(key: &BackupKey, pool: &Arc<dyn Pool>, content: BackupYaml) -> Result<String> {
    let index = Index {
        name: key.instance.name.to_string(),
        backend: content.pool.as_ref().map_or_else(String::new, |pool| pool.driver.clone()),
        pool: pool.spec().name.to_string(),
        snapshots: content.snapshots.iter().map(|snapshot| snapshot.name.clone()).collect(),
        kind: "container".to_owned(),
        config: Some(content),
        ..Index::default()
    };
    index.render()
}

/// Writes the archive. It gets its name when it is whole.
async fn pack(
    core: &SharedCore,
    key: &BackupKey,
    name: &BackupName,
    index: String,
    parts: Vec<Part>,
    compression: Compression,
) -> Result<()> {
    let (draft, name) = (draft(name), name.clone());
    in_folder(core, &key.instance, move |folder| {
        let write = || {
            let file = folder.create(&*draft, 0o600)?;
            let out = BufWriter::with_capacity(BLOCK, file);
            let mut packer = Packer::new(Encoder::new(compression, out)?);
            packer.file("backup/index.yaml", 0o644, index.as_bytes())?;
            for (place, dir) in &parts {
                packer.tree(dir, place)?;
            }
            let mut out = packer.finish()?.finish()?;
            out.flush()?;
            out.get_ref().sync_all()?;
            folder.rename(&*draft, name.as_str())
        };
        let written = write();
        if written.is_err() {
            let _ = folder.remove_file(&*draft);
        }
        written
    })
    .await
}
