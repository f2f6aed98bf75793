//! Snapshots of instances: what an instance was configured as when they were made.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use lxd_types::{Error, Result};
use rusqlite::{Row, params};

use crate::devices::{DeviceTables, device_tables};
use crate::instances::mark_stale;
use crate::keyvalue::{KeyValue, key_value};
use crate::{Config, Devices, Tx, time};

const CONFIG: KeyValue = key_value!("instances_snapshots_config", "instance_snapshot_id");
const DEVICES: DeviceTables =
    device_tables!("instances_snapshots_devices", "instance_snapshot_id", "instance_snapshot_device_id");

/// One snapshot of an instance.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot {
    /// Its id.
    pub id: i64,
    /// The instance.
    pub instance_id: i64,
    /// Its name, without the instance's.
    pub name: String,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// It has the run-time state.
    pub stateful: bool,
    /// Text of the user.
    pub description: String,
    /// When it is removed.
    pub expiry: Option<DateTime<Utc>>,
    /// The instance's own keys at that time.
    pub config: Config,
    /// The instance's own devices at that time.
    pub devices: Devices,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Snapshot> {
    Ok(Snapshot {
        id: row.get(0)?,
        instance_id: row.get(1)?,
        name: row.get(2)?,
        created: time::read(row, 3)?,
        stateful: row.get(4)?,
        description: row.get(5)?,
        expiry: time::read_opt(row, 6)?,
        config: Config::new(),
        devices: Devices::new(),
    })
}

/// The snapshots of an instance, in the order of their making.
///
/// # Errors
/// A failure of the database.
pub fn list(tx: &Tx<'_>, instance_id: i64) -> Result<Vec<Snapshot>> {
    let mut snapshots = tx.all(
        "SELECT id, instance_id, name, creation_date, stateful, description, expiry_date
         FROM instances_snapshots WHERE instance_id = ?1 ORDER BY creation_date, id",
        [instance_id],
        from_row,
    )?;
    for snapshot in &mut snapshots {
        snapshot.config = CONFIG.all(tx, snapshot.id)?;
        snapshot.devices = DEVICES.all(tx, snapshot.id)?;
    }
    Ok(snapshots)
}

/// The snapshots of all instances by the instance's id, each in the order of their making. Three queries, however
/// many there are.
///
/// # Errors
/// A failure of the database.
pub fn every(tx: &Tx<'_>) -> Result<HashMap<i64, Vec<Snapshot>>> {
    let all = tx.all(
        "SELECT id, instance_id, name, creation_date, stateful, description, expiry_date
         FROM instances_snapshots ORDER BY creation_date, id",
        [],
        from_row,
    )?;
    let mut grouped: HashMap<i64, Vec<Snapshot>> = HashMap::new();
    if all.is_empty() {
        return Ok(grouped);
    }
    let mut configs: HashMap<i64, Config> = HashMap::new();
    tx.each(
        "SELECT instance_snapshot_id, key, IFNULL(value, '') FROM instances_snapshots_config",
        [],
        |row| {
            configs.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
            Ok(())
        },
    )?;
    let mut devices = HashMap::new();
    DEVICES.every(tx, [], &mut devices)?;
    for mut snapshot in all {
        snapshot.config = configs.remove(&snapshot.id).unwrap_or_default();
        snapshot.devices = devices.remove(&snapshot.id).unwrap_or_default();
        grouped.entry(snapshot.instance_id).or_default().push(snapshot);
    }
    Ok(grouped)
}

/// Project, instance and name of the snapshots whose time is over.
///
/// # Errors
/// A failure of the database.
pub fn expired(tx: &Tx<'_>, now: DateTime<Utc>) -> Result<Vec<(String, String, String)>> {
    let dated = tx.all(
        "SELECT j.name, i.name, s.name, s.expiry_date FROM instances_snapshots AS s
         JOIN instances AS i ON i.id = s.instance_id JOIN projects AS j ON j.id = i.project_id
         WHERE s.expiry_date IS NOT NULL ORDER BY s.id",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, time::read_opt(row, 3)?)),
    )?;
    let over = |at: &Option<DateTime<Utc>>| at.is_some_and(|at| at <= now);
    Ok(dated
        .into_iter()
        .filter(|row| over(&row.3))
        .map(|(project, instance, name, _)| (project, instance, name))
        .collect())
}

/// How many snapshots each instance has that has any, by the instance's id.
///
/// # Errors
/// A failure of the database.
pub fn counts(tx: &Tx<'_>) -> Result<HashMap<i64, i64>> {
    let rows =
        tx.all("SELECT instance_id, COUNT(*) FROM instances_snapshots GROUP BY instance_id", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    Ok(rows.into_iter().collect())
}

/// One snapshot.
///
/// # Errors
/// "InstanceSnapshot not found", or a failure of the database.
pub fn get(tx: &Tx<'_>, instance_id: i64, name: &str) -> Result<Snapshot> {
    let mut snapshot = tx
        .first(
            "SELECT id, instance_id, name, creation_date, stateful, description, expiry_date
             FROM instances_snapshots WHERE instance_id = ?1 AND name = ?2",
            params![instance_id, name],
            from_row,
        )?
        .ok_or_else(|| Error::not_found("InstanceSnapshot not found"))?;
    snapshot.config = CONFIG.all(tx, snapshot.id)?;
    snapshot.devices = DEVICES.all(tx, snapshot.id)?;
    Ok(snapshot)
}

/// Adds a snapshot (its `id` is not looked at); its id.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn insert(tx: &Tx<'_>, new: &Snapshot) -> Result<i64> {
    let id = tx.insert(
        "INSERT INTO instances_snapshots (instance_id, name, creation_date, stateful, description, expiry_date)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            new.instance_id,
            new.name,
            time::store(new.created),
            new.stateful,
            new.description,
            time::store_opt(new.expiry),
        ],
    )?;
    CONFIG.add(tx, id, &new.config)?;
    DEVICES.insert(tx, id, &new.devices)?;
    mark_stale(tx, new.instance_id)?;
    Ok(id)
}

/// Changes description and expiry.
///
/// # Errors
/// A failure of the database.
pub fn update(
    tx: &Tx<'_>,
    snapshot: &Snapshot,
    description: &str,
    expiry: Option<DateTime<Utc>>,
) -> Result<()> {
    tx.execute(
        "UPDATE instances_snapshots SET description = ?2, expiry_date = ?3 WHERE id = ?1",
        params![snapshot.id, description, time::store_opt(expiry)],
    )?;
    mark_stale(tx, snapshot.instance_id)
}

/// Changes the devices of a snapshot, as when its instance moves to another pool.
///
/// # Errors
/// A failure of the database.
pub fn set_devices(tx: &Tx<'_>, snapshot: &Snapshot, devices: &Devices) -> Result<()> {
    DEVICES.replace(tx, snapshot.id, devices)?;
    mark_stale(tx, snapshot.instance_id)
}

/// Gives a snapshot another name.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn rename(tx: &Tx<'_>, snapshot: &Snapshot, name: &str) -> Result<()> {
    tx.execute("UPDATE instances_snapshots SET name = ?2 WHERE id = ?1", params![snapshot.id, name])?;
    mark_stale(tx, snapshot.instance_id)
}

/// Removes a snapshot.
///
/// # Errors
/// A failure of the database.
pub fn delete(tx: &Tx<'_>, snapshot: &Snapshot) -> Result<()> {
    tx.execute("DELETE FROM instances_snapshots WHERE id = ?1", [snapshot.id])?;
    mark_stale(tx, snapshot.instance_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::{self, NewInstance};
    use crate::projects::DEFAULT;
    use crate::testing::{config, devices, temporary};

    #[tokio::test]
    async fn whole_life() {
        let (db, _dir) = temporary();
        let at = DateTime::from_timestamp(1_700_000_000, 5).unwrap();
        let id = db
            .write(move |tx| {
                let new =
                    NewInstance { project_id: DEFAULT, node_id: 1, name: "c1".into(), ..Default::default() };
                let id = instances::insert(tx, &new)?;
                for name in ["b", "a"] {
                    let snapshot = Snapshot {
                        instance_id: id,
                        name: name.into(),
                        created: at,
                        expiry: (name == "a").then_some(at),
                        config: config(&[("limits.cpu", name)]),
                        devices: devices(&[("root", &[("type", "disk"), ("path", "/")])]),
                        ..Snapshot::default()
                    };
                    insert(tx, &snapshot)?;
                }
                Ok(id)
            })
            .await
            .unwrap();
        let all = db.read(move |tx| list(tx, id)).await.unwrap();
        assert_eq!(all.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!((all[1].expiry, all[1].created), (Some(at), at));
        assert_eq!(all[0].devices, devices(&[("root", &[("type", "disk"), ("path", "/")])]));
        assert_eq!(db.read(every).await.unwrap()[&id], all);
        let over = db.read(move |tx| expired(tx, at)).await.unwrap();
        assert_eq!(over, [("default".to_owned(), "c1".to_owned(), "a".to_owned())]);
        assert_eq!(db.read(counts).await.unwrap()[&id], 2);
        let a = all[1].clone();
        db.write(move |tx| {
            update(tx, &a, "text", None)?;
            rename(tx, &a, "z")?;
            delete(tx, &get(tx, id, "b")?)
        })
        .await
        .unwrap();
        let z = db.read(move |tx| get(tx, id, "z")).await.unwrap();
        assert_eq!((z.description.as_str(), z.expiry), ("text", None));
        let gone = db.read(move |tx| get(tx, id, "b")).await.unwrap_err();
        assert_eq!(gone.chain(), "InstanceSnapshot not found");
        assert_eq!(db.read(|tx| instances::stale(tx, 1)).await.unwrap(), [(id, 6)]);
    }
}
