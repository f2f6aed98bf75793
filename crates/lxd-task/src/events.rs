//! The event hub: every change of every entity goes through here to the readers of `/1.0/events`.
//!
//! A reader has a bounded queue. One that does not keep up is dropped and told so by the end of its stream;
//! the senders never wait.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use lxd_api::Timestamp;
use lxd_api::event::{Event, EventLifecycle, EventLogging};
use serde::Serialize;
use tokio::sync::mpsc;

/// Events that wait for one reader at most; more means that it is too slow.
const QUEUE: usize = 1024;

/// The kinds of events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventKind {
    /// A change of an entity.
    Lifecycle,
    /// A line of the log.
    Logging,
    /// A change of an operation.
    Operation,
}

impl EventKind {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Logging => "logging",
            Self::Operation => "operation",
        }
    }

    /// The kind of a wire name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Lifecycle, Self::Logging, Self::Operation].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What a reader wants to see.
#[derive(Clone, Debug)]
pub struct Filter {
    /// These kinds only.
    pub kinds: Vec<EventKind>,
    /// Events of this project only; `None` for all projects.
    pub project: Option<String>,
    /// Also those that belong to no project: for readers that may configure the server.
    pub whole_server: bool,
}

/// Distributes events. Cheap to clone.
#[derive(Clone, Default)]
pub struct EventHub {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Held for a loop over the readers, never across an await.
    readers: Mutex<Vec<Reader>>,
    /// Number of readers, to skip the work when there is none.
    count: AtomicUsize,
}

struct Reader {
    filter: Filter,
    queue: mpsc::Sender<Arc<str>>,
}

impl EventHub {
    /// A reader's queue of serialised events. The stream ends when the reader is too slow.
    pub fn subscribe(&self, filter: Filter) -> mpsc::Receiver<Arc<str>> {
        let (queue, events) = mpsc::channel(QUEUE);
        let mut readers = self.inner.readers.lock().expect("no panic happens while the lock is held");
        readers.push(Reader { filter, queue });
        self.inner.count.store(readers.len(), Ordering::Release);
        events
    }

    /// True when somebody reads events of this kind; lets callers skip building them.
    pub fn wanted(&self, kind: EventKind) -> bool {
        if self.inner.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let readers = self.inner.readers.lock().expect("no panic happens while the lock is held");
        readers.iter().any(|reader| reader.filter.kinds.contains(&kind))
    }

    /// Tells of a change. `project` is empty for objects of the whole server.
    pub fn lifecycle(&self, project: &str, event: &EventLifecycle) {
        self.send(EventKind::Lifecycle, project, event);
    }

    /// Tells of a log line.
    pub fn logging(&self, event: &EventLogging) {
        self.send(EventKind::Logging, "", event);
    }

    /// Sends any event; `project` is empty for objects of the whole server.
    pub fn send(&self, kind: EventKind, project: &str, metadata: &impl Serialize) {
        if !self.wanted(kind) {
            return;
        }
        let Ok(metadata) = serde_json::to_value(metadata) else { return };
        let event = Event {
            kind: kind.as_str().to_owned(),
            timestamp: Timestamp::now(),
            metadata,
            location: "none".to_owned(),
            project: project.to_owned(),
        };
        let Ok(text) = serde_json::to_string(&event) else { return };
        self.distribute(kind, project, &Arc::from(text));
    }

    fn distribute(&self, kind: EventKind, project: &str, text: &Arc<str>) {
        let mut readers = self.inner.readers.lock().expect("no panic happens while the lock is held");
        readers.retain(|reader| {
            if reader.queue.is_closed() {
                return false;
            }
            !reader.wants(kind, project) || reader.queue.try_send(text.clone()).is_ok()
        });
        self.inner.count.store(readers.len(), Ordering::Release);
    }
}

impl Reader {
    fn wants(&self, kind: EventKind, project: &str) -> bool {
        let of_project = match &self.filter.project {
            _ if project.is_empty() => self.filter.whole_server,
            Some(wanted) => project == wanted,
            None => true,
        };
        of_project && self.filter.kinds.contains(&kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifecycle(action: &str) -> EventLifecycle {
        EventLifecycle { action: action.into(), source: "/1.0/instances/c1".into(), ..Default::default() }
    }

    #[tokio::test]
    async fn readers_get_what_they_asked_for() {
        let hub = EventHub::default();
        let mut mine = hub.subscribe(Filter {
            kinds: vec![EventKind::Lifecycle],
            project: Some("p1".into()),
            whole_server: false,
        });
        hub.lifecycle("p2", &lifecycle("other"));
        hub.logging(&EventLogging::default());
        hub.lifecycle("p1", &lifecycle("mine"));
        let text = mine.recv().await.unwrap();
        let event: Event = serde_json::from_str(&text).unwrap();
        assert_eq!((event.kind.as_str(), event.metadata["action"].as_str()), ("lifecycle", Some("mine")));
        assert!(mine.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_slow_reader_is_dropped_and_nobody_waits() {
        let hub = EventHub::default();
        let mut slow =
            hub.subscribe(Filter { kinds: vec![EventKind::Lifecycle], project: None, whole_server: true });
        for _ in 0..=QUEUE {
            hub.lifecycle("", &lifecycle("x"));
        }
        assert!(!hub.wanted(EventKind::Lifecycle));
        let mut seen = 0;
        while slow.recv().await.is_some() {
            seen += 1;
        }
        assert_eq!(seen, QUEUE);
    }
}
