//! Warnings: raised again they are counted, with the cause they are resolved. What a type means is the caller's matter.

use chrono::{DateTime, Utc};
use lxd_types::{Error, Result};
use rusqlite::{Row, params};

use crate::{Tx, time};

/// Status of a warning that nobody has looked at.
pub const NEW: i64 = 1;
/// Status of a warning that an administrator has seen.
pub const ACKNOWLEDGED: i64 = 2;
/// Status of a warning whose cause is gone.
pub const RESOLVED: i64 = 3;

/// What a warning is about. There is one warning for each subject.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Subject {
    /// Its type.
    pub type_code: i64,
    /// The member that raised it.
    pub node_id: Option<i64>,
    /// The project that it concerns.
    pub project_id: Option<i64>,
    /// The type of the object that it concerns.
    pub entity_type_code: Option<i64>,
    /// The id of that object.
    pub entity_id: Option<i64>,
}

/// One warning.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    /// Its name.
    pub uuid: String,
    /// What it is about.
    pub subject: Subject,
    /// The name of the member, or empty.
    pub node: String,
    /// The name of the project, or empty.
    pub project: String,
    /// [`NEW`], [`ACKNOWLEDGED`] or [`RESOLVED`].
    pub status: i64,
    /// When it was raised first.
    pub first_seen: DateTime<Utc>,
    /// When it was raised last.
    pub last_seen: DateTime<Utc>,
    /// When its status was changed last.
    pub updated: Option<DateTime<Utc>>,
    /// The text that it was raised with last.
    pub last_message: String,
    /// How often it was raised.
    pub count: i64,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Warning> {
    Ok(Warning {
        uuid: row.get(0)?,
        subject: Subject {
            type_code: row.get(1)?,
            node_id: row.get(2)?,
            project_id: row.get(3)?,
            entity_type_code: row.get(4)?,
            entity_id: row.get(5)?,
        },
        node: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
        project: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
        status: row.get(8)?,
        first_seen: time::read(row, 9)?,
        last_seen: time::read(row, 10)?,
        updated: time::read_opt(row, 11)?,
        last_message: row.get(12)?,
        count: row.get(13)?,
    })
}

/// The columns that [`from_row`] reads.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT w.uuid, w.type_code, w.node_id, w.project_id, w.entity_type_code, w.entity_id, n.name, j.name, ",
            "w.status, w.first_seen_date, w.last_seen_date, w.updated_date, w.last_message, w.count ",
            "FROM warnings AS w LEFT JOIN nodes AS n ON n.id = w.node_id ",
            "LEFT JOIN projects AS j ON j.id = w.project_id ",
            $rest
        )
    };
}

/// All warnings, in the order of their first coming.
///
/// # Errors
/// A failure of the database.
pub fn list(tx: &Tx<'_>) -> Result<Vec<Warning>> {
    tx.all(select!("ORDER BY w.id"), [], from_row)
}

/// One warning.
///
/// # Errors
/// "Warning not found", or a failure of the database.
pub fn get(tx: &Tx<'_>, uuid: &str) -> Result<Warning> {
    tx.first(select!("WHERE w.uuid = ?1"), [uuid], from_row)?
        .ok_or_else(|| Error::not_found("Warning not found"))
}

/// Raises a warning: a new one gets the name `uuid`; one of the same subject is counted, and is new again when it was
/// resolved. One transaction may raise many.
///
/// # Errors
/// A failure of the database.
pub fn raise(tx: &Tx<'_>, subject: &Subject, message: &str, uuid: &str, now: DateTime<Utc>) -> Result<()> {
    let counted = tx.execute(
        "UPDATE warnings SET count = count + 1, last_seen_date = ?6, last_message = ?7,
           updated_date = CASE WHEN status = 3 THEN ?6 ELSE updated_date END,
           status = CASE WHEN status = 3 THEN 1 ELSE status END
         WHERE type_code = ?1 AND node_id IS ?2 AND project_id IS ?3 AND entity_type_code IS ?4 AND entity_id IS ?5",
        params![
            subject.type_code,
            subject.node_id,
            subject.project_id,
            subject.entity_type_code,
            subject.entity_id,
            time::store(now),
            message,
        ],
    )?;
    if counted > 0 {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO warnings (type_code, node_id, project_id, entity_type_code, entity_id, uuid, status,
           first_seen_date, last_seen_date, last_message, count)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7, ?8, 1)",
        params![
            subject.type_code,
            subject.node_id,
            subject.project_id,
            subject.entity_type_code,
            subject.entity_id,
            uuid,
            time::store(now),
            message,
        ],
    )
    .map(drop)
}

/// Notes that the cause of a warning is gone. Without such a warning nothing is written.
///
/// # Errors
/// A failure of the database.
pub fn resolve(tx: &Tx<'_>, subject: &Subject, now: DateTime<Utc>) -> Result<()> {
    tx.execute(
        "UPDATE warnings SET status = 3, updated_date = ?6
         WHERE type_code = ?1 AND node_id IS ?2 AND project_id IS ?3 AND entity_type_code IS ?4 AND entity_id IS ?5
           AND status <> 3",
        params![
            subject.type_code,
            subject.node_id,
            subject.project_id,
            subject.entity_type_code,
            subject.entity_id,
            time::store(now),
        ],
    )
    .map(drop)
}

/// [`resolve`] for all warnings of a type on a member, whatever they concern.
///
/// # Errors
/// A failure of the database.
pub fn resolve_type(tx: &Tx<'_>, type_code: i64, node_id: i64, now: DateTime<Utc>) -> Result<()> {
    tx.execute(
        "UPDATE warnings SET status = 3, updated_date = ?3 WHERE type_code = ?1 AND node_id = ?2 AND status <> 3",
        params![type_code, node_id, time::store(now)],
    )
    .map(drop)
}

/// Changes the status of a warning.
///
/// # Errors
/// "Warning not found", or a failure of the database.
pub fn set_status(tx: &Tx<'_>, uuid: &str, status: i64, now: DateTime<Utc>) -> Result<()> {
    let changed = tx.execute(
        "UPDATE warnings SET status = ?2, updated_date = ?3 WHERE uuid = ?1",
        params![uuid, status, time::store(now)],
    )?;
    if changed == 0 { Err(Error::not_found("Warning not found")) } else { Ok(()) }
}

/// Removes a warning.
///
/// # Errors
/// "Warning not found", or a failure of the database.
pub fn delete(tx: &Tx<'_>, uuid: &str) -> Result<()> {
    let removed = tx.execute("DELETE FROM warnings WHERE uuid = ?1", [uuid])?;
    if removed == 0 { Err(Error::not_found("Warning not found")) } else { Ok(()) }
}

/// Removes all warnings about an object that goes.
///
/// # Errors
/// A failure of the database.
pub fn delete_of(tx: &Tx<'_>, entity_type_code: i64, entity_id: i64) -> Result<()> {
    tx.execute(
        "DELETE FROM warnings WHERE entity_type_code = ?1 AND entity_id = ?2",
        [entity_type_code, entity_id],
    )
    .map(drop)
}

/// Removes warnings that were resolved before `limit`.
///
/// # Errors
/// A failure of the database.
pub fn delete_resolved(tx: &Tx<'_>, limit: DateTime<Utc>) -> Result<()> {
    tx.execute("DELETE FROM warnings WHERE status = 3 AND updated_date < ?1", [time::store(limit)]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::temporary;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    const SUBJECT: Subject = Subject {
        type_code: 14,
        node_id: Some(1),
        project_id: None,
        entity_type_code: None,
        entity_id: None,
    };

    #[tokio::test]
    async fn raised_again_is_counted() {
        let (db, _dir) = temporary();
        db.write(|tx| raise(tx, &SUBJECT, "first", "u1", at(10))).await.unwrap();
        db.write(|tx| raise(tx, &SUBJECT, "second", "u2", at(20))).await.unwrap();
        let other = Subject { entity_type_code: Some(5), entity_id: Some(7), project_id: Some(1), ..SUBJECT };
        db.write(move |tx| raise(tx, &other, "x", "u3", at(30))).await.unwrap();
        let all = db.read(list).await.unwrap();
        assert_eq!(all.len(), 2);
        let first = &all[0];
        assert_eq!((first.uuid.as_str(), first.count, first.last_message.as_str()), ("u1", 2, "second"));
        assert_eq!((first.first_seen, first.last_seen, first.updated), (at(10), at(20), None));
        assert_eq!((first.node.as_str(), first.project.as_str()), ("none", ""));
        assert_eq!(all[1].project, "default");
        db.write(|tx| delete_of(tx, 5, 7)).await.unwrap();
        assert_eq!(db.read(list).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn resolved_comes_back_as_new_but_acknowledged_stays() {
        let (db, _dir) = temporary();
        db.write(|tx| raise(tx, &SUBJECT, "m", "u1", at(10))).await.unwrap();
        db.write(|tx| set_status(tx, "u1", ACKNOWLEDGED, at(11))).await.unwrap();
        db.write(|tx| raise(tx, &SUBJECT, "m", "u2", at(12))).await.unwrap();
        assert_eq!(db.read(|tx| get(tx, "u1")).await.unwrap().status, ACKNOWLEDGED);
        db.write(|tx| resolve(tx, &SUBJECT, at(13))).await.unwrap();
        let resolved = db.read(|tx| get(tx, "u1")).await.unwrap();
        assert_eq!((resolved.status, resolved.updated), (RESOLVED, Some(at(13))));
        db.write(|tx| raise(tx, &SUBJECT, "m", "u2", at(14))).await.unwrap();
        assert_eq!(db.read(|tx| get(tx, "u1")).await.unwrap().status, NEW);
        db.write(|tx| resolve_type(tx, 14, 1, at(15)).and(delete_resolved(tx, at(15)))).await.unwrap();
        assert_eq!(db.read(list).await.unwrap().len(), 1);
        db.write(|tx| delete_resolved(tx, at(16))).await.unwrap();
        assert!(db.read(list).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn unknown_ones() {
        let (db, _dir) = temporary();
        for error in [
            db.read(|tx| get(tx, "u")).await.map(drop).unwrap_err(),
            db.write(|tx| set_status(tx, "u", NEW, at(1))).await.unwrap_err(),
            db.write(|tx| delete(tx, "u")).await.unwrap_err(),
        ] {
            assert_eq!(error.chain(), "Warning not found");
        }
    }
}
