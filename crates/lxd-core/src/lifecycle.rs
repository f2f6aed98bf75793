//! Lifecycle events: every change of every entity sends the one that `lifecycle-events.tsv` names.

use lxd_api::event::EventLifecycle;
use lxd_auth::Caller;
use lxd_db::projects;
use lxd_types::names::ProjectName;
use serde_json::{Map, Value};

use crate::Core;

/// A change to be told.
pub struct Lifecycle {
    action: &'static str,
    source: String,
    project: String,
    context: Map<String, Value>,
}

impl Lifecycle {
    /// `action` on the object with this URL, e.g. `instance-created` on `/1.0/instances/c1`. What belongs to no project is
    /// told in the project `default`, as the reference does.
    pub fn new(action: &'static str, source: impl Into<String>) -> Self {
        let project = projects::DEFAULT_NAME.to_owned();
        Self { action, source: source.into(), project, context: Map::new() }
    }

    /// Of an object in a project; the URL gets `?project=` where the project is not `default`.
    #[must_use]
    pub fn in_project(mut self, project: &ProjectName) -> Self {
        self.source = with_project(&self.source, project);
        self.project = project.to_string();
        self
    }

    /// Of a project itself, whose URL never gets `?project=`.
    #[must_use]
    pub fn about_project(mut self, project: &ProjectName) -> Self {
        self.project = project.to_string();
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.context.insert(key.to_owned(), value.into());
        self
    }
}

/// A URL with its project, as clients of LXD expect it: the project `default` is left out.
pub fn with_project(url: &str, project: &ProjectName) -> String {
    if project.as_str() == "default" { url.to_owned() } else { format!("{url}?project={project}") }
}

impl Core {
    /// Tells the readers of events about a change.
    pub fn tell(&self, caller: &Caller, event: Lifecycle) {
        if event.action.starts_with("project-") {
            self.identities.projects_changed();
        }
        let context = (!event.context.is_empty()).then_some(event.context);
        let lifecycle = EventLifecycle {
            action: event.action.to_owned(),
            source: event.source,
            context,
            requestor: caller.requestor(),
        };
        self.events.lifecycle(&event.project, &lifecycle);
    }
}
