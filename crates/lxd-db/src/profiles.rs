//! Profiles: configuration and devices that instances share.

use std::collections::HashMap;

use lxd_types::{Error, Result};
use rusqlite::{Row, params};

use crate::devices::{DeviceTables, device_tables};
use crate::keyvalue::{KeyValue, key_value};
use crate::used_by::User;
use crate::{Config, Devices, Tx};

const CONFIG: KeyValue = key_value!("profiles_config", "profile_id");
const DEVICES: DeviceTables = device_tables!("profiles_devices", "profile_id", "profile_device_id");

/// The name of the profile that always exists.
pub const DEFAULT_NAME: &str = "default";

/// One profile.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Profile {
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
    /// Its keys.
    pub config: Config,
    /// Its devices.
    pub devices: Devices,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Profile> {
    Ok(Profile {
        id: row.get(0)?,
        project_id: row.get(1)?,
        project: row.get(2)?,
        name: row.get(3)?,
        description: row.get(4)?,
        config: Config::new(),
        devices: Devices::new(),
    })
}

/// The names of a project's profiles, sorted.
///
/// # Errors
/// A failure of the database.
pub fn names(tx: &Tx<'_>, project_id: i64) -> Result<Vec<String>> {
    tx.all("SELECT name FROM profiles WHERE project_id = ?1 ORDER BY name", [project_id], |row| row.get(0))
}

/// The profiles of a project, or of all (`None`), sorted by project and name.
///
/// # Errors
/// A failure of the database.
pub fn list(tx: &Tx<'_>, project_id: Option<i64>) -> Result<Vec<Profile>> {
    let mut profiles = tx.all(
        "SELECT p.id, p.project_id, j.name, p.name, p.description
         FROM profiles AS p JOIN projects AS j ON j.id = p.project_id
         WHERE ?1 IS NULL OR p.project_id = ?1 ORDER BY j.name, p.name",
        [project_id],
        from_row,
    )?;
    let mut configs: HashMap<i64, Config> = HashMap::new();
    tx.each("SELECT profile_id, key, IFNULL(value, '') FROM profiles_config", [], |row| {
        configs.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
        Ok(())
    })?;
    let mut devices = HashMap::new();
    DEVICES.every(tx, [], &mut devices)?;
    for profile in &mut profiles {
        profile.config = configs.remove(&profile.id).unwrap_or_default();
        profile.devices = devices.remove(&profile.id).unwrap_or_default();
    }
    Ok(profiles)
}

/// The id of a profile, if there is one of that name.
///
/// # Errors
/// A failure of the database.
pub fn find(tx: &Tx<'_>, project_id: i64, name: &str) -> Result<Option<i64>> {
    tx.first(
        "SELECT id FROM profiles WHERE project_id = ?1 AND name = ?2",
        params![project_id, name],
        |row| row.get(0),
    )
}

/// One profile with configuration and devices.
///
/// # Errors
/// "Profile not found", or a failure of the database.
pub fn get(tx: &Tx<'_>, project_id: i64, name: &str) -> Result<Profile> {
    let mut profile = tx
        .first(
            "SELECT p.id, p.project_id, j.name, p.name, p.description
             FROM profiles AS p JOIN projects AS j ON j.id = p.project_id
             WHERE p.project_id = ?1 AND p.name = ?2",
            params![project_id, name],
            from_row,
        )?
        .ok_or_else(|| Error::not_found("Profile not found"))?;
    profile.config = CONFIG.all(tx, profile.id)?;
    profile.devices = DEVICES.all(tx, profile.id)?;
    Ok(profile)
}

/// The profiles of an instance in the order in which they apply.
///
/// # Errors
/// A failure of the database.
pub fn of_instance(tx: &Tx<'_>, instance_id: i64) -> Result<Vec<Profile>> {
    let mut profiles = tx.all(
        "SELECT p.id, p.project_id, j.name, p.name, p.description
         FROM instances_profiles AS i JOIN profiles AS p ON p.id = i.profile_id
         JOIN projects AS j ON j.id = p.project_id
         WHERE i.instance_id = ?1 ORDER BY i.apply_order",
        [instance_id],
        from_row,
    )?;
    for profile in &mut profiles {
        profile.config = CONFIG.all(tx, profile.id)?;
        profile.devices = DEVICES.all(tx, profile.id)?;
    }
    Ok(profiles)
}

/// The named profiles, in that order.
///
/// # Errors
/// "Requested profile "NAME" doesn't exist" (not found), or a failure of the database.
pub fn by_names(tx: &Tx<'_>, project_id: i64, names: &[String]) -> Result<Vec<Profile>> {
    names
        .iter()
        .map(|name| match find(tx, project_id, name)? {
            Some(_) => get(tx, project_id, name),
            None => Err(Error::not_found(format!("Requested profile {name:?} doesn't exist"))),
        })
        .collect()
}

/// Adds a profile; its id.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn insert(
    tx: &Tx<'_>,
    project_id: i64,
    name: &str,
    description: &str,
    config: &Config,
    devices: &Devices,
) -> Result<i64> {
    let id = tx.insert(
        "INSERT INTO profiles (project_id, name, description) VALUES (?1, ?2, ?3)",
        params![project_id, name, description],
    )?;
    CONFIG.add(tx, id, config)?;
    DEVICES.insert(tx, id, devices)?;
    Ok(id)
}

/// Changes description, configuration and devices. One transaction, however many instances use the profile; their
/// `backup.yaml` becomes stale.
///
/// # Errors
/// A failure of the database.
pub fn update(tx: &Tx<'_>, id: i64, description: &str, config: &Config, devices: &Devices) -> Result<()> {
    tx.execute(
        "UPDATE profiles SET description = ?2 WHERE id = ?1 AND description IS NOT ?2",
        params![id, description],
    )?;
    CONFIG.replace(tx, id, config)?;
    DEVICES.replace(tx, id, devices)?;
    mark_users_stale(tx, id)
}

/// Gives a profile another name.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn rename(tx: &Tx<'_>, id: i64, name: &str) -> Result<()> {
    tx.execute("UPDATE profiles SET name = ?2 WHERE id = ?1", params![id, name])?;
    mark_users_stale(tx, id)
}

/// Removes a profile; whether it may go is the caller's matter.
///
/// # Errors
/// A failure of the database.
pub fn delete(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.execute("DELETE FROM profiles WHERE id = ?1", [id]).map(drop)
}

fn mark_users_stale(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO instances_stale (instance_id)
         SELECT instance_id FROM instances_profiles WHERE profile_id = ?1
         ON CONFLICT (instance_id) DO UPDATE SET generation = generation + 1",
        [id],
    )
    .map(drop)
}

/// The instances that have a profile, by project and name.
///
/// # Errors
/// A failure of the database.
pub fn used_by(tx: &Tx<'_>, id: i64) -> Result<Vec<User>> {
    tx.all(
        "SELECT j.name, i.name FROM instances_profiles AS u JOIN instances AS i ON i.id = u.instance_id
         JOIN projects AS j ON j.id = i.project_id WHERE u.profile_id = ?1 ORDER BY j.name, i.name",
        [id],
        |row| Ok(User::Instance { project: row.get(0)?, name: row.get(1)? }),
    )
}

/// [`used_by`] of all profiles at once, by the profile's id.
///
/// # Errors
/// A failure of the database.
pub fn every_used_by(tx: &Tx<'_>) -> Result<HashMap<i64, Vec<User>>> {
    let mut users: HashMap<i64, Vec<User>> = HashMap::new();
    tx.each(
        "SELECT u.profile_id, j.name, i.name FROM instances_profiles AS u
         JOIN instances AS i ON i.id = u.instance_id JOIN projects AS j ON j.id = i.project_id
         ORDER BY j.name, i.name",
        [],
        |row| {
            let user = User::Instance { project: row.get(1)?, name: row.get(2)? };
            users.entry(row.get(0)?).or_default().push(user);
            Ok(())
        },
    )?;
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projects::DEFAULT;
    use crate::testing::{config, devices, temporary};
    use lxd_types::Kind;

    #[tokio::test]
    async fn default_exists() {
        let (db, _dir) = temporary();
        let profile = db.read(|tx| get(tx, DEFAULT, DEFAULT_NAME)).await.unwrap();
        assert_eq!(profile.description, "Default LXD profile");
        assert_eq!(profile.project, "default");
    }

    #[tokio::test]
    async fn whole_life() {
        let (db, _dir) = temporary();
        let nic: &[(&str, &str)] = &[("type", "nic"), ("network", "br0")];
        let id = db
            .write(move |tx| {
                let devices = devices(&[("eth0", nic), ("none0", &[("type", "none")])]);
                insert(tx, DEFAULT, "web", "one", &config(&[("limits.cpu", "2"), ("user.x", "")]), &devices)
            })
            .await
            .unwrap();
        let profile = db.read(|tx| get(tx, DEFAULT, "web")).await.unwrap();
        assert_eq!(profile.config, config(&[("limits.cpu", "2")]));
        assert_eq!(profile.devices, devices(&[("eth0", nic), ("none0", &[("type", "none")])]));

        db.write(move |tx| update(tx, id, "two", &config(&[("user.y", "1")]), &devices(&[("eth0", nic)])))
            .await
            .unwrap();
        db.write(move |tx| rename(tx, id, "www")).await.unwrap();
        let all = db.read(|tx| list(tx, Some(DEFAULT))).await.unwrap();
        assert_eq!(all.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["default", "www"]);
        assert_eq!((all[1].description.as_str(), &all[1].config), ("two", &config(&[("user.y", "1")])));
        assert_eq!(all[1].devices, devices(&[("eth0", nic)]));
        assert_eq!(db.read(|tx| names(tx, DEFAULT)).await.unwrap(), ["default", "www"]);

        let missing = db.read(|tx| by_names(tx, DEFAULT, &["www".into(), "zzz".into()])).await.unwrap_err();
        assert_eq!(
            (missing.kind(), missing.chain().as_str()),
            (Kind::NotFound, "Requested profile \"zzz\" doesn't exist")
        );
        db.write(move |tx| delete(tx, id)).await.unwrap();
        assert_eq!(db.read(|tx| get(tx, DEFAULT, "www")).await.unwrap_err().chain(), "Profile not found");
    }
}
