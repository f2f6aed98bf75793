//! Managed networks, their configuration per member, and who uses them.

use std::collections::HashMap;

use lxd_types::{Error, Result};
use rusqlite::{Row, params};

use crate::keyvalue::{MemberKeyValue, member_key_value};
use crate::used_by::User;
use crate::{Config, Tx};

/// The keys that belong to one member.
const LOCAL: &[&str] = &["bridge.external_interfaces", "parent", "bgp.ipv4.nexthop", "bgp.ipv6.nexthop"];

const CONFIG: MemberKeyValue = member_key_value!("networks_config", "network_id", LOCAL);

/// Type number of a bridge.
pub const BRIDGE: i64 = 0;
/// Type number of a macvlan network.
pub const MACVLAN: i64 = 1;
/// Type number of an SR-IOV network.
pub const SRIOV: i64 = 2;
/// Type number of an OVN network.
pub const OVN: i64 = 3;
/// Type number of a physical network.
pub const PHYSICAL: i64 = 4;

/// State of a network that is defined but not made.
pub const PENDING: i64 = 0;
/// State of a network that was made.
pub const CREATED: i64 = 1;
/// State of a network that could not be made.
pub const ERRORED: i64 = 2;

/// One managed network, with the configuration that a member sees.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Network {
    /// Its id.
    pub id: i64,
    /// The project that it belongs to.
    pub project_id: i64,
    /// The name of that project.
    pub project: String,
    /// Its name.
    pub name: String,
    /// Text of the administrator.
    pub description: String,
    /// [`PENDING`], [`CREATED`] or [`ERRORED`].
    pub state: i64,
    /// [`BRIDGE`] or one of its neighbours.
    pub kind: i64,
    /// Its keys.
    pub config: Config,
    /// The names of the members that have it, sorted.
    pub locations: Vec<String>,
}

/// What a new network is recorded with.
#[derive(Clone, Debug, Default)]
pub struct NewNetwork {
    /// The project that it belongs to.
    pub project_id: i64,
    /// Its name.
    pub name: String,
    /// Text of the administrator.
    pub description: String,
    /// [`PENDING`], [`CREATED`] or [`ERRORED`].
    pub state: i64,
    /// [`BRIDGE`] or one of its neighbours.
    pub kind: i64,
    /// Its keys; empty values are not stored.
    pub config: Config,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Network> {
    Ok(Network {
        id: row.get(0)?,
        project_id: row.get(1)?,
        project: row.get(2)?,
        name: row.get(3)?,
        description: row.get(4)?,
        state: row.get(5)?,
        kind: row.get(6)?,
        config: Config::new(),
        locations: Vec::new(),
    })
}

/// The names of a project's networks, sorted.
///
/// # Errors
/// A failure of the database.
pub fn names(tx: &Tx<'_>, project_id: i64) -> Result<Vec<String>> {
    tx.all("SELECT name FROM networks WHERE project_id = ?1 ORDER BY name", [project_id], |row| row.get(0))
}

/// The networks of a project, or of all (`None`), sorted by project and name.
///
/// # Errors
/// A failure of the database.
pub fn list(tx: &Tx<'_>, project_id: Option<i64>, node_id: i64) -> Result<Vec<Network>> {
    let mut networks = tx.all(
        "SELECT n.id, n.project_id, j.name, n.name, n.description, n.state, n.type
         FROM networks AS n JOIN projects AS j ON j.id = n.project_id
         WHERE ?1 IS NULL OR n.project_id = ?1 ORDER BY j.name, n.name",
        [project_id],
        from_row,
    )?;
    let mut configs = CONFIG.every(tx, node_id)?;
    for network in &mut networks {
        network.config = configs.remove(&network.id).unwrap_or_default();
        network.locations = locations(tx, network.id)?;
    }
    Ok(networks)
}

/// The id of a network, if there is one of that name.
///
/// # Errors
/// A failure of the database.
pub fn find(tx: &Tx<'_>, project_id: i64, name: &str) -> Result<Option<i64>> {
    tx.first(
        "SELECT id FROM networks WHERE project_id = ?1 AND name = ?2",
        params![project_id, name],
        |row| row.get(0),
    )
}

/// One network.
///
/// # Errors
/// "Network not found", or a failure of the database.
pub fn get(tx: &Tx<'_>, project_id: i64, name: &str, node_id: i64) -> Result<Network> {
    let mut network = tx
        .first(
            "SELECT n.id, n.project_id, j.name, n.name, n.description, n.state, n.type
             FROM networks AS n JOIN projects AS j ON j.id = n.project_id
             WHERE n.project_id = ?1 AND n.name = ?2",
            params![project_id, name],
            from_row,
        )?
        .ok_or_else(|| Error::not_found("Network not found"))?;
    network.config = CONFIG.all(tx, network.id, node_id)?;
    network.locations = locations(tx, network.id)?;
    Ok(network)
}

fn locations(tx: &Tx<'_>, id: i64) -> Result<Vec<String>> {
    tx.all(
        "SELECT n.name FROM networks_nodes AS s JOIN nodes AS n ON n.id = s.node_id
         WHERE s.network_id = ?1 ORDER BY n.name",
        [id],
        |row| row.get(0),
    )
}

/// Adds a network for one member; its id.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn insert(tx: &Tx<'_>, node_id: i64, new: &NewNetwork) -> Result<i64> {
    let id = tx.insert(
        "INSERT INTO networks (project_id, name, description, state, type) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![new.project_id, new.name, new.description, new.state, new.kind],
    )?;
    tx.execute(
        "INSERT INTO networks_nodes (network_id, node_id, state) VALUES (?1, ?2, ?3)",
        params![id, node_id, new.state],
    )?;
    CONFIG.replace(tx, id, node_id, &new.config)?;
    Ok(id)
}

/// Changes description and configuration as a member sees it.
///
/// # Errors
/// A failure of the database.
pub fn update(tx: &Tx<'_>, id: i64, node_id: i64, description: &str, config: &Config) -> Result<()> {
    tx.execute(
        "UPDATE networks SET description = ?2 WHERE id = ?1 AND description IS NOT ?2",
        params![id, description],
    )?;
    CONFIG.replace(tx, id, node_id, config)
}

/// Changes the state of a network, altogether and on a member.
///
/// # Errors
/// A failure of the database.
pub fn set_state(tx: &Tx<'_>, id: i64, node_id: i64, state: i64) -> Result<()> {
    tx.execute("UPDATE networks SET state = ?2 WHERE id = ?1 AND state IS NOT ?2", params![id, state])?;
    tx.execute(
        "UPDATE networks_nodes SET state = ?3 WHERE network_id = ?1 AND node_id = ?2 AND state IS NOT ?3",
        params![id, node_id, state],
    )
    .map(drop)
}

/// Gives a network another name.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn rename(tx: &Tx<'_>, id: i64, name: &str) -> Result<()> {
    tx.execute("UPDATE networks SET name = ?2 WHERE id = ?1", params![id, name]).map(drop)
}

/// Removes a network; whether it may go is the caller's matter.
///
/// # Errors
/// A failure of the database.
pub fn delete(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.execute("DELETE FROM networks WHERE id = ?1", [id]).map(drop)
}

/// Who uses a network: the networks on top of it, then the profiles whose NICs name it (as `network` or as `parent`), then
/// the instances that have such a NIC, of their own or from a profile that they do not override; each sorted by project
/// and name.
///
/// # Errors
/// A failure of the database.
pub fn used_by(tx: &Tx<'_>, project_id: i64, name: &str) -> Result<Vec<User>> {
    Ok(users(tx, project_id, Some(name))?.remove(name).unwrap_or_default())
}

/// As [`used_by`], for all networks and interfaces of the host at once, by name.
///
/// # Errors
/// A failure of the database.
pub fn users(tx: &Tx<'_>, project_id: i64, name: Option<&str>) -> Result<HashMap<String, Vec<User>>> {
    let mut users: HashMap<String, Vec<User>> = HashMap::new();
    let triple = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let mut collect = |sql: &str, user: fn(String, String) -> User| -> Result<()> {
        let found: Vec<(String, String, String)> = tx.all(sql, params![project_id, name], triple)?;
        for (used, project, name) in found {
            users.entry(used).or_default().push(user(project, name));
        }
        Ok(())
    };
    collect(
        "SELECT DISTINCT c.value, j.name, n.name FROM networks_config AS c
         JOIN networks AS n ON n.id = c.network_id JOIN projects AS j ON j.id = n.project_id
         WHERE c.key IN ('network', 'parent') AND n.project_id = ?1 AND (?2 IS NULL OR c.value = ?2)
         ORDER BY j.name, n.name",
        |project, name| User::Network { project, name },
    )?;
    collect(
        "SELECT DISTINCT c.value, j.name, p.name FROM profiles_devices AS d
         JOIN profiles_devices_config AS c ON c.profile_device_id = d.id
         JOIN profiles AS p ON p.id = d.profile_id JOIN projects AS j ON j.id = p.project_id
         WHERE d.type = 1 AND c.key IN ('network', 'parent') AND (?2 IS NULL OR c.value = ?2)
           AND ?1 = IFNULL((SELECT f.project_id FROM projects_config AS f WHERE f.project_id = p.project_id
             AND f.key = 'features.networks' AND f.value IN ('true', '1', 'yes', 'on')), 1)
         ORDER BY j.name, p.name",
        |project, name| User::Profile { project, name },
    )?;
    collect(
        "SELECT u.value, j.name, i.name FROM instances AS i JOIN projects AS j ON j.id = i.project_id
         JOIN (
           SELECT d.instance_id, c.value FROM instances_devices AS d
           JOIN instances_devices_config AS c ON c.instance_device_id = d.id
           WHERE d.type = 1 AND c.key IN ('network', 'parent') AND (?2 IS NULL OR c.value = ?2)
           UNION
           SELECT u.instance_id, c.value FROM profiles_devices AS d
           JOIN profiles_devices_config AS c ON c.profile_device_id = d.id
           JOIN instances_profiles AS u ON u.profile_id = d.profile_id
           WHERE d.type = 1 AND c.key IN ('network', 'parent') AND (?2 IS NULL OR c.value = ?2)
             AND NOT EXISTS (SELECT 1 FROM instances_devices AS own
               WHERE own.instance_id = u.instance_id AND own.name = d.name)
             AND NOT EXISTS (SELECT 1 FROM instances_profiles AS later
               JOIN profiles_devices AS other ON other.profile_id = later.profile_id
               WHERE later.instance_id = u.instance_id AND later.apply_order > u.apply_order
                 AND other.name = d.name)) AS u ON u.instance_id = i.id
         WHERE ?1 = IFNULL((SELECT f.project_id FROM projects_config AS f WHERE f.project_id = i.project_id
             AND f.key = 'features.networks' AND f.value IN ('true', '1', 'yes', 'on')), 1)
         ORDER BY j.name, i.name",
        |project, name| User::Instance { project, name },
    )?;
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::{self, NewInstance};
    use crate::projects::{self, DEFAULT};
    use crate::testing::{config, devices, temporary};
    use crate::{nodes, profiles};

    fn new(name: &str) -> NewNetwork {
        NewNetwork { project_id: DEFAULT, name: name.into(), state: CREATED, ..NewNetwork::default() }
    }

    #[tokio::test]
    async fn whole_life() {
        let (db, _dir) = temporary();
        let keys = [("ipv4.address", "10.0.0.1/24"), ("bridge.external_interfaces", "eth7")];
        let id = db
            .write(move |tx| insert(tx, nodes::LONE, &NewNetwork { config: config(&keys), ..new("br0") }))
            .await
            .unwrap();
        let network = db.read(|tx| get(tx, DEFAULT, "br0", nodes::LONE)).await.unwrap();
        assert_eq!((network.config, network.state, network.kind), (config(&keys), CREATED, BRIDGE));
        assert_eq!(network.locations, ["none"]);
        // Another member does not see this one's interfaces.
        let other = db.read(|tx| get(tx, DEFAULT, "br0", 2)).await.unwrap();
        assert_eq!(other.config, config(&keys[..1]));
        let taken = db.write(|tx| insert(tx, nodes::LONE, &new("br0"))).await.unwrap_err();
        assert_eq!(taken.kind(), lxd_types::Kind::Conflict);
        db.write(move |tx| {
            update(tx, id, nodes::LONE, "d", &config(&[("ipv4.nat", "true")]))?;
            set_state(tx, id, nodes::LONE, ERRORED)?;
            rename(tx, id, "br1")
        })
        .await
        .unwrap();
        let all = db.read(|tx| list(tx, Some(DEFAULT), nodes::LONE)).await.unwrap();
        assert_eq!((all[0].name.as_str(), all[0].description.as_str(), all[0].state), ("br1", "d", ERRORED));
        assert_eq!(all[0].config, config(&[("ipv4.nat", "true")]));
        db.write(move |tx| delete(tx, id)).await.unwrap();
        assert!(db.read(|tx| names(tx, DEFAULT)).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn users_are_those_whose_expanded_devices_name_it() {
        let (db, _dir) = temporary();
        db.write(|tx| {
            insert(tx, nodes::LONE, &new("br0"))?;
            let above = config(&[("parent", "br0")]);
            insert(tx, nodes::LONE, &NewNetwork { kind: MACVLAN, config: above, ..new("above") })?;
            let nic = devices(&[("eth0", &[("type", "nic"), ("network", "br0")])]);
            let masked = devices(&[("eth0", &[("type", "none")])]);
            let web = profiles::insert(tx, DEFAULT, "web", "", &Config::new(), &nic)?;
            let dull = profiles::insert(tx, DEFAULT, "dull", "", &Config::new(), &masked)?;
            let other = projects::insert(tx, "p1", "", &config(&[("features.networks", "true")]))?;
            let shared = projects::insert(tx, "p2", "", &Config::new())?;
            let parent = devices(&[("e", &[("type", "nic"), ("nictype", "bridged"), ("parent", "br0")])]);
            for (project_id, name, devices, profiles) in [
                (DEFAULT, "by-profile", devices(&[]), vec![web]),
                (DEFAULT, "by-own", parent, vec![]),
                (DEFAULT, "masked-by-own", masked, vec![web]),
                (DEFAULT, "masked-by-profile", devices(&[]), vec![web, dull]),
                (DEFAULT, "unmasked", devices(&[]), vec![dull, web]),
                (other, "other-network", nic.clone(), vec![]),
                (shared, "shared", nic.clone(), vec![]),
            ] {
                let new = NewInstance {
                    project_id,
                    node_id: 1,
                    name: name.into(),
                    devices,
                    profiles,
                    ..Default::default()
                };
                instances::insert(tx, &new)?;
            }
            Ok(())
        })
        .await
        .unwrap();
        let users = db.read(|tx| used_by(tx, DEFAULT, "br0")).await.unwrap();
        let wanted = [
            "/1.0/networks/above",
            "/1.0/profiles/web",
            "/1.0/instances/by-own",
            "/1.0/instances/by-profile",
            "/1.0/instances/unmasked",
            "/1.0/instances/shared?project=p2",
        ];
        assert_eq!(users.iter().map(User::url).collect::<Vec<_>>(), wanted);
    }
}
