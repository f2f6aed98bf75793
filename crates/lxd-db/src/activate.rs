//! What `lxd activateifneeded` asks while no daemon runs: is there anything that needs one?

use std::path::Path;

use lxd_types::Result;
use rusqlite::{Connection, OptionalExtension};

use crate::error::file;
use crate::open::{self, Paths};

/// True when the server of this directory has something to do without being asked: it listens on the network, or an
/// instance was running, starts by itself or makes snapshots by a schedule. A directory without our databases needs
/// nothing. Nothing is changed.
///
/// # Errors
/// A database cannot be read.
pub fn needs_daemon(lxd_dir: &Path) -> Result<bool> {
    let paths = Paths::below(lxd_dir);
    for (path, queries) in [(&paths.local, LOCAL), (&paths.global, GLOBAL)] {
        if open::is_missing(path)? || open::check_foreign(lxd_dir).is_err() {
            continue;
        }
        let conn = open::open_reader(path)?;
        for query in queries {
            if found(&conn, query)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

const LOCAL: &[&str] = &["SELECT 1 FROM config WHERE key = 'core.https_address' AND value <> ''"];

const GLOBAL: &[&str] = &[
    "SELECT 1 FROM instances_config WHERE key = 'volatile.last_state.power' AND value = 'RUNNING'",
    "SELECT 1 FROM instances_config
     WHERE (key = 'boot.autostart' AND value IN ('true', '1', 'yes', 'on'))
        OR (key = 'snapshots.schedule' AND value <> '')",
    "SELECT 1 FROM profiles_config AS c JOIN instances_profiles AS u ON u.profile_id = c.profile_id
     WHERE (c.key = 'boot.autostart' AND c.value IN ('true', '1', 'yes', 'on'))
        OR (c.key = 'snapshots.schedule' AND c.value <> '')",
    "SELECT 1 FROM storage_volumes_config WHERE key = 'snapshots.schedule' AND value <> ''",
];

fn found(conn: &Connection, query: &str) -> Result<bool> {
    let row: Option<i64> = conn
        .query_row(query, [], |row| row.get(0))
        .optional()
        .map_err(file("Failed to read the database"))?;
    Ok(row.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::{self, NewInstance};
    use crate::projects::DEFAULT;
    use crate::testing::{config, temporary};

    #[tokio::test]
    async fn only_what_starts_by_itself_needs_a_daemon() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!needs_daemon(dir.path()).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

        let (db, dir) = temporary();
        let new = |name: &str, key, value| NewInstance {
            project_id: DEFAULT,
            node_id: 1,
            name: name.into(),
            config: config(&[(key, value)]),
            ..NewInstance::default()
        };
        db.write(move |tx| instances::insert(tx, &new("c1", "volatile.last_state.power", "STOPPED")))
            .await
            .unwrap();
        assert!(!needs_daemon(dir.path()).unwrap());
        db.write(move |tx| instances::insert(tx, &new("c2", "boot.autostart", "true"))).await.unwrap();
        assert!(needs_daemon(dir.path()).unwrap());
    }

    #[tokio::test]
    async fn the_network_needs_a_daemon() {
        let (db, dir) = temporary();
        db.local_write(|tx| crate::config::set(tx, "core.https_address", ":8443")).await.unwrap();
        assert!(needs_daemon(dir.path()).unwrap());
    }
}
