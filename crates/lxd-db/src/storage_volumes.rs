//! Volumes of instances, images and users, and their snapshots.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use lxd_types::{Error, Result};
use rusqlite::{Row, params};

use crate::keyvalue::{KeyValue, key_value};
use crate::used_by::User;
use crate::{Config, Tx, nodes, time};

const CONFIG: KeyValue = key_value!("storage_volumes_config", "storage_volume_id");
const SNAPSHOT_CONFIG: KeyValue =
    key_value!("storage_volumes_snapshots_config", "storage_volume_snapshot_id");

/// Type number of a container's volume.
pub const CONTAINER: i64 = 0;
/// Type number of an unpacked image.
pub const IMAGE: i64 = 1;
/// Type number of a volume that a user made.
pub const CUSTOM: i64 = 2;
/// Type number of a virtual machine's volume.
pub const VIRTUAL_MACHINE: i64 = 3;

/// Content number of a file system.
pub const FILESYSTEM: i64 = 0;
/// Content number of a block device.
pub const BLOCK: i64 = 1;

/// One volume.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Volume {
    /// Its id; never that of a snapshot.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its pool.
    pub pool_id: i64,
    /// The name of its pool.
    pub pool: String,
    /// The member that has it; none on pools that all members share.
    pub node_id: Option<i64>,
    /// The name of that member, or empty.
    pub node: String,
    /// [`CONTAINER`], [`IMAGE`], [`CUSTOM`] or [`VIRTUAL_MACHINE`].
    pub kind: i64,
    /// Text of the user.
    pub description: String,
    /// The project that it belongs to.
    pub project_id: i64,
    /// The name of that project.
    pub project: String,
    /// [`FILESYSTEM`] or [`BLOCK`].
    pub content: i64,
    /// Its keys.
    pub config: Config,
}

/// What a new volume is recorded with.
#[derive(Clone, Debug, Default)]
pub struct NewVolume {
    /// Its name.
    pub name: String,
    /// Its pool.
    pub pool_id: i64,
    /// The member that has it; none on pools that all members share.
    pub node_id: Option<i64>,
    /// [`CONTAINER`], [`IMAGE`], [`CUSTOM`] or [`VIRTUAL_MACHINE`].
    pub kind: i64,
    /// Text of the user.
    pub description: String,
    /// The project that it belongs to.
    pub project_id: i64,
    /// [`FILESYSTEM`] or [`BLOCK`].
    pub content: i64,
    /// Its keys; empty values are not stored.
    pub config: Config,
}

impl NewVolume {
    /// A volume on a lone server, to be filled in further.
    pub fn here(project_id: i64) -> Self {
        Self { project_id, node_id: Some(nodes::LONE), ..Self::default() }
    }
}

/// One snapshot of a volume.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// Its id; never that of a volume.
    pub id: i64,
    /// The volume.
    pub volume_id: i64,
    /// Its name, without the volume's.
    pub name: String,
    /// Text of the user.
    pub description: String,
    /// When it is removed.
    pub expiry: Option<DateTime<Utc>>,
    /// Its keys.
    pub config: Config,
}

/// Which volumes a list shall have; `None` means any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// On one pool.
    pub pool_id: Option<i64>,
    /// Of one project.
    pub project_id: Option<i64>,
    /// Of one type.
    pub kind: Option<i64>,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Volume> {
    Ok(Volume {
        id: row.get(0)?,
        name: row.get(1)?,
        pool_id: row.get(2)?,
        pool: row.get(3)?,
        node_id: row.get(4)?,
        node: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
        kind: row.get(6)?,
        description: row.get(7)?,
        project_id: row.get(8)?,
        project: row.get(9)?,
        content: row.get(10)?,
        config: Config::new(),
    })
}

/// The columns that [`from_row`] reads.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT v.id, v.name, v.storage_pool_id, p.name, v.node_id, n.name, v.type, v.description, ",
            "v.project_id, j.name, v.content_type FROM storage_volumes AS v ",
            "JOIN storage_pools AS p ON p.id = v.storage_pool_id JOIN projects AS j ON j.id = v.project_id ",
            "LEFT JOIN nodes AS n ON n.id = v.node_id ",
            $rest
        )
    };
}

/// The volumes that a filter lets pass, sorted by type, project and name.
///
/// # Errors
/// A failure of the database.
pub fn list(tx: &Tx<'_>, filter: Filter) -> Result<Vec<Volume>> {
    let mut volumes = tx.all(
        select!(
            "WHERE (?1 IS NULL OR v.storage_pool_id = ?1) AND (?2 IS NULL OR v.project_id = ?2)
             AND (?3 IS NULL OR v.type = ?3) ORDER BY v.type, j.name, v.name"
        ),
        params![filter.pool_id, filter.project_id, filter.kind],
        from_row,
    )?;
    let places: HashMap<i64, usize> = volumes.iter().enumerate().map(|(at, v)| (v.id, at)).collect();
    tx.each("SELECT storage_volume_id, key, IFNULL(value, '') FROM storage_volumes_config", [], |row| {
        if let Some(at) = places.get(&row.get(0)?) {
            volumes[*at].config.insert(row.get(1)?, row.get(2)?);
        }
        Ok(())
    })?;
    Ok(volumes)
}

/// The id of a volume, if there is one.
///
/// # Errors
/// A failure of the database.
pub fn find(tx: &Tx<'_>, pool_id: i64, project_id: i64, kind: i64, name: &str) -> Result<Option<i64>> {
    tx.first(
        "SELECT id FROM storage_volumes WHERE storage_pool_id = ?1 AND project_id = ?2 AND type = ?3 AND name = ?4",
        params![pool_id, project_id, kind, name],
        |row| row.get(0),
    )
}

/// One volume.
///
/// # Errors
/// "Storage pool volume not found", or a failure of the database.
pub fn get(tx: &Tx<'_>, pool_id: i64, project_id: i64, kind: i64, name: &str) -> Result<Volume> {
    let found = tx.first(
        select!("WHERE v.storage_pool_id = ?1 AND v.project_id = ?2 AND v.type = ?3 AND v.name = ?4"),
        params![pool_id, project_id, kind, name],
        from_row,
    )?;
    complete(tx, found)
}

/// One volume by id.
///
/// # Errors
/// "Storage pool volume not found", or a failure of the database.
pub fn by_id(tx: &Tx<'_>, id: i64) -> Result<Volume> {
    let found = tx.first(select!("WHERE v.id = ?1"), [id], from_row)?;
    complete(tx, found)
}

/// The volume of an instance or image, whichever pool it is on.
///
/// # Errors
/// A failure of the database.
pub fn anywhere(tx: &Tx<'_>, project_id: i64, kind: i64, name: &str) -> Result<Vec<Volume>> {
    let volumes = tx.all(
        select!("WHERE v.project_id = ?1 AND v.type = ?2 AND v.name = ?3 ORDER BY p.name"),
        params![project_id, kind, name],
        from_row,
    )?;
    volumes.into_iter().map(|volume| complete(tx, Some(volume))).collect()
}

fn complete(tx: &Tx<'_>, found: Option<Volume>) -> Result<Volume> {
    let mut volume = found.ok_or_else(not_found)?;
    volume.config = CONFIG.all(tx, volume.id)?;
    Ok(volume)
}

fn not_found() -> Error {
    Error::not_found("Storage pool volume not found")
}

/// An id that neither a volume nor a snapshot has. The view `storage_volumes_all` needs them to differ.
fn new_id(tx: &Tx<'_>) -> Result<i64> {
    let next = tx.first(
        "SELECT 1 + MAX(
           IFNULL((SELECT seq FROM sqlite_sequence WHERE name = 'storage_volumes'), 0),
           IFNULL((SELECT MAX(id) FROM storage_volumes_snapshots), 0))",
        [],
        |row| row.get(0),
    )?;
    next.ok_or_else(|| Error::internal("No id for a storage volume"))
}

/// Adds a volume; its id.
///
/// # Errors
/// There is one of that pool, project, type and name (conflict), or a failure of the database.
pub fn insert(tx: &Tx<'_>, new: &NewVolume) -> Result<i64> {
    let id = tx.insert(
        "INSERT INTO storage_volumes
           (id, name, storage_pool_id, node_id, type, description, project_id, content_type)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            new_id(tx)?,
            new.name,
            new.pool_id,
            new.node_id,
            new.kind,
            new.description,
            new.project_id,
            new.content,
        ],
    )?;
    CONFIG.add(tx, id, &new.config)?;
    Ok(id)
}

/// Changes description and configuration.
///
/// # Errors
/// A failure of the database.
pub fn update(tx: &Tx<'_>, id: i64, description: &str, config: &Config) -> Result<()> {
    tx.execute(
        "UPDATE storage_volumes SET description = ?2 WHERE id = ?1 AND description IS NOT ?2",
        params![id, description],
    )?;
    CONFIG.replace(tx, id, config)
}

/// Sets one key of a volume; an empty value removes it.
///
/// # Errors
/// A failure of the database.
pub fn set_key(tx: &Tx<'_>, id: i64, key: &str, value: &str) -> Result<()> {
    CONFIG.set(tx, id, key, value)
}

/// Gives a volume another pool, project or name.
///
/// # Errors
/// The name is taken there (conflict), or a failure of the database.
pub fn relocate(tx: &Tx<'_>, id: i64, pool_id: i64, project_id: i64, name: &str) -> Result<()> {
    tx.execute(
        "UPDATE storage_volumes SET storage_pool_id = ?2, project_id = ?3, name = ?4 WHERE id = ?1",
        params![id, pool_id, project_id, name],
    )
    .map(drop)
}

/// Removes a volume with its snapshots.
///
/// # Errors
/// A failure of the database.
pub fn delete(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.execute("DELETE FROM storage_volumes WHERE id = ?1", [id]).map(drop)
}

fn snapshot_from_row(row: &Row<'_>) -> rusqlite::Result<Snapshot> {
    Ok(Snapshot {
        id: row.get(0)?,
        volume_id: row.get(1)?,
        name: row.get(2)?,
        description: row.get(3)?,
        expiry: time::read_opt(row, 4)?,
        config: Config::new(),
    })
}

/// The snapshots of a volume, in the order of their making.
///
/// # Errors
/// A failure of the database.
pub fn snapshots(tx: &Tx<'_>, volume_id: i64) -> Result<Vec<Snapshot>> {
    let mut snapshots = tx.all(
        "SELECT id, storage_volume_id, name, description, expiry_date FROM storage_volumes_snapshots
         WHERE storage_volume_id = ?1 ORDER BY id",
        [volume_id],
        snapshot_from_row,
    )?;
    for snapshot in &mut snapshots {
        snapshot.config = SNAPSHOT_CONFIG.all(tx, snapshot.id)?;
    }
    Ok(snapshots)
}

/// One snapshot of a volume.
///
/// # Errors
/// "Storage pool volume not found", or a failure of the database.
pub fn get_snapshot(tx: &Tx<'_>, volume_id: i64, name: &str) -> Result<Snapshot> {
    let mut snapshot = tx
        .first(
            "SELECT id, storage_volume_id, name, description, expiry_date FROM storage_volumes_snapshots
             WHERE storage_volume_id = ?1 AND name = ?2",
            params![volume_id, name],
            snapshot_from_row,
        )?
        .ok_or_else(not_found)?;
    snapshot.config = SNAPSHOT_CONFIG.all(tx, snapshot.id)?;
    Ok(snapshot)
}

/// The snapshots of custom volumes whose time is over, without their keys.
///
/// # Errors
/// A failure of the database.
pub fn expired_snapshots(tx: &Tx<'_>, now: DateTime<Utc>) -> Result<Vec<Snapshot>> {
    let mut dated = tx.all(
        "SELECT s.id, s.storage_volume_id, s.name, s.description, s.expiry_date
         FROM storage_volumes_snapshots AS s JOIN storage_volumes AS v ON v.id = s.storage_volume_id
         WHERE v.type = 2 AND s.expiry_date IS NOT NULL ORDER BY s.id",
        [],
        snapshot_from_row,
    )?;
    dated.retain(|snapshot| snapshot.expiry.is_some_and(|at| at <= now));
    Ok(dated)
}

/// Adds a snapshot of a volume; its id.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn insert_snapshot(
    tx: &Tx<'_>,
    volume_id: i64,
    name: &str,
    description: &str,
    expiry: Option<DateTime<Utc>>,
    config: &Config,
) -> Result<i64> {
    let id = tx.insert(
        "INSERT INTO storage_volumes_snapshots (id, storage_volume_id, name, description, expiry_date)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![new_id(tx)?, volume_id, name, description, time::store_opt(expiry)],
    )?;
    SNAPSHOT_CONFIG.add(tx, id, config)?;
    Ok(id)
}

/// Changes description and expiry of a snapshot.
///
/// # Errors
/// A failure of the database.
pub fn update_snapshot(tx: &Tx<'_>, id: i64, description: &str, expiry: Option<DateTime<Utc>>) -> Result<()> {
    tx.execute(
        "UPDATE storage_volumes_snapshots SET description = ?2, expiry_date = ?3 WHERE id = ?1",
        params![id, description, time::store_opt(expiry)],
    )
    .map(drop)
}

/// Gives a snapshot another name.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn rename_snapshot(tx: &Tx<'_>, id: i64, name: &str) -> Result<()> {
    tx.execute("UPDATE storage_volumes_snapshots SET name = ?2 WHERE id = ?1", params![id, name]).map(drop)
}

/// Removes a snapshot.
///
/// # Errors
/// A failure of the database.
pub fn delete_snapshot(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.execute("DELETE FROM storage_volumes_snapshots WHERE id = ?1", [id]).map(drop)
}

/// Who uses a volume: for one of an instance or image, that; for a custom one the instances and profiles with a
/// disk device of that pool and source, sorted by URL.
///
/// # Errors
/// A failure of the database.
pub fn used_by(tx: &Tx<'_>, volume: &Volume) -> Result<Vec<User>> {
    let (project, name) = (volume.project.clone(), volume.name.clone());
    match volume.kind {
        CUSTOM => {}
        IMAGE => return Ok(vec![User::Image { project, fingerprint: name }]),
        _ => return Ok(vec![User::Instance { project, name }]),
    }
    let mut users = tx.all(
        "SELECT DISTINCT j.name, i.name FROM instances AS i JOIN projects AS j ON j.id = i.project_id
         JOIN instances_devices AS d ON d.instance_id = i.id
         JOIN instances_devices_config AS p ON p.instance_device_id = d.id AND p.key = 'pool' AND p.value = ?1
         JOIN instances_devices_config AS s ON s.instance_device_id = d.id AND s.key = 'source' AND s.value = ?2
         WHERE d.type = 2 AND ?3 = IFNULL((SELECT f.project_id FROM projects_config AS f
           WHERE f.project_id = i.project_id AND f.key = 'features.storage.volumes'
             AND f.value IN ('true', '1', 'yes', 'on')), 1)",
        params![volume.pool, volume.name, volume.project_id],
        |row| Ok(User::Instance { project: row.get(0)?, name: row.get(1)? }),
    )?;
    users.extend(tx.all(
        "SELECT DISTINCT j.name, i.name FROM profiles AS i JOIN projects AS j ON j.id = i.project_id
         JOIN profiles_devices AS d ON d.profile_id = i.id
         JOIN profiles_devices_config AS p ON p.profile_device_id = d.id AND p.key = 'pool' AND p.value = ?1
         JOIN profiles_devices_config AS s ON s.profile_device_id = d.id AND s.key = 'source' AND s.value = ?2
         WHERE d.type = 2 AND ?3 = IFNULL((SELECT f.project_id FROM projects_config AS f
           WHERE f.project_id = i.project_id AND f.key = 'features.storage.volumes'
             AND f.value IN ('true', '1', 'yes', 'on')), 1)",
        params![volume.pool, volume.name, volume.project_id],
        |row| Ok(User::Profile { project: row.get(0)?, name: row.get(1)? }),
    )?);
    users.sort_by_cached_key(User::url);
    Ok(users)
}

#[cfg(test)]
#[path = "storage_volumes_tests.rs"]
mod tests;
