//! Members. A lone server is member 1, named `none`.

use chrono::{DateTime, Utc};
use lxd_types::{Error, Result};
use rusqlite::{Row, Transaction, params};

use crate::{GLOBAL_VERSION, Tx, architecture, open, time};

/// The id of a lone server's only member.
pub const LONE: i64 = 1;

/// The name that a server has in the database as long as it is no cluster member.
pub const LONE_NAME: &str = "none";

/// One member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    /// Its id.
    pub id: i64,
    /// Its name; [`LONE_NAME`] outside a cluster.
    pub name: String,
    /// Text of the administrator.
    pub description: String,
    /// `host:port` in a cluster, `0.0.0.0` outside.
    pub address: String,
    /// The newest global schema that it knows.
    pub schema: i64,
    /// How many API extensions it has.
    pub api_extensions: i64,
    /// When it was last heard of.
    pub heartbeat: Option<DateTime<Utc>>,
    /// 0 ordinary, 1 pending, 2 evacuated.
    pub state: i64,
    /// Its architecture's number.
    pub arch: i64,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Node> {
    Ok(Node {
        id: row.get(0)?,
        name: row.get(1)?,
        description: row.get(2)?,
        address: row.get(3)?,
        schema: row.get(4)?,
        api_extensions: row.get(5)?,
        heartbeat: time::read_opt(row, 6)?,
        state: row.get(7)?,
        arch: row.get(8)?,
    })
}

/// The member that every new database begins with.
pub(crate) fn seed(tx: &Transaction<'_>, now: DateTime<Utc>) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO nodes (id, name, description, address, schema, api_extensions, heartbeat, state, arch)
         VALUES (?1, ?2, '', '0.0.0.0', ?3, 0, ?4, 0, ?5)",
        params![LONE, LONE_NAME, GLOBAL_VERSION, open::stamp(now), architecture::own()],
    )?;
    tx.execute("INSERT INTO nodes_cluster_groups (node_id, group_id) VALUES (?1, 1)", [LONE])?;
    Ok(())
}

/// All members, by name.
///
/// # Errors
/// A failure of the database.
pub fn list(tx: &Tx<'_>) -> Result<Vec<Node>> {
    tx.all(
        "SELECT id, name, description, address, schema, api_extensions, heartbeat, state, arch
         FROM nodes ORDER BY name",
        [],
        from_row,
    )
}

/// One member.
///
/// # Errors
/// "Cluster member not found", or a failure of the database.
pub fn get(tx: &Tx<'_>, id: i64) -> Result<Node> {
    tx.first(
        "SELECT id, name, description, address, schema, api_extensions, heartbeat, state, arch
         FROM nodes WHERE id = ?1",
        [id],
        from_row,
    )?
    .ok_or_else(|| Error::not_found("Cluster member not found"))
}

/// Notes what this member's program can do; without a change nothing is written.
///
/// # Errors
/// A failure of the database.
pub fn set_versions(tx: &Tx<'_>, id: i64, api_extensions: i64) -> Result<()> {
    tx.execute(
        "UPDATE nodes SET schema = ?2, api_extensions = ?3
         WHERE id = ?1 AND (schema, api_extensions) IS NOT (?2, ?3)",
        params![id, GLOBAL_VERSION, api_extensions],
    )
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::temporary;

    #[tokio::test]
    async fn a_new_server_is_member_one() {
        let (db, _dir) = temporary();
        let nodes = db.read(list).await.unwrap();
        assert_eq!(nodes.len(), 1);
        assert_eq!((nodes[0].id, nodes[0].name.as_str(), nodes[0].address.as_str()), (1, "none", "0.0.0.0"));
        assert_eq!(nodes[0].schema, GLOBAL_VERSION);
        db.write(|tx| set_versions(tx, LONE, 318)).await.unwrap();
        assert_eq!(db.read(|tx| get(tx, LONE)).await.unwrap().api_extensions, 318);
        let commits = db.stats().global_commits;
        db.write(|tx| set_versions(tx, LONE, 318)).await.unwrap();
        assert_eq!(db.stats().global_commits, commits);
    }
}
