//! Storage pools, their configuration per member, and who uses them.

use lxd_types::{Error, Result};
use rusqlite::{Row, params};

use crate::keyvalue::{MemberKeyValue, member_key_value};
use crate::used_by::User;
use crate::{Config, Tx};

/// The keys that belong to one member.
const LOCAL: &[&str] =
    &["size", "source", "volatile.initial_source", "zfs.pool_name", "lvm.thinpool_name", "lvm.vg_name"];

const CONFIG: MemberKeyValue = member_key_value!("storage_pools_config", "storage_pool_id", LOCAL);

/// State of a pool that is defined but not made.
pub const PENDING: i64 = 0;
/// State of a pool that was made.
pub const CREATED: i64 = 1;
/// State of a pool that could not be made.
pub const ERRORED: i64 = 2;

/// One pool, with the configuration that a member sees.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pool {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its driver's name.
    pub driver: String,
    /// Text of the administrator.
    pub description: String,
    /// [`PENDING`], [`CREATED`] or [`ERRORED`].
    pub state: i64,
    /// Its keys.
    pub config: Config,
    /// The names of the members that have it, sorted.
    pub locations: Vec<String>,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Pool> {
    Ok(Pool {
        id: row.get(0)?,
        name: row.get(1)?,
        driver: row.get(2)?,
        description: row.get(3)?,
        state: row.get(4)?,
        config: Config::new(),
        locations: Vec::new(),
    })
}

/// The names of all pools, sorted.
///
/// # Errors
/// A failure of the database.
pub fn names(tx: &Tx<'_>) -> Result<Vec<String>> {
    tx.all("SELECT name FROM storage_pools ORDER BY name", [], |row| row.get(0))
}

/// All pools, sorted by name.
///
/// # Errors
/// A failure of the database.
pub fn list(tx: &Tx<'_>, node_id: i64) -> Result<Vec<Pool>> {
    let mut pools =
        tx.all("SELECT id, name, driver, description, state FROM storage_pools ORDER BY name", [], from_row)?;
    let mut configs = CONFIG.every(tx, node_id)?;
    for pool in &mut pools {
        pool.config = configs.remove(&pool.id).unwrap_or_default();
        pool.locations = locations(tx, pool.id)?;
    }
    Ok(pools)
}

/// The id of a pool, if there is one of that name.
///
/// # Errors
/// A failure of the database.
pub fn find(tx: &Tx<'_>, name: &str) -> Result<Option<i64>> {
    tx.first("SELECT id FROM storage_pools WHERE name = ?1", [name], |row| row.get(0))
}

/// The id of a pool that must exist.
///
/// # Errors
/// "Storage pool not found", or a failure of the database.
pub fn require(tx: &Tx<'_>, name: &str) -> Result<i64> {
    find(tx, name)?.ok_or_else(|| Error::not_found("Storage pool not found"))
}

/// One pool.
///
/// # Errors
/// "Storage pool not found", or a failure of the database.
pub fn get(tx: &Tx<'_>, name: &str, node_id: i64) -> Result<Pool> {
    let mut pool = tx
        .first(
            "SELECT id, name, driver, description, state FROM storage_pools WHERE name = ?1",
            [name],
            from_row,
        )?
        .ok_or_else(|| Error::not_found("Storage pool not found"))?;
    pool.config = CONFIG.all(tx, pool.id, node_id)?;
    pool.locations = locations(tx, pool.id)?;
    Ok(pool)
}

fn locations(tx: &Tx<'_>, id: i64) -> Result<Vec<String>> {
    tx.all(
        "SELECT n.name FROM storage_pools_nodes AS s JOIN nodes AS n ON n.id = s.node_id
         WHERE s.storage_pool_id = ?1 ORDER BY n.name",
        [id],
        |row| row.get(0),
    )
}

/// Adds a pool in a state, for one member; its id.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn insert(
    tx: &Tx<'_>,
    node_id: i64,
    name: &str,
    driver: &str,
    description: &str,
    config: &Config,
    state: i64,
) -> Result<i64> {
    let id = tx.insert(
        "INSERT INTO storage_pools (name, driver, description, state) VALUES (?1, ?2, ?3, ?4)",
        params![name, driver, description, state],
    )?;
    tx.execute(
        "INSERT INTO storage_pools_nodes (storage_pool_id, node_id, state) VALUES (?1, ?2, ?3)",
        params![id, node_id, state],
    )?;
    CONFIG.replace(tx, id, node_id, config)?;
    Ok(id)
}

/// Changes description and configuration as a member sees it.
///
/// # Errors
/// A failure of the database.
pub fn update(tx: &Tx<'_>, id: i64, node_id: i64, description: &str, config: &Config) -> Result<()> {
    tx.execute(
        "UPDATE storage_pools SET description = ?2 WHERE id = ?1 AND description IS NOT ?2",
        params![id, description],
    )?;
    CONFIG.replace(tx, id, node_id, config)
}

/// Changes the state of a pool, altogether and on a member.
///
/// # Errors
/// A failure of the database.
pub fn set_state(tx: &Tx<'_>, id: i64, node_id: i64, state: i64) -> Result<()> {
    tx.execute("UPDATE storage_pools SET state = ?2 WHERE id = ?1 AND state IS NOT ?2", params![id, state])?;
    tx.execute(
        "UPDATE storage_pools_nodes SET state = ?3
         WHERE storage_pool_id = ?1 AND node_id = ?2 AND state IS NOT ?3",
        params![id, node_id, state],
    )
    .map(drop)
}

/// Removes a pool with all rows of its volumes; whether it may go is the caller's matter.
///
/// # Errors
/// A failure of the database.
pub fn delete(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.execute("DELETE FROM storage_pools WHERE id = ?1", [id]).map(drop)
}

/// What lives on a pool (instances and their snapshots, images, custom volumes and their snapshots) and the
/// profiles whose disks name it, sorted by URL.
///
/// # Errors
/// A failure of the database.
pub fn used_by(tx: &Tx<'_>, id: i64) -> Result<Vec<User>> {
    let mut users = tx.all(
        "SELECT v.type, j.name, v.name, s.name, p.name FROM storage_volumes AS v
         JOIN projects AS j ON j.id = v.project_id JOIN storage_pools AS p ON p.id = v.storage_pool_id
         LEFT JOIN storage_volumes_snapshots AS s ON s.storage_volume_id = v.id WHERE v.storage_pool_id = ?1",
        [id],
        volume_user,
    )?;
    // A volume with snapshots has come once for each of them; the volume itself is missing then.
    users.extend(tx.all(
        "SELECT DISTINCT v.type, j.name, v.name, NULL, p.name FROM storage_volumes AS v
         JOIN projects AS j ON j.id = v.project_id JOIN storage_pools AS p ON p.id = v.storage_pool_id
         JOIN storage_volumes_snapshots AS s ON s.storage_volume_id = v.id WHERE v.storage_pool_id = ?1",
        [id],
        volume_user,
    )?);
    users.extend(tx.all(
        "SELECT DISTINCT j.name, p.name FROM profiles AS p JOIN projects AS j ON j.id = p.project_id
         JOIN profiles_devices AS d ON d.profile_id = p.id
         JOIN profiles_devices_config AS c ON c.profile_device_id = d.id
         WHERE d.type = 2 AND c.key = 'pool' AND c.value = (SELECT name FROM storage_pools WHERE id = ?1)",
        [id],
        |row| Ok(User::Profile { project: row.get(0)?, name: row.get(1)? }),
    )?);
    users.sort_by_cached_key(User::url);
    Ok(users)
}

fn volume_user(row: &Row<'_>) -> rusqlite::Result<User> {
    let (kind, project, name): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let snapshot: Option<String> = row.get(3)?;
    Ok(match (kind, snapshot) {
        (crate::storage_volumes::IMAGE, _) => User::Image { project, fingerprint: name },
        (crate::storage_volumes::CUSTOM, None) => User::Volume { project, pool: row.get(4)?, name },
        (crate::storage_volumes::CUSTOM, Some(snapshot)) => {
            User::VolumeSnapshot { project, pool: row.get(4)?, volume: name, name: snapshot }
        }
        (_, None) => User::Instance { project, name },
        (_, Some(snapshot)) => User::InstanceSnapshot { project, instance: name, name: snapshot },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projects::DEFAULT;
    use crate::storage_volumes::{self, NewVolume};
    use crate::testing::{config, devices, temporary};
    use crate::{nodes, profiles};

    #[tokio::test]
    async fn member_keys_are_kept_apart() {
        let (db, _dir) = temporary();
        let wanted = config(&[("source", "/x"), ("volume.size", "1GiB")]);
        let copy = wanted.clone();
        let id = db.write(move |tx| insert(tx, nodes::LONE, "p", "dir", "d", &copy, PENDING)).await.unwrap();
        let rows = db
            .read(|tx| {
                tx.all("SELECT key, node_id FROM storage_pools_config ORDER BY key", [], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?))
                })
            })
            .await
            .unwrap();
        assert_eq!(rows, [("source".to_owned(), Some(1)), ("volume.size".to_owned(), None)]);
        db.write(move |tx| {
            set_state(tx, id, nodes::LONE, CREATED)?;
            update(tx, id, nodes::LONE, "e", &config(&[("source", "/y")]))
        })
        .await
        .unwrap();
        let pool = db.read(|tx| get(tx, "p", nodes::LONE)).await.unwrap();
        assert_eq!(
            (pool.description.as_str(), pool.state, &pool.config),
            ("e", CREATED, &config(&[("source", "/y")]))
        );
        assert_eq!(pool.locations, ["none"]);
        assert_eq!(db.read(|tx| list(tx, nodes::LONE)).await.unwrap(), [pool]);
        // Another member does not see this one's keys.
        assert!(db.read(|tx| get(tx, "p", 2)).await.unwrap().config.is_empty());
        db.write(move |tx| delete(tx, id)).await.unwrap();
        assert_eq!(db.read(|tx| require(tx, "p")).await.unwrap_err().chain(), "Storage pool not found");
    }

    #[tokio::test]
    async fn users() {
        let (db, _dir) = temporary();
        let id = db
            .write(|tx| {
                let id = insert(tx, nodes::LONE, "p", "dir", "", &Config::new(), CREATED)?;
                for (kind, name) in [(0, "c1"), (0, "c2"), (1, "abc"), (2, "v1"), (2, "v2")] {
                    let new = NewVolume { pool_id: id, kind, name: name.into(), ..NewVolume::here(DEFAULT) };
                    let volume = storage_volumes::insert(tx, &new)?;
                    if name.ends_with('1') {
                        for snapshot in ["s1", "s2"] {
                            storage_volumes::insert_snapshot(tx, volume, snapshot, "", None, &Config::new())?;
                        }
                    }
                }
                let root = devices(&[("root", &[("type", "disk"), ("path", "/"), ("pool", "p")])]);
                profiles::insert(tx, DEFAULT, "a", "", &Config::new(), &root)?;
                Ok(id)
            })
            .await
            .unwrap();
        let users = db.read(move |tx| used_by(tx, id)).await.unwrap();
        let wanted = [
            "/1.0/images/abc",
            "/1.0/instances/c1",
            "/1.0/instances/c1/snapshots/s1",
            "/1.0/instances/c1/snapshots/s2",
            "/1.0/instances/c2",
            "/1.0/profiles/a",
            "/1.0/storage-pools/p/volumes/custom/v1",
            "/1.0/storage-pools/p/volumes/custom/v1/snapshots/s1",
            "/1.0/storage-pools/p/volumes/custom/v1/snapshots/s2",
            "/1.0/storage-pools/p/volumes/custom/v2",
        ];
        assert_eq!(users.iter().map(User::url).collect::<Vec<_>>(), wanted);
    }
}
