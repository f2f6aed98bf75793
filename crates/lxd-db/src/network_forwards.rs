//! Addresses that a network forwards to its instances.

use lxd_types::{Error, Result};
use rusqlite::params;

use crate::keyvalue::{KeyValue, key_value};
use crate::{Config, Tx};

const CONFIG: KeyValue = key_value!("networks_forwards_config", "network_forward_id");

/// A forward.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Forward {
    /// The address that is forwarded.
    pub listen_address: String,
    /// Text of the administrator.
    pub description: String,
    /// Its ports, as JSON.
    pub ports: String,
    /// Its keys.
    pub config: Config,
}

/// The forwards of a network that a member has, sorted by address.
///
/// # Errors
/// A failure of the database.
pub fn list(tx: &Tx<'_>, network: i64, node: i64) -> Result<Vec<Forward>> {
    let found: Vec<(i64, Forward)> = tx.all(
        "SELECT id, listen_address, description, ports FROM networks_forwards
         WHERE network_id = ?1 AND (node_id IS NULL OR node_id = ?2) ORDER BY listen_address",
        params![network, node],
        |row| {
            let forward = Forward {
                listen_address: row.get(1)?,
                description: row.get(2)?,
                ports: row.get(3)?,
                config: Config::new(),
            };
            Ok((row.get(0)?, forward))
        },
    )?;
    found.into_iter().map(|(id, forward)| Ok(Forward { config: CONFIG.all(tx, id)?, ..forward })).collect()
}

/// Adds a forward of a member.
///
/// # Errors
/// The address has one already (conflict), or a failure of the database.
pub fn insert(tx: &Tx<'_>, network: i64, node: i64, forward: &Forward) -> Result<()> {
    let id = tx.insert(
        "INSERT INTO networks_forwards (network_id, node_id, listen_address, description, ports)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![network, node, forward.listen_address, forward.description, forward.ports],
    )?;
    CONFIG.replace(tx, id, &forward.config)
}

/// Changes a forward of a member.
///
/// # Errors
/// "Network forward not found", or a failure of the database.
pub fn update(tx: &Tx<'_>, network: i64, node: i64, forward: &Forward) -> Result<()> {
    let id = require(tx, network, node, &forward.listen_address)?;
    tx.execute(
        "UPDATE networks_forwards SET description = ?2, ports = ?3 WHERE id = ?1",
        params![id, forward.description, forward.ports],
    )?;
    CONFIG.replace(tx, id, &forward.config)
}

/// Removes a forward of a member.
///
/// # Errors
/// "Network forward not found", or a failure of the database.
pub fn delete(tx: &Tx<'_>, network: i64, node: i64, address: &str) -> Result<()> {
    let id = require(tx, network, node, address)?;
    tx.execute("DELETE FROM networks_forwards WHERE id = ?1", [id]).map(drop)
}

fn require(tx: &Tx<'_>, network: i64, node: i64, address: &str) -> Result<i64> {
    tx.first(
        "SELECT id FROM networks_forwards
         WHERE network_id = ?1 AND (node_id IS NULL OR node_id = ?2) AND listen_address = ?3",
        params![network, node, address],
        |row| row.get(0),
    )?
    .ok_or_else(|| Error::not_found("Network forward not found"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{config, temporary};
    use crate::{networks, nodes, projects};

    #[tokio::test]
    async fn whole_life() {
        let (db, _dir) = temporary();
        let network = networks::NewNetwork {
            project_id: projects::DEFAULT,
            name: "br0".into(),
            state: networks::CREATED,
            ..networks::NewNetwork::default()
        };
        let id = db.write(move |tx| networks::insert(tx, nodes::LONE, &network)).await.unwrap();
        let forward = Forward {
            listen_address: "192.0.2.1".into(),
            description: "d".into(),
            ports: "[]".into(),
            config: config(&[("target_address", "10.0.0.2")]),
        };
        let changed = Forward { config: Config::new(), ports: "[1]".into(), ..forward.clone() };
        let (first, second) = (forward.clone(), changed.clone());
        db.write(move |tx| insert(tx, id, nodes::LONE, &first)).await.unwrap();
        let found = db.read(move |tx| list(tx, id, nodes::LONE)).await.unwrap();
        assert_eq!(found, std::slice::from_ref(&forward));
        assert!(db.read(move |tx| list(tx, id, 2)).await.unwrap().is_empty(), "another member's");
        let taken = db.write(move |tx| insert(tx, id, nodes::LONE, &forward)).await.unwrap_err();
        assert_eq!(taken.kind(), lxd_types::Kind::Conflict);
        db.write(move |tx| update(tx, id, nodes::LONE, &second)).await.unwrap();
        assert_eq!(db.read(move |tx| list(tx, id, nodes::LONE)).await.unwrap(), [changed]);
        db.write(move |tx| delete(tx, id, nodes::LONE, "192.0.2.1")).await.unwrap();
        let gone = db.write(move |tx| delete(tx, id, nodes::LONE, "192.0.2.1")).await.unwrap_err();
        assert_eq!(gone.chain(), "Network forward not found");
    }
}
