//! Backups of instances and custom volumes that wait for their download.

use chrono::{DateTime, Utc};
use lxd_types::{Error, Result};
use rusqlite::{Row, params};

use crate::{Tx, time};

/// What a backup is of, by id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Of {
    /// An instance.
    Instance(i64),
    /// A custom volume.
    Volume(i64),
}

impl Of {
    /// The table, its column with the owner, and its column that says that snapshots were left out.
    fn table(self) -> [&'static str; 3] {
        match self {
            Self::Instance(_) => ["instances_backups", "instance_id", "container_only"],
            Self::Volume(_) => ["storage_volumes_backups", "storage_volume_id", "volume_only"],
        }
    }

    fn id(self) -> i64 {
        match self {
            Self::Instance(id) | Self::Volume(id) => id,
        }
    }

    fn select(self) -> String {
        let [table, owner, alone] = self.table();
        format!(
            "SELECT id, name, creation_date, expiry_date, {alone}, optimized_storage FROM {table} WHERE {owner} = ?1"
        )
    }
}

/// One backup.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Backup {
    /// Its id.
    pub id: i64,
    /// Its name, without that of its owner.
    pub name: String,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it is removed.
    pub expiry: Option<DateTime<Utc>>,
    /// It has no snapshots.
    pub alone: bool,
    /// It is in a form that only its driver reads.
    pub optimized: bool,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Backup> {
    Ok(Backup {
        id: row.get(0)?,
        name: row.get(1)?,
        created: time::read(row, 2)?,
        expiry: time::read_opt(row, 3)?,
        alone: row.get(4)?,
        optimized: row.get(5)?,
    })
}

/// The backups of an instance or volume, in the order of their making.
///
/// # Errors
/// A failure of the database.
pub fn list(tx: &Tx<'_>, of: Of) -> Result<Vec<Backup>> {
    tx.all(&format!("{} ORDER BY id", of.select()), [of.id()], from_row)
}

/// One backup.
///
/// # Errors
/// There is none of that name, or a failure of the database.
pub fn get(tx: &Tx<'_>, of: Of, name: &str) -> Result<Backup> {
    tx.first(&format!("{} AND name = ?2", of.select()), params![of.id(), name], from_row)?.ok_or_else(|| {
        Error::not_found(match of {
            Of::Instance(_) => "Instance backup not found",
            Of::Volume(_) => "Storage volume backup not found",
        })
    })
}

/// A backup whose time is over, and what it is of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expired {
    /// The project.
    pub project: String,
    /// The pool of the volume; none for an instance.
    pub pool: Option<String>,
    /// Instance or volume.
    pub owner: String,
    /// The backup.
    pub name: String,
}

/// The backups whose time is over.
///
/// # Errors
/// A failure of the database.
pub fn expired(tx: &Tx<'_>, now: DateTime<Utc>) -> Result<Vec<Expired>> {
    let dated = tx.all(
        "SELECT j.name, NULL, i.name, b.name, b.expiry_date FROM instances_backups AS b
         JOIN instances AS i ON i.id = b.instance_id JOIN projects AS j ON j.id = i.project_id
         WHERE b.expiry_date IS NOT NULL
         UNION ALL
         SELECT j.name, p.name, v.name, b.name, b.expiry_date FROM storage_volumes_backups AS b
         JOIN storage_volumes AS v ON v.id = b.storage_volume_id JOIN projects AS j ON j.id = v.project_id
         JOIN storage_pools AS p ON p.id = v.storage_pool_id
         WHERE b.expiry_date IS NOT NULL",
        [],
        |row| {
            let found =
                Expired { project: row.get(0)?, pool: row.get(1)?, owner: row.get(2)?, name: row.get(3)? };
            Ok((found, time::read_opt(row, 4)?))
        },
    )?;
    let over = |at: &Option<DateTime<Utc>>| at.is_some_and(|at| at <= now);
    Ok(dated.into_iter().filter(|row| over(&row.1)).map(|row| row.0).collect())
}

/// Adds a backup (its `id` is not looked at).
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn insert(tx: &Tx<'_>, of: Of, new: &Backup) -> Result<i64> {
    let [table, owner, alone] = of.table();
    tx.insert(
        &format!(
            "INSERT INTO {table} ({owner}, name, creation_date, expiry_date, {alone}, optimized_storage)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        ),
        params![
            of.id(),
            new.name,
            time::store(new.created),
            time::store_opt(new.expiry),
            new.alone,
            new.optimized,
        ],
    )
}

/// Gives a backup another name.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn rename(tx: &Tx<'_>, of: Of, id: i64, name: &str) -> Result<()> {
    let [table, ..] = of.table();
    tx.execute(&format!("UPDATE {table} SET name = ?2 WHERE id = ?1"), params![id, name]).map(drop)
}

/// Removes a backup.
///
/// # Errors
/// A failure of the database.
pub fn delete(tx: &Tx<'_>, of: Of, id: i64) -> Result<()> {
    let [table, ..] = of.table();
    tx.execute(&format!("DELETE FROM {table} WHERE id = ?1"), [id]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::{self, NewInstance};
    use crate::projects::DEFAULT;
    use crate::testing::temporary;

    #[tokio::test]
    async fn whole_life() {
        let (db, _dir) = temporary();
        let at = DateTime::from_timestamp(1_700_000_000, 5).unwrap();
        let id = db
            .write(move |tx| {
                let new =
                    NewInstance { project_id: DEFAULT, node_id: 1, name: "c1".into(), ..Default::default() };
                let id = Of::Instance(instances::insert(tx, &new)?);
                for name in ["b", "a"] {
                    let expiry = (name == "a").then_some(at);
                    let new = Backup { name: name.into(), created: at, expiry, ..Backup::default() };
                    insert(tx, id, &new)?;
                }
                Ok(id)
            })
            .await
            .unwrap();
        let all = db.read(move |tx| list(tx, id)).await.unwrap();
        assert_eq!(
            all.iter().map(|b| (b.name.as_str(), b.created)).collect::<Vec<_>>(),
            [("b", at), ("a", at)]
        );
        let over = db.read(move |tx| expired(tx, at)).await.unwrap();
        let is = |of: &str| of.to_owned();
        assert_eq!(over, [Expired { project: is("default"), pool: None, owner: is("c1"), name: is("a") }]);
        let (a, b) = (all[1].id, all[0].id);
        db.write(move |tx| rename(tx, id, a, "z").and(delete(tx, id, b))).await.unwrap();
        assert_eq!(db.read(move |tx| get(tx, id, "z")).await.unwrap().expiry, Some(at));
        let gone = db.read(move |tx| get(tx, id, "b")).await.unwrap_err();
        assert_eq!(gone.chain(), "Instance backup not found");
    }
}
