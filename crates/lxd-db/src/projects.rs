//! Projects and their configuration.

use lxd_types::{Error, Result};
use rusqlite::params;

use crate::keyvalue::{KeyValue, key_value};
use crate::used_by::User;
use crate::{Config, Tx};

/// The id of the project `default`, which always exists.
pub const DEFAULT: i64 = 1;

/// The name of the project that always exists.
pub const DEFAULT_NAME: &str = "default";

const CONFIG: KeyValue = key_value!("projects_config", "project_id");

/// One project.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Project {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Text of the administrator.
    pub description: String,
    /// Its keys, the features among them.
    pub config: Config,
}

impl Project {
    /// True when the project has its own `features.NAME` (else those of `default` are used).
    pub fn has_feature(&self, name: &str) -> bool {
        self.config
            .get(&format!("features.{name}"))
            .is_some_and(|v| matches!(v.as_str(), "true" | "1" | "yes" | "on"))
    }
}

/// All projects, by name.
///
/// # Errors
/// A failure of the database.
pub fn list(tx: &Tx<'_>) -> Result<Vec<Project>> {
    let mut projects = tx.all("SELECT id, name, description FROM projects ORDER BY name", [], |row| {
        Ok(Project { id: row.get(0)?, name: row.get(1)?, description: row.get(2)?, config: Config::new() })
    })?;
    for project in &mut projects {
        project.config = CONFIG.all(tx, project.id)?;
    }
    Ok(projects)
}

/// The id of a project, if there is one of that name.
///
/// # Errors
/// A failure of the database.
pub fn find(tx: &Tx<'_>, name: &str) -> Result<Option<i64>> {
    tx.first("SELECT id FROM projects WHERE name = ?1", [name], |row| row.get(0))
}

/// The id of a project that must exist.
///
/// # Errors
/// "Project not found", or a failure of the database.
pub fn require(tx: &Tx<'_>, name: &str) -> Result<i64> {
    find(tx, name)?.ok_or_else(|| Error::not_found("Project not found"))
}

/// One project.
///
/// # Errors
/// "Project not found", or a failure of the database.
pub fn get(tx: &Tx<'_>, name: &str) -> Result<Project> {
    let mut project = tx
        .first("SELECT id, name, description FROM projects WHERE name = ?1", [name], |row| {
            Ok(Project {
                id: row.get(0)?,
                name: row.get(1)?,
                description: row.get(2)?,
                config: Config::new(),
            })
        })?
        .ok_or_else(|| Error::not_found("Project not found"))?;
    project.config = CONFIG.all(tx, project.id)?;
    Ok(project)
}

/// The id of the project whose `features.NAME` things the project `name` uses: itself or `default`.
///
/// # Errors
/// "Project not found", or a failure of the database.
pub fn owner_of(tx: &Tx<'_>, name: &str, feature: &str) -> Result<i64> {
    if name == DEFAULT_NAME {
        return Ok(DEFAULT);
    }
    let project = get(tx, name)?;
    Ok(if project.has_feature(feature) { project.id } else { DEFAULT })
}

/// Adds a project; its id.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn insert(tx: &Tx<'_>, name: &str, description: &str, config: &Config) -> Result<i64> {
    let id =
        tx.insert("INSERT INTO projects (name, description) VALUES (?1, ?2)", params![name, description])?;
    CONFIG.add(tx, id, config)?;
    Ok(id)
}

/// Changes description and configuration.
///
/// # Errors
/// A failure of the database.
pub fn update(tx: &Tx<'_>, id: i64, description: &str, config: &Config) -> Result<()> {
    tx.execute(
        "UPDATE projects SET description = ?2 WHERE id = ?1 AND description IS NOT ?2",
        params![id, description],
    )?;
    CONFIG.replace(tx, id, config)
}

/// Gives a project another name.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn rename(tx: &Tx<'_>, id: i64, name: &str) -> Result<()> {
    tx.execute("UPDATE projects SET name = ?2 WHERE id = ?1", params![id, name]).map(drop)
}

/// Removes a project with all rows that belong to it; whether it may go is the caller's matter.
///
/// # Errors
/// A failure of the database.
pub fn delete(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.execute("DELETE FROM projects WHERE id = ?1", [id]).map(drop)
}

/// What belongs to a project: instances, profiles, images, custom volumes, networks, in this order and each sorted
/// by name (images by their coming).
///
/// # Errors
/// A failure of the database.
pub fn used_by(tx: &Tx<'_>, id: i64) -> Result<Vec<User>> {
    let project: String = tx
        .first("SELECT name FROM projects WHERE id = ?1", [id], |row| row.get(0))?
        .ok_or_else(|| Error::not_found("Project not found"))?;
    let here = || project.clone();
    let mut users =
        tx.all("SELECT name FROM instances WHERE project_id = ?1 ORDER BY name", [id], |row| {
            Ok(User::Instance { project: here(), name: row.get(0)? })
        })?;
    users.extend(tx.all("SELECT name FROM profiles WHERE project_id = ?1 ORDER BY name", [id], |row| {
        Ok(User::Profile { project: here(), name: row.get(0)? })
    })?);
    users.extend(tx.all(
        "SELECT fingerprint FROM images WHERE project_id = ?1 ORDER BY id",
        [id],
        |row| Ok(User::Image { project: here(), fingerprint: row.get(0)? }),
    )?);
    users.extend(tx.all(
        "SELECT p.name, v.name FROM storage_volumes AS v JOIN storage_pools AS p ON p.id = v.storage_pool_id
         WHERE v.project_id = ?1 AND v.type = 2 ORDER BY p.name, v.name",
        [id],
        |row| Ok(User::Volume { project: here(), pool: row.get(0)?, name: row.get(1)? }),
    )?);
    users.extend(tx.all("SELECT name FROM networks WHERE project_id = ?1 ORDER BY name", [id], |row| {
        Ok(User::Network { project: here(), name: row.get(0)? })
    })?);
    users.extend(tx.all(
        "SELECT name FROM networks_acls WHERE project_id = ?1 ORDER BY name",
        [id],
        |row| Ok(User::NetworkAcl { project: here(), name: row.get(0)? }),
    )?);
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{config, temporary};
    use lxd_types::Kind;

    #[tokio::test]
    async fn default_has_the_features_of_the_reference() {
        let (db, _dir) = temporary();
        let project = db.read(|tx| get(tx, DEFAULT_NAME)).await.unwrap();
        assert_eq!((project.id, project.description.as_str()), (DEFAULT, "Default LXD project"));
        for feature in ["images", "profiles", "storage.volumes", "networks"] {
            assert!(project.has_feature(feature), "{feature}");
        }
        assert_eq!(project.config.len(), 4);
        let users = db.read(|tx| used_by(tx, DEFAULT)).await.unwrap();
        assert_eq!(users.iter().map(User::url).collect::<Vec<_>>(), ["/1.0/profiles/default"]);
    }

    #[tokio::test]
    async fn whole_life() {
        let (db, _dir) = temporary();
        let id = db
            .write(|tx| insert(tx, "p1", "one", &config(&[("features.images", "true"), ("user.a", "b")])))
            .await
            .unwrap();
        let owners =
            db.read(|tx| Ok((owner_of(tx, "p1", "images")?, owner_of(tx, "p1", "profiles")?))).await.unwrap();
        assert_eq!(owners, (id, DEFAULT));
        let taken = db.write(|tx| insert(tx, "p1", "", &Config::new())).await.unwrap_err();
        assert_eq!(taken.kind(), Kind::Conflict);
        db.write(move |tx| update(tx, id, "two", &config(&[("user.a", "c")]))).await.unwrap();
        db.write(move |tx| rename(tx, id, "p2")).await.unwrap();
        let project = db.read(|tx| get(tx, "p2")).await.unwrap();
        assert_eq!((project.description.as_str(), project.config), ("two", config(&[("user.a", "c")])));
        assert_eq!(db.read(list).await.unwrap().len(), 2);
        db.write(move |tx| delete(tx, id)).await.unwrap();
        assert_eq!(db.read(|tx| get(tx, "p2")).await.unwrap_err().kind(), Kind::NotFound);
    }
}
