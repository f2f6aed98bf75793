//! What an operation is, before it runs.

use std::collections::BTreeMap;

use lxd_api::event::EventRequestor;
use serde_json::Value;

/// The classes of operations.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// Runs by itself.
    Task,
    /// Serves websockets.
    Websocket,
    /// Only carries a secret, until it is used or cancelled.
    Token,
}

impl Class {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Websocket => "websocket",
            Self::Token => "token",
        }
    }
}

/// What an operation is, before it runs.
#[derive(Clone, Debug)]
pub struct OperationSpec {
    /// The class.
    pub class: Class,
    /// What users read, e.g. `Creating instance`.
    pub description: String,
    /// Its project; empty for the whole server.
    pub project: String,
    /// URLs of what it works on, by kind (`instances`, `images`, …).
    pub resources: BTreeMap<String, Vec<String>>,
    /// First metadata.
    pub metadata: BTreeMap<String, Value>,
    /// May it be cancelled by a client?
    pub may_cancel: bool,
    /// Who asked.
    pub requestor: Option<EventRequestor>,
    /// What opens something to whoever knows it; shown to the creator only (rule R10).
    pub secret: Option<String>,
}

impl OperationSpec {
    /// A task of a project that cannot be cancelled.
    pub fn task(description: &str, project: &str) -> Self {
        Self {
            class: Class::Task,
            description: description.to_owned(),
            project: project.to_owned(),
            resources: BTreeMap::new(),
            metadata: BTreeMap::new(),
            may_cancel: false,
            requestor: None,
            secret: None,
        }
    }

    /// Names a thing that it works on; `kind` as in the JSON, e.g. `instances`.
    #[must_use]
    pub fn on(mut self, kind: &str, url: impl Into<String>) -> Self {
        self.resources.entry(kind.to_owned()).or_default().push(url.into());
        self
    }

    /// Adds who asked.
    #[must_use]
    pub fn by(mut self, requestor: Option<EventRequestor>) -> Self {
        self.requestor = requestor;
        self
    }

    /// Makes it cancellable: its future must look at [`OpHandle::cancelled`].
    #[must_use]
    pub fn cancellable(mut self) -> Self {
        self.may_cancel = true;
        self
    }

    /// Another class.
    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Adds a secret, the member `secret` of the metadata that the creator sees.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Adds a member to the metadata.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }
}
