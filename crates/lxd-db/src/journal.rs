//! The undo journal: the table `journal` of the local database. What a step means is the caller's business.

use chrono::Utc;
use lxd_types::Result;
use rusqlite::params;

use crate::{Tx, time};

/// Form of the steps that this release writes.
const VERSION: i64 = 1;

/// One step that is not cleared yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// The run that wrote it.
    pub operation: String,
    /// Place in the order of that run.
    pub sequence: i64,
    /// The step as JSON.
    pub step: String,
}

/// Writes a step.
///
/// # Errors
/// A failure of the database.
pub fn append(tx: &Tx<'_>, step: &Step) -> Result<()> {
    tx.execute(
        "INSERT INTO journal (operation, sequence, version, step, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![step.operation, step.sequence, VERSION, step.step, time::store(Utc::now())],
    )
    .map(drop)
}

/// Removes all steps of a run.
///
/// # Errors
/// A failure of the database.
pub fn clear(tx: &Tx<'_>, operation: &str) -> Result<()> {
    tx.execute("DELETE FROM journal WHERE operation = ?1", [operation]).map(drop)
}

/// Removes one step.
///
/// # Errors
/// A failure of the database.
pub fn remove(tx: &Tx<'_>, operation: &str, sequence: i64) -> Result<()> {
    tx.execute("DELETE FROM journal WHERE operation = ?1 AND sequence = ?2", params![operation, sequence])
        .map(drop)
}

/// All steps, in the order of their writing.
///
/// # Errors
/// A failure of the database.
pub fn all(tx: &Tx<'_>) -> Result<Vec<Step>> {
    tx.all(
        "SELECT operation, sequence, step FROM journal ORDER BY created_at, operation, sequence",
        [],
        |row| Ok(Step { operation: row.get(0)?, sequence: row.get(1)?, step: row.get(2)? }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::temporary;

    #[tokio::test]
    async fn steps_come_back_in_order_until_cleared() {
        let (db, _dir) = temporary();
        let step =
            |operation: &str, sequence| Step { operation: operation.into(), sequence, step: "{}".into() };
        for wanted in [step("a", 0), step("a", 1), step("b", 0)] {
            db.local_write(move |tx| append(tx, &wanted)).await.unwrap();
        }
        db.local_write(|tx| remove(tx, "a", 0)).await.unwrap();
        assert_eq!(db.local_read(all).await.unwrap(), [step("a", 1), step("b", 0)]);
        db.local_write(|tx| clear(tx, "a")).await.unwrap();
        assert_eq!(db.local_read(all).await.unwrap(), [step("b", 0)]);
    }
}
