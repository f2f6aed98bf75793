//! Instances: rows, configuration, devices, profiles, volatile values, and which `backup.yaml` is stale.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use lxd_types::{Error, Result};
use rusqlite::{Row, params};

use crate::devices::{DeviceTables, device_tables};
use crate::keyvalue::{KeyValue, key_value};
use crate::{Config, Devices, Tx, time};

pub(crate) const CONFIG: KeyValue = key_value!("instances_config", "instance_id");
pub(crate) const DEVICES: DeviceTables =
    device_tables!("instances_devices", "instance_id", "instance_device_id");

/// Type number of a container.
pub const CONTAINER: i64 = 0;

/// Type number of a virtual machine.
pub const VIRTUAL_MACHINE: i64 = 1;

/// One instance as stored: its own configuration and devices, not those of its profiles.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Instance {
    /// Its id.
    pub id: i64,
    /// The project that it belongs to.
    pub project_id: i64,
    /// The name of that project.
    pub project: String,
    /// The member that it lives on.
    pub node_id: i64,
    /// The name of that member.
    pub node: String,
    /// Its name.
    pub name: String,
    /// Its architecture's number (see [`crate::architecture`]).
    pub architecture: i64,
    /// [`CONTAINER`] or [`VIRTUAL_MACHINE`].
    pub kind: i64,
    /// Removed when it stops.
    pub ephemeral: bool,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// It has a stored run-time state.
    pub stateful: bool,
    /// When it was started last.
    pub last_used: Option<DateTime<Utc>>,
    /// Text of the user.
    pub description: String,
    /// Its own keys, volatile ones among them.
    pub config: Config,
    /// Its own devices.
    pub devices: Devices,
    /// The names of its profiles, in the order in which they apply.
    pub profiles: Vec<String>,
}

/// What a new instance is recorded with.
#[derive(Clone, Debug, Default)]
pub struct NewInstance {
    /// The project that it belongs to.
    pub project_id: i64,
    /// The member that it lives on.
    pub node_id: i64,
    /// Its name.
    pub name: String,
    /// Its architecture's number.
    pub architecture: i64,
    /// [`CONTAINER`] or [`VIRTUAL_MACHINE`].
    pub kind: i64,
    /// Removed when it stops.
    pub ephemeral: bool,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// It has a stored run-time state.
    pub stateful: bool,
    /// When it was started last.
    pub last_used: Option<DateTime<Utc>>,
    /// Text of the user.
    pub description: String,
    /// Its own keys; empty values are not stored.
    pub config: Config,
    /// Its own devices.
    pub devices: Devices,
    /// The ids of its profiles, in the order in which they apply.
    pub profiles: Vec<i64>,
}

/// What can be changed of an instance by its user.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Its architecture's number.
    pub architecture: i64,
    /// Removed when it stops.
    pub ephemeral: bool,
    /// Text of the user.
    pub description: String,
    /// All its own keys, volatile ones among them.
    pub config: Config,
    /// All its own devices.
    pub devices: Devices,
    /// The ids of its profiles, in the order in which they apply.
    pub profiles: Vec<i64>,
}

/// Which instances a list shall have; `None` means any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Of one project.
    pub project_id: Option<i64>,
    /// Of one type.
    pub kind: Option<i64>,
    /// On one member.
    pub node_id: Option<i64>,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Instance> {
    Ok(Instance {
        id: row.get(0)?,
        project_id: row.get(1)?,
        project: row.get(2)?,
        node_id: row.get(3)?,
        node: row.get(4)?,
        name: row.get(5)?,
        architecture: row.get(6)?,
        kind: row.get(7)?,
        ephemeral: row.get(8)?,
        created: time::read(row, 9)?,
        stateful: row.get(10)?,
        last_used: time::read_opt(row, 11)?,
        description: row.get(12)?,
        config: Config::new(),
        devices: Devices::new(),
        profiles: Vec::new(),
    })
}

/// The columns that [`from_row`] reads.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT i.id, i.project_id, j.name, i.node_id, n.name, i.name, i.architecture, i.type, i.ephemeral, ",
            "i.creation_date, i.stateful, i.last_use_date, i.description FROM instances AS i ",
            "JOIN projects AS j ON j.id = i.project_id JOIN nodes AS n ON n.id = i.node_id ",
            $rest
        )
    };
}

/// Project and name of the instances that a filter lets pass, sorted.
///
/// # Errors
/// A failure of the database.
pub fn names(tx: &Tx<'_>, filter: Filter) -> Result<Vec<(String, String)>> {
    tx.all(
        "SELECT j.name, i.name FROM instances AS i JOIN projects AS j ON j.id = i.project_id
         WHERE (?1 IS NULL OR i.project_id = ?1) AND (?2 IS NULL OR i.type = ?2) AND (?3 IS NULL OR i.node_id = ?3)
         ORDER BY j.name, i.name",
        params![filter.project_id, filter.kind, filter.node_id],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// The instances that a filter lets pass with configuration, devices and profiles, sorted by project and name.
/// Four queries, however many there are.
///
/// # Errors
/// A failure of the database.
pub fn list(tx: &Tx<'_>, filter: Filter) -> Result<Vec<Instance>> {
    let mut instances = tx.all(
        select!(
            "WHERE (?1 IS NULL OR i.project_id = ?1) AND (?2 IS NULL OR i.type = ?2)
             AND (?3 IS NULL OR i.node_id = ?3) ORDER BY j.name, i.name"
        ),
        params![filter.project_id, filter.kind, filter.node_id],
        from_row,
    )?;
    if instances.is_empty() {
        return Ok(instances);
    }
    let places: HashMap<i64, usize> = instances.iter().enumerate().map(|(at, i)| (i.id, at)).collect();
    tx.each("SELECT instance_id, key, IFNULL(value, '') FROM instances_config", [], |row| {
        if let Some(at) = places.get(&row.get(0)?) {
            instances[*at].config.insert(row.get(1)?, row.get(2)?);
        }
        Ok(())
    })?;
    let mut devices = HashMap::new();
    DEVICES.every(tx, [], &mut devices)?;
    for (owner, found) in devices {
        if let Some(at) = places.get(&owner) {
            instances[*at].devices = found;
        }
    }
    tx.each(
        "SELECT u.instance_id, p.name FROM instances_profiles AS u JOIN profiles AS p ON p.id = u.profile_id
         ORDER BY u.instance_id, u.apply_order",
        [],
        |row| {
            if let Some(at) = places.get(&row.get(0)?) {
                instances[*at].profiles.push(row.get(1)?);
            }
            Ok(())
        },
    )?;
    Ok(instances)
}

/// Project and name of the instances that have a key of their own like this (`volatile.*.host_name`), sorted.
///
/// # Errors
/// A failure of the database.
pub fn with_key(tx: &Tx<'_>, pattern: &str) -> Result<Vec<(String, String)>> {
    tx.all(
        "SELECT DISTINCT j.name, i.name FROM instances_config AS c JOIN instances AS i ON i.id = c.instance_id
         JOIN projects AS j ON j.id = i.project_id WHERE c.key GLOB ?1 ORDER BY j.name, i.name",
        [pattern],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// Whether any instance or profile has this key.
///
/// # Errors
/// A failure of the database.
pub fn any_has_key(tx: &Tx<'_>, key: &str) -> Result<bool> {
    let found = tx.first(
        "SELECT EXISTS (SELECT 1 FROM instances_config WHERE key = ?1)
           OR EXISTS (SELECT 1 FROM profiles_config WHERE key = ?1)",
        [key],
        |row| row.get(0),
    )?;
    Ok(found.unwrap_or(false))
}

/// The id of an instance, if there is one of that name.
///
/// # Errors
/// A failure of the database.
pub fn find(tx: &Tx<'_>, project_id: i64, name: &str) -> Result<Option<i64>> {
    tx.first(
        "SELECT id FROM instances WHERE project_id = ?1 AND name = ?2",
        params![project_id, name],
        |row| row.get(0),
    )
}

/// One instance by name.
///
/// # Errors
/// "Instance not found", or a failure of the database.
pub fn get(tx: &Tx<'_>, project_id: i64, name: &str) -> Result<Instance> {
    let found =
        tx.first(select!("WHERE i.project_id = ?1 AND i.name = ?2"), params![project_id, name], from_row)?;
    complete(tx, found)
}

/// One instance by the names of project and instance.
///
/// # Errors
/// "Instance not found", or a failure of the database.
pub fn get_in(tx: &Tx<'_>, project: &str, name: &str) -> Result<Instance> {
    let found = tx.first(select!("WHERE j.name = ?1 AND i.name = ?2"), params![project, name], from_row)?;
    complete(tx, found)
}

/// One instance by id.
///
/// # Errors
/// "Instance not found", or a failure of the database.
pub fn by_id(tx: &Tx<'_>, id: i64) -> Result<Instance> {
    let found = tx.first(select!("WHERE i.id = ?1"), [id], from_row)?;
    complete(tx, found)
}

fn complete(tx: &Tx<'_>, found: Option<Instance>) -> Result<Instance> {
    let mut instance = found.ok_or_else(|| Error::not_found("Instance not found"))?;
    instance.config = CONFIG.all(tx, instance.id)?;
    instance.devices = DEVICES.all(tx, instance.id)?;
    instance.profiles = tx.all(
        "SELECT p.name FROM instances_profiles AS u JOIN profiles AS p ON p.id = u.profile_id
         WHERE u.instance_id = ?1 ORDER BY u.apply_order",
        [instance.id],
        |row| row.get(0),
    )?;
    Ok(instance)
}

/// Id, project and name of the instances that have a profile.
///
/// # Errors
/// A failure of the database.
pub fn by_profile(tx: &Tx<'_>, profile_id: i64) -> Result<Vec<(i64, String, String)>> {
    tx.all(
        "SELECT i.id, j.name, i.name FROM instances_profiles AS u JOIN instances AS i ON i.id = u.instance_id
         JOIN projects AS j ON j.id = i.project_id WHERE u.profile_id = ?1 ORDER BY j.name, i.name",
        [profile_id],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )
}

/// Adds an instance; its id.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn insert(tx: &Tx<'_>, new: &NewInstance) -> Result<i64> {
    let id = tx.insert(
        "INSERT INTO instances (project_id, node_id, name, architecture, type, ephemeral, creation_date, stateful,
           last_use_date, description)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            new.project_id,
            new.node_id,
            new.name,
            new.architecture,
            new.kind,
            new.ephemeral,
            time::store(new.created),
            new.stateful,
            time::store_opt(new.last_used),
            new.description,
        ],
    )?;
    CONFIG.add(tx, id, &new.config)?;
    DEVICES.insert(tx, id, &new.devices)?;
    set_profiles(tx, id, &new.profiles)?;
    mark_stale(tx, id)?;
    Ok(id)
}

/// Changes an instance; rows that are right stay untouched.
///
/// # Errors
/// A failure of the database.
pub fn update(tx: &Tx<'_>, id: i64, change: &Change) -> Result<()> {
    tx.execute(
        "UPDATE instances SET architecture = ?2, ephemeral = ?3, description = ?4
         WHERE id = ?1 AND (architecture, ephemeral, description) IS NOT (?2, ?3, ?4)",
        params![id, change.architecture, change.ephemeral, change.description],
    )?;
    CONFIG.replace(tx, id, &change.config)?;
    DEVICES.replace(tx, id, &change.devices)?;
    let present: Vec<i64> = tx.all(
        "SELECT profile_id FROM instances_profiles WHERE instance_id = ?1 ORDER BY apply_order",
        [id],
        |row| row.get(0),
    )?;
    if present != change.profiles {
        set_profiles(tx, id, &change.profiles)?;
    }
    mark_stale(tx, id)
}

fn set_profiles(tx: &Tx<'_>, id: i64, profiles: &[i64]) -> Result<()> {
    tx.execute("DELETE FROM instances_profiles WHERE instance_id = ?1", [id])?;
    for (order, profile) in (1_i64..).zip(profiles) {
        tx.execute(
            "INSERT INTO instances_profiles (instance_id, profile_id, apply_order) VALUES (?1, ?2, ?3)",
            params![id, profile, order],
        )?;
    }
    Ok(())
}

/// Gives an instance another name, another project, or both. Its profiles stay those of the old project: [`update`] names
/// others. Its volume is moved by [`crate::storage_volumes::relocate`].
///
/// # Errors
/// The name is taken there (conflict), or a failure of the database.
pub fn relocate(tx: &Tx<'_>, id: i64, project_id: i64, name: &str) -> Result<()> {
    tx.execute(
        "UPDATE instances SET project_id = ?2, name = ?3 WHERE id = ?1",
        params![id, project_id, name],
    )?;
    mark_stale(tx, id)
}

/// Removes an instance with its snapshots.
///
/// # Errors
/// A failure of the database.
pub fn delete(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.execute("DELETE FROM instances WHERE id = ?1", [id]).map(drop)
}

/// Sets keys (`None` or an empty value removes one) and leaves the others alone: for volatile values.
///
/// # Errors
/// A failure of the database, as when the instance is gone.
pub fn set_keys(tx: &Tx<'_>, id: i64, keys: &BTreeMap<String, Option<String>>) -> Result<()> {
    for (key, value) in keys {
        CONFIG.set(tx, id, key, value.as_deref().unwrap_or_default())?;
    }
    if keys.is_empty() { Ok(()) } else { mark_stale(tx, id) }
}

/// Changes the devices of an instance and nothing else.
///
/// # Errors
/// A failure of the database.
pub fn set_devices(tx: &Tx<'_>, id: i64, devices: &Devices) -> Result<()> {
    DEVICES.replace(tx, id, devices)?;
    mark_stale(tx, id)
}

/// Records the power state (`RUNNING`, `STOPPED`) that the instance has when the server starts again.
///
/// # Errors
/// A failure of the database.
pub fn set_power(tx: &Tx<'_>, id: i64, state: &str) -> Result<()> {
    CONFIG.set(tx, id, "volatile.last_state.power", state)?;
    mark_stale(tx, id)
}

/// Records when the instance was started last.
///
/// # Errors
/// A failure of the database.
pub fn set_last_used(tx: &Tx<'_>, id: i64, now: DateTime<Utc>) -> Result<()> {
    tx.execute("UPDATE instances SET last_use_date = ?2 WHERE id = ?1", params![id, time::store(now)])
        .map(drop)
}

/// Records whether the instance has a stored run-time state.
///
/// # Errors
/// A failure of the database.
pub fn set_stateful(tx: &Tx<'_>, id: i64, stateful: bool) -> Result<()> {
    tx.execute(
        "UPDATE instances SET stateful = ?2 WHERE id = ?1 AND stateful IS NOT ?2",
        params![id, stateful],
    )
    .map(drop)
}

/// Notes that the instance's `backup.yaml` has to be written again. The functions of this crate that change an
/// instance, its snapshots or its profiles do it themselves.
///
/// # Errors
/// A failure of the database.
pub fn mark_stale(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO instances_stale (instance_id) VALUES (?1)
         ON CONFLICT (instance_id) DO UPDATE SET generation = generation + 1",
        [id],
    )
    .map(drop)
}

/// Instances on a member whose `backup.yaml` is stale: id and generation, for [`clear_stale`].
///
/// # Errors
/// A failure of the database.
pub fn stale(tx: &Tx<'_>, node_id: i64) -> Result<Vec<(i64, i64)>> {
    tx.all(
        "SELECT s.instance_id, s.generation FROM instances_stale AS s JOIN instances AS i ON i.id = s.instance_id
         WHERE i.node_id = ?1 ORDER BY s.instance_id",
        [node_id],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// Notes that `backup.yaml` was written from what [`stale`] had seen; what changed since then stays stale.
///
/// # Errors
/// A failure of the database.
pub fn clear_stale(tx: &Tx<'_>, written: &[(i64, i64)]) -> Result<()> {
    for (id, generation) in written {
        tx.execute(
            "DELETE FROM instances_stale WHERE instance_id = ?1 AND generation = ?2",
            params![id, generation],
        )?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "instances_tests.rs"]
mod tests;
