//! The undo journal of use cases, kept in the local database.

use std::sync::Arc;

use async_trait::async_trait;
use lxd_db::warnings::Subject;
use lxd_db::{Db, journal, nodes};
use lxd_task::journal::{Entry, Store, UndoLog};
use lxd_types::Result;

use crate::faults::Faults;
use crate::warnings::WarningType;
use crate::{SharedCore, Undo};

/// The undo log that a use case gets.
pub type Log = UndoLog<Undo>;

/// The journal in the table `journal` of `local.db`.
pub struct Journal {
    /// The database.
    pub db: Db,
    /// Faults on purpose before and after each entry.
    pub faults: Arc<Faults>,
}

#[async_trait]
impl Store for Journal {
    async fn append(&self, entry: Entry) -> Result<()> {
        let step = journal::Step { operation: entry.operation, sequence: entry.sequence, step: entry.step };
        self.faults.point("before a journal entry")?;
        self.db.local_write(move |tx| journal::append(tx, &step)).await?;
        self.faults.point("after a journal entry")
    }

    async fn clear(&self, operation: &str) -> Result<()> {
        let operation = operation.to_owned();
        self.faults.point("before the journal is cleared")?;
        self.db.local_write(move |tx| journal::clear(tx, &operation)).await
    }

    async fn remove(&self, operation: &str, sequence: i64) -> Result<()> {
        let operation = operation.to_owned();
        self.db.local_write(move |tx| journal::remove(tx, &operation, sequence)).await
    }

    async fn all(&self) -> Result<Vec<Entry>> {
        let steps = self.db.local_read(journal::all).await?;
        let entry = |s: journal::Step| Entry { operation: s.operation, sequence: s.sequence, step: s.step };
        Ok(steps.into_iter().map(entry).collect())
    }
}

impl crate::Core {
    /// Runs a use case with an undo log: what it did stays when it succeeds, and is undone, last first, when it
    /// fails. A kill in the middle is undone at the next start.
    ///
    /// # Errors
    /// The error of the body.
    pub async fn undoable<T>(self: &SharedCore, body: impl AsyncFnOnce(&mut Log) -> Result<T>) -> Result<T> {
        lxd_task::journal::run(self.journal.clone(), self.as_ref(), body).await
    }

    /// At start: undoes what an interrupted run left behind. A step that fails stays and is logged.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub async fn recover(self: &SharedCore) -> Result<()> {
        let left = std::mem::take(&mut *self.left_to_undo.lock().await);
        let left = lxd_task::journal::recover::<Undo>(self.journal.as_ref(), self.as_ref(), left).await?;
        let kind = WarningType::CleanupFailed;
        for (entry, error) in &left {
            let text = format!("{} ({}); it is tried again at the next start", error.chain(), entry.step);
            self.warn(kind, &text).await;
        }
        if left.is_empty() {
            self.warning_resolved(Subject {
                type_code: kind as i64,
                node_id: Some(nodes::LONE),
                ..Subject::default()
            })
            .await;
        }
        Ok(())
    }
}
