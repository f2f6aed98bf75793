//! Network ACLs with their rules, and who uses them.

use lxd_types::{Error, Result};
use rusqlite::{Row, params};

use crate::keyvalue::{KeyValue, key_value};
use crate::used_by::User;
use crate::{Config, Tx};

const CONFIG: KeyValue = key_value!("networks_acls_config", "network_acl_id");

/// One ACL. Rules are lists of objects, as JSON.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NetworkAcl {
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
    /// Rules for what goes to instances.
    pub ingress: String,
    /// Rules for what comes from instances.
    pub egress: String,
    /// Its keys.
    pub config: Config,
}

const COLUMNS: &str = "SELECT a.id, a.project_id, j.name, a.name, a.description, a.ingress, a.egress
     FROM networks_acls AS a JOIN projects AS j ON j.id = a.project_id";

fn from_row(row: &Row<'_>) -> rusqlite::Result<NetworkAcl> {
    Ok(NetworkAcl {
        id: row.get(0)?,
        project_id: row.get(1)?,
        project: row.get(2)?,
        name: row.get(3)?,
        description: row.get(4)?,
        ingress: row.get(5)?,
        egress: row.get(6)?,
        config: Config::new(),
    })
}

/// The names of a project's ACLs in the order in which they were made.
///
/// # Errors
/// A failure of the database.
pub fn names(tx: &Tx<'_>, project_id: i64) -> Result<Vec<String>> {
    tx.all("SELECT name FROM networks_acls WHERE project_id = ?1 ORDER BY id", [project_id], |row| row.get(0))
}

/// The ACLs of a project in the order in which they were made.
///
/// # Errors
/// A failure of the database.
pub fn list(tx: &Tx<'_>, project_id: i64) -> Result<Vec<NetworkAcl>> {
    let mut acls =
        tx.all(&format!("{COLUMNS} WHERE a.project_id = ?1 ORDER BY a.id"), [project_id], from_row)?;
    for acl in &mut acls {
        acl.config = CONFIG.all(tx, acl.id)?;
    }
    Ok(acls)
}

/// One ACL.
///
/// # Errors
/// "Network ACL not found", or a failure of the database.
pub fn get(tx: &Tx<'_>, project_id: i64, name: &str) -> Result<NetworkAcl> {
    let sql = format!("{COLUMNS} WHERE a.project_id = ?1 AND a.name = ?2");
    let mut acl = tx
        .first(&sql, params![project_id, name], from_row)?
        .ok_or_else(|| Error::not_found("Network ACL not found"))?;
    acl.config = CONFIG.all(tx, acl.id)?;
    Ok(acl)
}

/// Adds an ACL; its id. The ids that `new` holds are not looked at but for the project's.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn insert(tx: &Tx<'_>, new: &NetworkAcl) -> Result<i64> {
    let id = tx.insert(
        "INSERT INTO networks_acls (project_id, name, description, ingress, egress) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![new.project_id, new.name, new.description, new.ingress, new.egress],
    )?;
    CONFIG.replace(tx, id, &new.config)?;
    Ok(id)
}

/// Changes everything but the name.
///
/// # Errors
/// A failure of the database.
pub fn update(tx: &Tx<'_>, id: i64, new: &NetworkAcl) -> Result<()> {
    tx.execute(
        "UPDATE networks_acls SET description = ?2, ingress = ?3, egress = ?4 WHERE id = ?1",
        params![id, new.description, new.ingress, new.egress],
    )?;
    CONFIG.replace(tx, id, &new.config)
}

/// Gives an ACL another name.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn rename(tx: &Tx<'_>, id: i64, name: &str) -> Result<()> {
    tx.execute("UPDATE networks_acls SET name = ?2 WHERE id = ?1", params![id, name]).map(drop)
}

/// Removes an ACL; whether it may go is the caller's matter.
///
/// # Errors
/// A failure of the database.
pub fn delete(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.execute("DELETE FROM networks_acls WHERE id = ?1", [id]).map(drop)
}

/// What a user is, of the names of its project and itself.
type MakeUser = fn(String, String) -> User;

/// Where the key `security.acls` may stand (as `c`, of an owner `o`), and what its owner is.
const USERS: [(&str, MakeUser); 3] = [
    ("networks_config AS c JOIN networks AS o ON o.id = c.network_id", |project, name| User::Network {
        project,
        name,
    }),
    (
        "profiles_devices_config AS c JOIN profiles_devices AS d ON d.id = c.profile_device_id AND d.type = 1
         JOIN profiles AS o ON o.id = d.profile_id",
        |project, name| User::Profile { project, name },
    ),
    (
        "instances_devices_config AS c JOIN instances_devices AS d ON d.id = c.instance_device_id AND d.type = 1
         JOIN instances AS o ON o.id = d.instance_id",
        |project, name| User::Instance { project, name },
    ),
];

/// Who names each of a project's ACLs: networks, then profiles and instances with a NIC that does, then other ACLs.
/// Each is a pair of the ACL's name and the user.
///
/// # Errors
/// A failure of the database.
pub fn users(tx: &Tx<'_>, project_id: i64) -> Result<Vec<(String, User)>> {
    let mut users = Vec::new();
    // The projects that have no networks of their own use those of `default`.
    let owner = "?1 = IFNULL((SELECT f.project_id FROM projects_config AS f WHERE f.project_id = j.id
         AND f.key = 'features.networks' AND f.value IN ('true', '1', 'yes', 'on')), 1)";
    for (owners, user) in USERS {
        let sql = format!(
            "SELECT j.name, o.name, IFNULL(c.value, '') FROM {owners} JOIN projects AS j ON j.id = o.project_id
             WHERE c.key = 'security.acls' AND {owner} ORDER BY j.name, o.name"
        );
        tx.each(&sql, [project_id], |row| {
            let (project, name, list): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            for acl in list.split(',').map(str::trim).filter(|acl| !acl.is_empty()) {
                users.push((acl.to_owned(), user(project.clone(), name.clone())));
            }
            Ok(())
        })?;
    }
    for acl in list(tx, project_id)? {
        for named in subjects(&acl.ingress).chain(subjects(&acl.egress)).filter(|named| *named != acl.name) {
            users.push((named, User::NetworkAcl { project: acl.project.clone(), name: acl.name.clone() }));
        }
    }
    let mut seen = std::collections::HashSet::new();
    users.retain(|(acl, user)| seen.insert((acl.clone(), user.url())));
    Ok(users)
}

/// What rules are about, names among it.
fn subjects(rules: &str) -> impl Iterator<Item = String> {
    let rules: Vec<serde_json::Value> = serde_json::from_str(rules).unwrap_or_default();
    rules.into_iter().flat_map(|rule| {
        let lists =
            ["source", "destination"].map(|field| rule[field].as_str().unwrap_or_default().to_owned());
        lists.into_iter().flat_map(|list| list.split(',').map(str::to_owned).collect::<Vec<_>>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::{self, NewNetwork};
    use crate::projects::{self, DEFAULT};
    use crate::testing::{config, devices, temporary};
    use crate::{nodes, profiles};

    fn new(name: &str, ingress: &str, egress: &str) -> NetworkAcl {
        NetworkAcl {
            project_id: DEFAULT,
            name: name.into(),
            ingress: ingress.into(),
            egress: egress.into(),
            ..NetworkAcl::default()
        }
    }

    #[tokio::test]
    async fn whole_life() {
        let (db, _dir) = temporary();
        let first = NetworkAcl { config: config(&[("user.a", "1")]), ..new("web", "[]", "[]") };
        let id = db.write(move |tx| insert(tx, &first)).await.unwrap();
        let taken = db.write(|tx| insert(tx, &new("web", "[]", "[]"))).await.unwrap_err();
        assert_eq!(taken.kind(), lxd_types::Kind::Conflict);
        db.write(move |tx| {
            update(
                tx,
                id,
                &NetworkAcl { description: "d".into(), ..new("", r#"[{"action":"drop"}]"#, "[]") },
            )?;
            rename(tx, id, "www")
        })
        .await
        .unwrap();
        let acl = db.read(|tx| get(tx, DEFAULT, "www")).await.unwrap();
        assert_eq!((acl.description.as_str(), acl.ingress.as_str()), ("d", r#"[{"action":"drop"}]"#));
        assert!(acl.config.is_empty());
        assert_eq!(db.read(|tx| list(tx, DEFAULT)).await.unwrap(), [acl]);
        db.write(move |tx| delete(tx, id)).await.unwrap();
        assert!(db.read(|tx| names(tx, DEFAULT)).await.unwrap().is_empty());
        let gone = db.read(|tx| get(tx, DEFAULT, "www")).await.unwrap_err();
        assert_eq!(gone.chain(), "Network ACL not found");
    }

    #[tokio::test]
    async fn users_are_networks_devices_and_other_acls() {
        let (db, _dir) = temporary();
        db.write(|tx| {
            insert(tx, &new("a", "[]", r#"[{"action":"drop","destination":"a,b"}]"#))?;
            insert(tx, &new("b", r#"[{"source":"a"},{"source":"10.0.0.1,a"}]"#, r#"[{"destination":"a"}]"#))?;
            let other = projects::insert(tx, "p1", "", &config(&[("features.networks", "true")]))?;
            insert(tx, &NetworkAcl { project_id: other, ..new("c", r#"[{"source":"a"}]"#, "[]") })?;
            let uses = config(&[("security.acls", "b, a")]);
            let network =
                NewNetwork { project_id: DEFAULT, name: "br0".into(), config: uses, ..Default::default() };
            networks::insert(tx, nodes::LONE, &network)?;
            let nic = devices(&[("eth0", &[("type", "nic"), ("security.acls", "a")])]);
            profiles::insert(tx, DEFAULT, "web", "", &Config::new(), &nic)?;
            profiles::insert(tx, other, "elsewhere", "", &Config::new(), &nic)
        })
        .await
        .unwrap();
        let users = db.read(|tx| users(tx, DEFAULT)).await.unwrap();
        let urls = |acl: &str| -> Vec<String> {
            users.iter().filter(|(of, _)| of == acl).map(|(_, user)| user.url()).collect()
        };
        assert_eq!(urls("a"), ["/1.0/networks/br0", "/1.0/profiles/web", "/1.0/network-acls/b"]);
        assert_eq!(urls("b"), ["/1.0/networks/br0", "/1.0/network-acls/a"]);
    }
}
