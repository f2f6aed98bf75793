//! Backups of instances that wait for their download.

use chrono::{DateTime, Utc};
use lxd_types::{Error, Result};
use rusqlite::{Row, params};

use crate::{Tx, time};

/// One backup of an instance.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Backup {
    /// Its id.
    pub id: i64,
    /// The instance.
    pub instance_id: i64,
    /// Its name, without the instance's.
    pub name: String,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it is removed.
    pub expiry: Option<DateTime<Utc>>,
    /// It has no snapshots.
    pub instance_only: bool,
    /// It is in a form that only its driver reads.
    pub optimized: bool,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Backup> {
    Ok(Backup {
        id: row.get(0)?,
        instance_id: row.get(1)?,
        name: row.get(2)?,
        created: time::read(row, 3)?,
        expiry: time::read_opt(row, 4)?,
        instance_only: row.get(5)?,
        optimized: row.get(6)?,
    })
}

/// The backups of an instance, in the order of their making.
///
/// # Errors
/// A failure of the database.
pub fn list(tx: &Tx<'_>, instance_id: i64) -> Result<Vec<Backup>> {
    tx.all(
        "SELECT id, instance_id, name, creation_date, expiry_date, container_only, optimized_storage
         FROM instances_backups WHERE instance_id = ?1 ORDER BY id",
        [instance_id],
        from_row,
    )
}

/// One backup.
///
/// # Errors
/// "Instance backup not found", or a failure of the database.
pub fn get(tx: &Tx<'_>, instance_id: i64, name: &str) -> Result<Backup> {
    tx.first(
        "SELECT id, instance_id, name, creation_date, expiry_date, container_only, optimized_storage
         FROM instances_backups WHERE instance_id = ?1 AND name = ?2",
        params![instance_id, name],
        from_row,
    )?
    .ok_or_else(|| Error::not_found("Instance backup not found"))
}

/// Project, instance and name of the backups whose time is over.
///
/// # Errors
/// A failure of the database.
pub fn expired(tx: &Tx<'_>, now: DateTime<Utc>) -> Result<Vec<(String, String, String)>> {
    let dated = tx.all(
        "SELECT j.name, i.name, b.name, b.expiry_date FROM instances_backups AS b
         JOIN instances AS i ON i.id = b.instance_id JOIN projects AS j ON j.id = i.project_id
         WHERE b.expiry_date IS NOT NULL ORDER BY b.id",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, time::read_opt(row, 3)?)),
    )?;
    let over = |at: &Option<DateTime<Utc>>| at.is_some_and(|at| at <= now);
    let of = |(project, instance, name, _)| (project, instance, name);
    Ok(dated.into_iter().filter(|row| over(&row.3)).map(of).collect())
}

/// Adds a backup (its `id` is not looked at).
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn insert(tx: &Tx<'_>, new: &Backup) -> Result<i64> {
    tx.insert(
        "INSERT INTO instances_backups
           (instance_id, name, creation_date, expiry_date, container_only, optimized_storage)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            new.instance_id,
            new.name,
            time::store(new.created),
            time::store_opt(new.expiry),
            new.instance_only,
            new.optimized,
        ],
    )
}

/// Gives a backup another name.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn rename(tx: &Tx<'_>, id: i64, name: &str) -> Result<()> {
    tx.execute("UPDATE instances_backups SET name = ?2 WHERE id = ?1", params![id, name]).map(drop)
}

/// Removes a backup.
///
/// # Errors
/// A failure of the database.
pub fn delete(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.execute("DELETE FROM instances_backups WHERE id = ?1", [id]).map(drop)
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
                let id = instances::insert(tx, &new)?;
                for name in ["b", "a"] {
                    let expiry = (name == "a").then_some(at);
                    let new = Backup {
                        instance_id: id,
                        name: name.into(),
                        created: at,
                        expiry,
                        ..Backup::default()
                    };
                    insert(tx, &new)?;
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
        assert_eq!(over, [("default".to_owned(), "c1".to_owned(), "a".to_owned())]);
        let (a, b) = (all[1].id, all[0].id);
        db.write(move |tx| rename(tx, a, "z").and(delete(tx, b))).await.unwrap();
        assert_eq!(db.read(move |tx| get(tx, id, "z")).await.unwrap().expiry, Some(at));
        let gone = db.read(move |tx| get(tx, id, "b")).await.unwrap_err();
        assert_eq!(gone.chain(), "Instance backup not found");
    }
}
