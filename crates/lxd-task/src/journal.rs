//! The undo journal: each step is written down *before* it is done, so that a kill between the two leaves
//! nothing unknown (architecture section 5). What an entry means is the caller's business (`lxd-core`).

use std::sync::Arc;

use async_trait::async_trait;
use lxd_types::Result;
use lxd_types::error::Many;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One entry of the table `journal`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The run that wrote it.
    pub operation: String,
    /// Place in the order of that run.
    pub sequence: i64,
    /// The undo step as JSON.
    pub step: String,
}

/// Where entries are kept: the table `journal` of `local.db`.
#[async_trait]
pub trait Store: Send + Sync {
    /// Writes an entry, durably, before it returns.
    async fn append(&self, entry: Entry) -> Result<()>;
    /// Removes all entries of a run in one statement.
    async fn clear(&self, operation: &str) -> Result<()>;
    /// Removes one entry.
    async fn remove(&self, operation: &str, sequence: i64) -> Result<()>;
    /// All entries, in order of their writing.
    async fn all(&self) -> Result<Vec<Entry>>;
}

/// Carries out undo steps. A step that is already undone is a success.
#[async_trait]
pub trait Undoer<U>: Send + Sync {
    /// Carries out one step.
    async fn undo(&self, step: U) -> Result<()>;
}

/// The undo log of one run of a use case.
pub struct UndoLog<U> {
    store: Arc<dyn Store>,
    operation: String,
    steps: Vec<(i64, U)>,
}

impl<U: Serialize + DeserializeOwned + Clone + Send + 'static> UndoLog<U> {
    /// An empty log of a run with a name of its own.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, operation: uuid::Uuid::new_v4().to_string(), steps: Vec::new() }
    }

    /// Writes down how to undo what is done next. Call it before the action.
    ///
    /// # Errors
    /// The journal cannot be written; the action must not be done then.
    pub async fn push(&mut self, step: U) -> Result<()> {
        let sequence = i64::try_from(self.steps.len()).unwrap_or(i64::MAX);
        let text = serde_json::to_string(&step)
            .map_err(|e| lxd_types::Error::internal(format!("Cannot write an undo step: {e}")))?;
        let entry = Entry { operation: self.operation.clone(), sequence, step: text };
        if let Err(error) = self.store.append(entry).await {
            // It may have been written all the same; an entry of an action that is never done must not stay.
            if let Err(stale) = self.store.remove(&self.operation, sequence).await {
                tracing::error!(error = stale.chain(), "A journal entry that was not needed may have stayed");
            }
            return Err(error);
        }
        self.steps.push((sequence, step));
        Ok(())
    }

    /// The commit point: what was done stays.
    ///
    /// # Errors
    /// The journal cannot be cleared: the run must be rolled back, as the next start would do.
    pub async fn commit(&mut self) -> Result<()> {
        if self.steps.is_empty() {
            return Ok(());
        }
        self.store.clear(&self.operation).await
    }

    /// Undoes everything, last first. A step that fails stays in the journal and is tried again at the next
    /// start; the others go on.
    pub async fn rollback(self, undoer: &dyn Undoer<U>) -> Result<()> {
        let mut failed = Many::new();
        for (sequence, step) in self.steps.into_iter().rev() {
            if failed.keep(undoer.undo(step).await).is_some() {
                failed.keep(self.store.remove(&self.operation, sequence).await);
            }
        }
        failed.into_result("Failed to undo")
    }
}

/// Runs a body with an undo log: commits when it succeeds, undoes when it fails.
///
/// # Errors
/// The body's error; a failed undo is logged, stays in the journal and does not hide it.
pub async fn run<U, T, F>(store: Arc<dyn Store>, undoer: &dyn Undoer<U>, body: F) -> Result<T>
where
    U: Serialize + DeserializeOwned + Clone + Send + 'static,
    F: AsyncFnOnce(&mut UndoLog<U>) -> Result<T>,
{
    let mut log = UndoLog::new(store);
    let result = match body(&mut log).await {
        Ok(value) => log.commit().await.map(|()| value),
        Err(error) => Err(error),
    };
    match result {
        Ok(value) => Ok(value),
        Err(error) => {
            if let Err(undo) = log.rollback(undoer).await {
                tracing::error!(
                    error = undo.chain(),
                    "Undo is incomplete, it is tried again at the next start"
                );
            }
            Err(error)
        }
    }
}

/// At start: undoes what earlier runs left behind, last first. `left` is what the journal held before anything new was
/// begun: entries of use cases that run now are theirs. Returns what could not be undone.
///
/// # Errors
/// The journal cannot be written.
pub async fn recover<U: DeserializeOwned>(
    store: &dyn Store,
    undoer: &dyn Undoer<U>,
    left: Vec<Entry>,
) -> Result<Vec<(Entry, lxd_types::Error)>> {
    let mut failed = Vec::new();
    for entry in left.into_iter().rev() {
        let step: U = match serde_json::from_str(&entry.step) {
            Ok(step) => step,
            Err(e) => {
                let error = lxd_types::Error::internal(format!("Unknown undo step: {e}"));
                failed.push((entry, error));
                continue;
            }
        };
        match undoer.undo(step).await {
            Ok(()) => store.remove(&entry.operation, entry.sequence).await?,
            Err(error) => failed.push((entry, error)),
        }
    }
    Ok(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Memory(Mutex<Vec<Entry>>);

    #[async_trait]
    impl Store for Memory {
        async fn append(&self, entry: Entry) -> Result<()> {
            self.0.lock().unwrap().push(entry);
            Ok(())
        }
        async fn clear(&self, operation: &str) -> Result<()> {
            self.0.lock().unwrap().retain(|e| e.operation != operation);
            Ok(())
        }
        async fn remove(&self, operation: &str, sequence: i64) -> Result<()> {
            self.0.lock().unwrap().retain(|e| e.operation != operation || e.sequence != sequence);
            Ok(())
        }
        async fn all(&self) -> Result<Vec<Entry>> {
            Ok(self.0.lock().unwrap().clone())
        }
    }

    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    #[async_trait]
    impl Undoer<String> for Recorder {
        async fn undo(&self, step: String) -> Result<()> {
            if step == "stuck" {
                return Err(lxd_types::Error::busy("stuck"));
            }
            self.0.lock().unwrap().push(step);
            Ok(())
        }
    }

    #[tokio::test]
    async fn failure_undoes_last_first_and_keeps_what_is_stuck() {
        let store = Arc::new(Memory::default());
        let undoer = Recorder::default();
        let result: Result<()> = run(store.clone(), &undoer, async |log: &mut UndoLog<String>| {
            log.push("a".into()).await?;
            log.push("stuck".into()).await?;
            log.push("c".into()).await?;
            Err(lxd_types::Error::conflict("no"))
        })
        .await;
        assert_eq!(result.unwrap_err().chain(), "no");
        assert_eq!(*undoer.0.lock().unwrap(), ["c", "a"]);
        assert_eq!(store.all().await.unwrap().len(), 1);
        let left = store.all().await.unwrap();
        let failed = recover(store.as_ref(), &undoer, left).await.unwrap();
        assert_eq!(failed.len(), 1);
    }

    #[tokio::test]
    async fn recovery_leaves_alone_what_began_after_the_start() {
        let store = Arc::new(Memory::default());
        let undoer = Recorder::default();
        UndoLog::new(store.clone()).push("old".to_owned()).await.unwrap();
        let left = store.all().await.unwrap();
        UndoLog::new(store.clone()).push("new".to_owned()).await.unwrap();
        assert!(recover(store.as_ref(), &undoer, left).await.unwrap().is_empty());
        assert_eq!(*undoer.0.lock().unwrap(), ["old"]);
        assert_eq!(store.all().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn success_leaves_an_empty_journal() {
        let store = Arc::new(Memory::default());
        let undoer = Recorder::default();
        run(store.clone(), &undoer, async |log: &mut UndoLog<String>| log.push("a".into()).await)
            .await
            .unwrap();
        assert!(store.all().await.unwrap().is_empty());
        assert!(undoer.0.lock().unwrap().is_empty());
    }
}
