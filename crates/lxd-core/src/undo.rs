//! What an interrupted use case left to undo: one variant per kind of leftover, one idempotent `undo`.

use std::path::PathBuf;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lxd_storage::{SnapshotRef, VolumeRef};
use lxd_task::journal::Undoer;
use lxd_types::Result;
use lxd_types::names::{
    BackupName, Fingerprint, InstanceName, NetworkName, PoolName, ProjectName, SnapshotName, VolumeName,
};
use serde::{Deserialize, Serialize};

use crate::Core;
use crate::backups::{self, Owner};
use crate::instances::relocate::Place;
use crate::instances::snapshots::{self, SnapshotKey};
use crate::instances::{self, InstanceKey};
use crate::server::stores::Store;
use crate::storage_volumes::VolumeKey;

/// One undo step, as it stands in the journal. Variants are never renamed: a newer release must be able to
/// undo what an older one left behind.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "undo", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Undo {
    /// Removes a file below the data directory that was being written.
    RemoveFile {
        /// Path relative to the data directory.
        path: String,
    },
    /// Removes an instance whose creation did not end: rows, volume, directories.
    CreateInstance {
        /// Its project.
        project: ProjectName,
        /// Its name.
        name: InstanceName,
        /// Its `volatile.uuid`: another instance that got the name later is left alone.
        uuid: String,
    },
    /// Goes on with the deletion of an instance whose rows are gone; before that, nothing was done.
    FinishDeleteInstance {
        /// Its project.
        project: ProjectName,
        /// Its name.
        name: InstanceName,
        /// The pool of its root volume.
        pool: Option<String>,
    },
    /// Brings the files of an instance where the database has it: project, name, pool.
    MoveInstance {
        /// Its project before.
        project: ProjectName,
        /// Its name before.
        name: InstanceName,
        /// Its pool before.
        pool: String,
        /// Its project after.
        to_project: ProjectName,
        /// Its name after.
        to_name: InstanceName,
        /// Its pool after.
        to_pool: String,
    },
    /// Makes the volume's name agree with the recorded name of an instance. (Of earlier releases.)
    RenameInstance {
        /// Its project.
        project: ProjectName,
        /// The name before.
        old: InstanceName,
        /// The name after.
        new: InstanceName,
    },
    /// Removes a backup of an instance whose making did not end.
    ForgetBackup {
        /// Its project.
        project: ProjectName,
        /// The instance.
        instance: InstanceName,
        /// The backup.
        name: BackupName,
        /// When it was made: another one of that name is left alone.
        created: DateTime<Utc>,
    },
    /// Makes the file of a backup agree with its row, after a renaming or a removal.
    SettleBackup {
        /// Its project.
        project: ProjectName,
        /// The instance.
        instance: InstanceName,
        /// The name before.
        old: BackupName,
        /// The name after.
        new: BackupName,
    },
    /// Removes a backup of a custom volume whose making did not end.
    ForgetVolumeBackup {
        /// Its pool.
        pool: PoolName,
        /// The volume.
        volume: VolumeRef,
        /// The backup.
        name: BackupName,
        /// When it was made: another one of that name is left alone.
        created: DateTime<Utc>,
    },
    /// Makes the file of a backup of a custom volume agree with its row, after a renaming or a removal.
    SettleVolumeBackup {
        /// Its pool.
        pool: PoolName,
        /// The volume.
        volume: VolumeRef,
        /// The name before.
        old: BackupName,
        /// The name after.
        new: BackupName,
    },
    /// Lets the processes of an instance go on that stood still while it was copied.
    Thaw {
        /// Its project.
        project: ProjectName,
        /// Its name.
        name: InstanceName,
    },
    /// Removes the volume of an instance from the pool that the database does not name, after a move. (Of earlier
    /// releases.)
    MoveToPool {
        /// Its project.
        project: ProjectName,
        /// Its name.
        name: InstanceName,
        /// The pool before.
        from: String,
        /// The pool after.
        to: String,
    },
    /// Removes a snapshot of an instance whose making did not end.
    CreateSnapshot {
        /// Its project.
        project: ProjectName,
        /// The instance.
        instance: InstanceName,
        /// The snapshot.
        name: SnapshotName,
        /// When it was made: another one of that name is left alone.
        created: DateTime<Utc>,
        /// The instance's processes were stopped for it.
        thaw: bool,
    },
    /// Goes on with the deletion of a snapshot whose rows are gone.
    FinishDeleteSnapshot {
        /// Its project.
        project: ProjectName,
        /// The instance.
        instance: InstanceName,
        /// The snapshot.
        name: SnapshotName,
        /// The pool of the instance.
        pool: Option<String>,
    },
    /// Makes the files agree with the recorded name of a snapshot.
    RenameSnapshot {
        /// Its project.
        project: ProjectName,
        /// The instance.
        instance: InstanceName,
        /// The name before.
        old: SnapshotName,
        /// The name after.
        new: SnapshotName,
    },
    /// Restores a snapshot (again), as files and rows may differ.
    FinishRestore {
        /// Its project.
        project: ProjectName,
        /// The instance.
        instance: InstanceName,
        /// The snapshot.
        name: SnapshotName,
    },
    /// Makes the host agree with what is recorded of a network of this name.
    SettleNetwork {
        /// The name.
        name: NetworkName,
    },
    /// Takes a change of a bridge back.
    ChangeNetwork {
        /// The name.
        name: NetworkName,
        /// What was stored before.
        old: crate::networks::Stored,
        /// What was to be stored.
        new: crate::networks::Stored,
    },
    /// Makes the host agree with what is recorded of a network on an interface of the host.
    SettleUplink {
        /// The name.
        name: NetworkName,
        /// The VLAN interface that was made for it.
        made: Option<String>,
    },
    /// Stops the devices of an instance whose start did not end.
    StartInstance {
        /// Its project.
        project: ProjectName,
        /// Its name.
        name: InstanceName,
    },
    /// Removes a storage pool whose making was not finished, with its row.
    ForgetStoragePool {
        /// Its name.
        name: PoolName,
    },
    /// Leaves a pool alone again that was being looked at and is not recorded.
    LeaveStoragePool {
        /// Its name.
        name: PoolName,
        /// Its driver.
        driver: String,
        /// Its source.
        source: PathBuf,
    },
    /// Removes a custom volume whose making was not finished, with its row.
    ForgetVolume {
        /// Its pool.
        pool: PoolName,
        /// The volume.
        volume: VolumeRef,
    },
    /// Brings the files of a custom volume where the database has it: project, name, pool.
    MoveVolume {
        /// Its pool before.
        pool: PoolName,
        /// The volume before.
        volume: VolumeRef,
        /// Its pool after.
        to_pool: PoolName,
        /// The volume after.
        to: VolumeRef,
    },
    /// Gives a custom volume back its name when the row was not renamed. (Of earlier releases.)
    RenameVolume {
        /// Its pool.
        pool: PoolName,
        /// The volume under its old name.
        volume: VolumeRef,
        /// The new name.
        name: VolumeName,
    },
    /// Removes a snapshot of a custom volume whose making or removal was not finished, with its row.
    ForgetVolumeSnapshot {
        /// Its pool.
        pool: PoolName,
        /// The snapshot.
        snapshot: SnapshotRef,
    },
    /// Gives a snapshot of a custom volume back its name when the row was not renamed.
    RenameVolumeSnapshot {
        /// Its pool.
        pool: PoolName,
        /// The snapshot under its old name.
        snapshot: SnapshotRef,
        /// The new name.
        name: SnapshotName,
    },
    /// Removes what an interrupted restore left beside a volume.
    SettleVolume {
        /// Its pool.
        pool: PoolName,
        /// The volume.
        volume: VolumeRef,
    },
    /// Removes the files of an image that no project has.
    ForgetImage {
        /// Its fingerprint.
        fingerprint: Fingerprint,
    },
    /// Makes images or backups be where the server's configuration says, and nowhere else.
    MoveStore {
        /// Which of them.
        store: Store,
        /// The key's value before.
        from: String,
        /// The key's value after.
        to: String,
    },
    /// Finishes the removal of a custom volume that has no row any more.
    RemoveVolume {
        /// Its pool.
        pool: PoolName,
        /// The volume.
        volume: VolumeRef,
    },
}

#[async_trait]
impl Undoer<Undo> for Core {
    async fn undo(&self, step: Undo) -> Result<()> {
        let core = self.shared()?;
        match step {
            Undo::RemoveFile { path } => self.remove_leftover(path).await,
            Undo::CreateInstance { project, name, uuid } => {
                instances::undo::create(&core, &InstanceKey { project, name }, &uuid).await
            }
            Undo::FinishDeleteInstance { project, name, pool } => {
                instances::undo::delete(&core, &InstanceKey { project, name }, pool.as_deref()).await
            }
            Undo::RenameInstance { project, old, new } => {
                let old = InstanceKey { project: project.clone(), name: old };
                instances::undo::rename(&core, old, InstanceKey { project, name: new }).await
            }
            Undo::ForgetBackup { project, instance, name, created } => {
                let owner = Owner::Instance(InstanceKey { project, name: instance });
                backups::undo_create(&core, &owner, &name, created).await
            }
            Undo::SettleBackup { project, instance, old, new } => {
                let owner = Owner::Instance(InstanceKey { project, name: instance });
                backups::settle(&core, &owner, &old, &new).await
            }
            Undo::ForgetVolumeBackup { pool, volume, name, created } => {
                let owner = Owner::Volume(VolumeKey::of(&pool, &volume));
                backups::undo_create(&core, &owner, &name, created).await
            }
            Undo::SettleVolumeBackup { pool, volume, old, new } => {
                let owner = Owner::Volume(VolumeKey::of(&pool, &volume));
                backups::settle(&core, &owner, &old, &new).await
            }
            Undo::Thaw { project, name } => instances::thaw(&core, &InstanceKey { project, name }).await,
            Undo::MoveInstance { project, name, pool, to_project, to_name, to_pool } => {
                let old = Place { key: InstanceKey { project, name }, pool };
                let new = Place { key: InstanceKey { project: to_project, name: to_name }, pool: to_pool };
                instances::relocate::settle(&core, old, new).await
            }
            Undo::MoveToPool { project, name, from, to } => {
                let key = InstanceKey { project, name };
                let old = Place { key: key.clone(), pool: from };
                instances::relocate::settle(&core, old, Place { key, pool: to }).await
            }
            Undo::CreateSnapshot { project, instance, name, created, thaw } => {
                snapshots::undo::create(&core, &snapshot(project, instance, &name), created, thaw).await
            }
            Undo::FinishDeleteSnapshot { project, instance, name, pool } => {
                snapshots::undo::delete(&core, &snapshot(project, instance, &name), pool.as_deref()).await
            }
            Undo::RenameSnapshot { project, instance, old, new } => {
                snapshots::undo::rename(&core, &snapshot(project, instance, &old), &new).await
            }
            Undo::FinishRestore { project, instance, name } => {
                snapshots::finish_restore(&core, &snapshot(project, instance, &name)).await
            }
            Undo::SettleNetwork { name } => crate::networks::settle(&core, &name).await,
            Undo::ChangeNetwork { name, old, new } => {
                crate::networks::unchange(&core, &name, &old, &new).await
            }
            Undo::SettleUplink { name, made } => crate::networks::settle_uplink(self, &name, made).await,
            Undo::StartInstance { project, name } => {
                instances::undo::start(&core, &InstanceKey { project, name }).await
            }
            Undo::ForgetStoragePool { name } => crate::storage_pools::undo_create(self, &name).await,
            Undo::LeaveStoragePool { name, driver, source } => {
                crate::recover::leave(self, &name, &driver, source).await
            }
            Undo::ForgetVolume { pool, volume } => {
                crate::storage_volumes::undo_create(self, &pool, &volume).await
            }
            Undo::MoveVolume { pool, volume, to_pool, to } => {
                crate::storage_volumes::settle(self, &pool, &volume, &to_pool, &to).await
            }
            Undo::RenameVolume { pool, volume, name } => {
                let to = volume.renamed(&name);
                crate::storage_volumes::settle(self, &pool, &volume, &pool, &to).await
            }
            Undo::ForgetVolumeSnapshot { pool, snapshot } => {
                crate::storage_volumes::snapshots::undo_create(self, &pool, &snapshot).await
            }
            Undo::RenameVolumeSnapshot { pool, snapshot, name } => {
                crate::storage_volumes::snapshots::undo_rename(self, &pool, &snapshot, &name).await
            }
            Undo::SettleVolume { pool, volume } => {
                crate::storage_volumes::snapshots::settle(self, &pool, &volume).await
            }
            Undo::ForgetImage { fingerprint } => crate::images::undo_create(self, &fingerprint).await,
            Undo::MoveStore { store, from, to } => {
                crate::server::stores::settle(self, store, &from, &to).await
            }
            Undo::RemoveVolume { pool, volume } => {
                crate::storage_volumes::remove_leftover(self, &pool, &volume).await
            }
        }
    }
}

fn snapshot(project: ProjectName, instance: InstanceName, name: &SnapshotName) -> SnapshotKey {
    SnapshotKey { instance: InstanceKey { project, name: instance }, name: name.to_string() }
}

impl Core {
    async fn remove_leftover(&self, path: String) -> Result<()> {
        let full = self.paths.root().join(path);
        match tokio::fs::remove_file(&full).await {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(lxd_types::Error::internal(format!("Failed to remove {}: {e}", full.display())))
            }
            _ => Ok(()),
        }
    }
}
