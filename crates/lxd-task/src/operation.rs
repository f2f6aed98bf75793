//! Operations: what answers 202. They live in memory, are asked for under `/1.0/operations`, and are
//! forgotten some seconds after their end (manual 3.5.1).

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use lxd_api::event::EventRequestor;
use lxd_api::{StatusCode, Timestamp};
use lxd_types::{Error, Kind, Result};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use crate::events::{EventHub, EventKind};
use crate::socket::Sockets;
pub use crate::spec::{Class, OperationSpec};

/// How long a finished operation can still be asked for.
const KEPT: Duration = Duration::from_secs(5);

/// All operations of this member. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    inner: Arc<Inner>,
}

struct Inner {
    events: EventHub,
    kept: Duration,
    /// Held for a look-up or an insertion, never across an await.
    running: Mutex<HashMap<Uuid, Arc<Operation>>>,
}

/// One operation.
pub struct Operation {
    /// Its id.
    pub id: Uuid,
    spec: OperationSpec,
    created_at: Timestamp,
    state: Mutex<State>,
    /// Changes to true at the end.
    done: watch::Sender<bool>,
    cancel: CancellationToken,
    /// The websockets that it waits for.
    pub sockets: Sockets,
    events: EventHub,
}

struct State {
    status: StatusCode,
    updated_at: Timestamp,
    metadata: BTreeMap<String, Value>,
    error: Option<(Kind, String)>,
    step: &'static str,
    step_since: Timestamp,
    /// A token that was used.
    spent: bool,
}

/// What the running future holds of its operation. Cheap to clone.
#[derive(Clone)]
pub struct OpHandle(Arc<Operation>);

impl Operations {
    /// An empty registry that tells of changes through `events`.
    pub fn new(events: EventHub) -> Self {
        Self::keeping(events, KEPT)
    }

    /// Like [`Operations::new`]; what is finished can be asked for as long as `kept` says.
    fn keeping(events: EventHub, kept: Duration) -> Self {
        Self { inner: Arc::new(Inner { events, kept, running: Mutex::default() }) }
    }

    /// Makes an operation without starting it, so that its sockets can be opened first.
    pub fn create(&self, spec: OperationSpec) -> Arc<Operation> {
        let now = Timestamp::now();
        let operation = Arc::new(Operation {
            id: Uuid::new_v4(),
            created_at: now,
            state: Mutex::new(State {
                status: StatusCode::PENDING,
                updated_at: now,
                metadata: spec.metadata.clone(),
                error: None,
                step: "",
                step_since: now,
                spent: false,
            }),
            spec,
            done: watch::Sender::new(false),
            cancel: CancellationToken::new(),
            sockets: Sockets::default(),
            events: self.inner.events.clone(),
        });
        self.inner
            .running
            .lock()
            .expect("no panic happens while the lock is held")
            .insert(operation.id, operation.clone());
        operation.announce();
        operation
    }

    /// Starts the work of an operation on a task of its own. A panic counts as a failure.
    pub fn start<F>(&self, operation: &Arc<Operation>, run: impl FnOnce(OpHandle) -> F + Send + 'static)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        operation.set_status(StatusCode::RUNNING, None);
        let handle = OpHandle(operation.clone());
        let operations = self.clone();
        let span = operation.span();
        let work = async move {
            let operation = handle.0.clone();
            let result = AssertUnwindSafe(async { run(handle).await }).catch_unwind().await;
            let result =
                result.unwrap_or_else(|_| Err(Error::internal("The operation panicked, see the log")));
            operation.finish(result);
            operations.forget_later(operation.id);
        };
        tokio::spawn(work.instrument(span));
    }

    /// Makes and starts an operation.
    pub fn spawn<F>(
        &self,
        spec: OperationSpec,
        run: impl FnOnce(OpHandle) -> F + Send + 'static,
    ) -> Arc<Operation>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let operation = self.create(spec);
        self.start(&operation, run);
        operation
    }

    /// Makes a token: nothing runs, it stands there until it is spent or cancelled.
    pub fn issue(&self, spec: OperationSpec) -> Arc<Operation> {
        let operation = self.create(spec.class(Class::Token));
        operation.set_status(StatusCode::RUNNING, None);
        operation
    }

    /// Uses a token up; true for exactly one of several who try at the same time.
    pub fn spend(&self, token: &Operation) -> bool {
        let first = {
            let mut state = token.state.lock().expect("no panic happens while the lock is held");
            !std::mem::replace(&mut state.spent, true) && !state.status.is_final()
        };
        if first {
            self.end(token, Ok(()));
        }
        first
    }

    /// The operation of an id.
    ///
    /// # Errors
    /// There is none (any more).
    pub fn get(&self, id: &str) -> Result<Arc<Operation>> {
        let unknown = || Error::not_found("Operation not found");
        let id: Uuid = id.parse().map_err(|_| unknown())?;
        let running = self.inner.running.lock().expect("no panic happens while the lock is held");
        running.get(&id).cloned().ok_or_else(unknown)
    }

    /// All operations that a filter lets through, oldest first.
    pub fn list(&self, mut wanted: impl FnMut(&Operation) -> bool) -> Vec<Arc<Operation>> {
        let running = self.inner.running.lock().expect("no panic happens while the lock is held");
        let mut found: Vec<_> = running.values().filter(|operation| wanted(operation)).cloned().collect();
        drop(running);
        found.sort_by_key(|operation| operation.created_at.0);
        found
    }

    /// Number of operations that still do something; an unused token only waits.
    pub fn unfinished(&self) -> usize {
        self.list(|operation| operation.spec.class != Class::Token && !operation.status().is_final()).len()
    }

    /// Forgets a finished operation after a while.
    fn forget_later(&self, id: Uuid) {
        let inner = self.inner.clone();
        tokio::spawn(async move {
            tokio::time::sleep(inner.kept).await;
            inner.running.lock().expect("no panic happens while the lock is held").remove(&id);
        });
    }

    /// Ends an operation from outside: a token that was used, a cancelled one.
    pub fn end(&self, operation: &Operation, result: Result<()>) {
        operation.finish(result);
        self.forget_later(operation.id);
    }

    /// Cancels an operation on behalf of a client.
    ///
    /// # Errors
    /// It cannot be cancelled.
    pub fn cancel(&self, operation: &Operation) -> Result<()> {
        if operation.status().is_final()
            || !(operation.spec.may_cancel || operation.spec.class == Class::Token)
        {
            return Err(Error::bad_request("This operation can't be cancelled"));
        }
        operation.cancel.cancel();
        if operation.spec.class == Class::Token {
            self.end(operation, Err(Error::cancelled("Operation was cancelled")));
        } else {
            operation.set_status(StatusCode::CANCELLING, None);
        }
        Ok(())
    }

    /// Cancels whatever can be; for the end of the daemon.
    pub fn cancel_all(&self) {
        for operation in self.list(|operation| operation.spec.may_cancel) {
            operation.cancel.cancel();
        }
    }
}

impl Operation {
    /// URL of this operation.
    pub fn url(&self) -> String {
        format!("/1.0/operations/{}", self.id)
    }

    /// Its project; empty for the whole server.
    pub fn project(&self) -> &str {
        &self.spec.project
    }

    /// What every log line of its work carries.
    fn span(&self) -> tracing::Span {
        let objects =
            self.spec.resources.values().flatten().map(String::as_str).collect::<Vec<_>>().join(" ");
        tracing::info_span!(
            parent: None,
            "operation",
            operation = %self.id,
            project = self.spec.project,
            object = objects
        )
    }

    /// What users read.
    pub fn description(&self) -> &str {
        &self.spec.description
    }

    /// Who asked for it.
    pub fn requestor(&self) -> Option<&EventRequestor> {
        self.spec.requestor.as_ref()
    }

    /// Its class.
    pub fn class(&self) -> Class {
        self.spec.class
    }

    /// True for who knows its secret.
    pub fn opens_with(&self, secret: &str) -> bool {
        self.spec.secret.as_ref().is_some_and(|own| same(own, secret))
    }

    /// URLs of what it works on, of one kind (`instances`, `images`, …).
    pub fn resources(&self, kind: &str) -> &[String] {
        self.spec.resources.get(kind).map_or(&[], Vec::as_slice)
    }

    /// The present status.
    pub fn status(&self) -> StatusCode {
        self.state.lock().expect("no panic happens while the lock is held").status
    }

    /// What it is doing right now and when that last changed, for `/internal/debug`.
    pub fn step(&self) -> (&'static str, Timestamp) {
        let state = self.state.lock().expect("no panic happens while the lock is held");
        let changed =
            if state.step_since.0 > state.updated_at.0 { state.step_since } else { state.updated_at };
        (state.step, changed)
    }

    /// As it stands in answers; the sockets' secrets only for its creator.
    pub fn view(&self, for_creator: bool) -> lxd_api::operation::Operation {
        let state = self.state.lock().expect("no panic happens while the lock is held");
        let mut metadata = state.metadata.clone();
        let secrets = self.sockets.secrets();
        if for_creator && !secrets.is_empty() {
            metadata.insert("fds".to_owned(), Value::Object(secrets.into_iter().collect()));
        }
        if let Some(secret) = self.spec.secret.as_ref().filter(|_| for_creator) {
            metadata.insert("secret".to_owned(), Value::String(secret.clone()));
        }
        lxd_api::operation::Operation {
            id: self.id.to_string(),
            class: self.spec.class.as_str().to_owned(),
            description: self.spec.description.clone(),
            created_at: self.created_at,
            updated_at: state.updated_at,
            status: state.status.text().to_owned(),
            status_code: state.status,
            resources: self.spec.resources.clone(),
            metadata,
            may_cancel: self.spec.may_cancel || self.spec.class == Class::Token,
            err: state.error.as_ref().map(|(_, text)| text.clone()).unwrap_or_default(),
            location: "none".to_owned(),
        }
    }

    /// Waits for the end; false when the time is over before.
    pub async fn wait(&self, timeout: Option<Duration>) -> bool {
        let mut done = self.done.subscribe();
        let end = async { done.wait_for(|done| *done).await.is_ok() };
        match timeout {
            None => end.await,
            Some(limit) => tokio::time::timeout(limit, end).await.unwrap_or(false),
        }
    }

    /// The result of a finished operation.
    pub fn result(&self) -> Result<()> {
        let state = self.state.lock().expect("no panic happens while the lock is held");
        match &state.error {
            Some((kind, text)) => Err(Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }

    fn set_status(&self, status: StatusCode, error: Option<(Kind, String)>) {
        {
            let mut state = self.state.lock().expect("no panic happens while the lock is held");
            if state.status.is_final() {
                return;
            }
            state.status = status;
            state.error = error;
            state.updated_at = Timestamp::now();
        }
        self.announce();
    }

    fn finish(&self, result: Result<()>) {
        match result {
            Ok(()) => self.set_status(StatusCode::SUCCESS, None),
            Err(error) if error.kind() == Kind::Cancelled => {
                self.set_status(StatusCode::CANCELLED, Some((Kind::Cancelled, error.chain())));
            }
            Err(error) => {
                tracing::warn!(
                    operation = %self.id,
                    project = self.spec.project,
                    description = self.spec.description,
                    error = error.chain(),
                    "Operation failed"
                );
                self.set_status(StatusCode::FAILURE, Some((error.kind(), error.chain())));
            }
        }
        self.done.send_replace(true);
    }

    fn announce(&self) {
        if self.events.wanted(EventKind::Operation) {
            self.events.send(EventKind::Operation, &self.spec.project, &self.view(false));
        }
    }
}

impl OpHandle {
    /// The operation.
    pub fn operation(&self) -> &Arc<Operation> {
        &self.0
    }

    /// Who asked for it.
    pub fn requestor(&self) -> Option<EventRequestor> {
        self.0.spec.requestor.clone()
    }

    /// Replaces one member of the metadata and tells the readers of events.
    pub fn set(&self, key: &str, value: impl Into<Value>) {
        {
            let mut state = self.0.state.lock().expect("no panic happens while the lock is held");
            state.metadata.insert(key.to_owned(), value.into());
            state.updated_at = Timestamp::now();
        }
        self.0.announce();
    }

    /// Names the step that runs now.
    pub fn step(&self, step: &'static str) {
        let mut state = self.0.state.lock().expect("no panic happens while the lock is held");
        (state.step, state.step_since) = (step, Timestamp::now());
    }

    /// Ends when a client cancels the operation.
    pub async fn cancelled(&self) {
        self.0.cancel.cancelled().await;
    }

    /// The token that is cancelled with the operation.
    pub fn cancellation(&self) -> CancellationToken {
        self.0.cancel.clone()
    }

    /// An error once the operation was cancelled: steps look at it between their actions.
    ///
    /// # Errors
    /// `Cancelled`.
    pub fn check(&self) -> Result<()> {
        if self.0.cancel.is_cancelled() {
            return Err(Error::cancelled("Operation was cancelled"));
        }
        Ok(())
    }
}

/// Compares in a time that does not depend on where the texts differ.
fn same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

#[cfg(test)]
#[path = "operation_tests.rs"]
mod tests;
