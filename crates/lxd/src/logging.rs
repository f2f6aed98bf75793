//! The log: lines like `time="…" level=info msg="…" key=value` on standard error, in the log file and in
//! syslog, and events of type `logging` for whoever reads them (manual 3.5.5).

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use chrono::{SecondsFormat, Utc};
use lxd_api::event::EventLogging;
use lxd_task::EventHub;
use lxd_task::events::EventKind;
use lxd_types::Result;
use lxd_types::error::Context as _;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::Globals;

/// A handle to the running log.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    /// Level of the log file and of syslog.
    kept: Level,
    /// Level of standard error.
    shown: Level,
    /// Targets that log at every level (`--trace`).
    traced: Vec<String>,
    path: Option<PathBuf>,
    /// Held for one line.
    file: Mutex<Option<File>>,
    syslog: Option<UnixDatagram>,
    events: OnceLock<EventHub>,
}

/// Starts the log.
///
/// # Errors
/// The log file or syslog cannot be opened.
pub fn start(flags: &Globals) -> Result<Log> {
    let level = if flags.debug { Level::DEBUG } else { Level::INFO };
    let shown = if flags.debug || flags.verbose { level } else { Level::WARN };
    let log = Log(Arc::new(Inner {
        kept: level,
        shown,
        traced: flags.trace.clone(),
        path: flags.logfile.clone(),
        file: Mutex::default(),
        syslog: if flags.syslog { Some(syslog()?) } else { None },
        events: OnceLock::new(),
    }));
    log.reopen()?;
    // A second subscriber in one process can only come from a test.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(log.clone()));
    Ok(log)
}

fn syslog() -> Result<UnixDatagram> {
    let socket = UnixDatagram::unbound().context("Failed to open syslog")?;
    socket.connect("/dev/log").context("Failed to open syslog")?;
    Ok(socket)
}

impl Log {
    /// Opens the log file (again): SIGHUP, after it was rotated.
    ///
    /// # Errors
    /// It cannot be opened; the old one stays in use.
    pub fn reopen(&self) -> Result<()> {
        let Some(path) = &self.0.path else { return Ok(()) };
        let file = File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .context(format!("Failed to open log file {}", path.display()))?;
        *self.0.file.lock().expect("no panic happens while the lock is held") = Some(file);
        Ok(())
    }

    /// From now on readers of events see the log.
    pub fn tell(&self, events: EventHub) {
        // It is set once, by the daemon's start.
        let _ = self.0.events.set(events);
    }

    fn wanted_by_readers(&self) -> bool {
        self.0.events.get().is_some_and(|events| events.wanted(EventKind::Logging))
    }

    fn write(&self, level: Level, line: &str) {
        if level <= self.0.kept {
            if let Some(file) = &mut *self.0.file.lock().expect("no panic happens while the lock is held") {
                // There is nobody to tell when the log cannot be written.
                let _ = file.write_all(line.as_bytes());
            }
            if let Some(syslog) = &self.0.syslog {
                let priority = 3 * 8 + severity(level);
                let _ = syslog.send(format!("<{priority}>lxd[{}]: {line}", std::process::id()).as_bytes());
            }
        }
        if level <= self.0.shown {
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }
}

/// Fields of a span, kept with it.
struct Kept(BTreeMap<String, String>);

impl<S> Layer<S> for Log
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if !is_ours(metadata.target()) && *metadata.level() > Level::WARN && self.0.traced.is_empty() {
            return Interest::never();
        }
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        let level = *metadata.level();
        metadata.is_span()
            || level <= self.0.kept.max(self.0.shown)
            || self.0.traced.iter().any(|target| metadata.target().starts_with(target.as_str()))
            || (level <= Level::DEBUG && self.wanted_by_readers())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Kept(fields.rest));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(Kept(kept)) = span.extensions().get::<Kept>() {
                fields.rest.extend(kept.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
        }
        event.record(&mut fields);
        let level = *event.metadata().level();
        self.write(level, &line(level, &fields));
        if level <= Level::DEBUG && self.wanted_by_readers() {
            self.send(level, fields);
        }
    }
}

impl Log {
    fn send(&self, level: Level, fields: Fields) {
        let context = fields.rest.into_iter().collect();
        let event = EventLogging { message: fields.message, level: name(level).to_owned(), context };
        if let Some(events) = self.0.events.get() {
            events.logging(&event);
        }
    }
}

/// Message and named values of an event; the values in alphabetical order, as in the reference's log.
#[derive(Default)]
struct Fields {
    message: String,
    rest: BTreeMap<String, String>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned();
        } else {
            self.rest.insert(field.name().to_owned(), value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn line(level: Level, fields: &Fields) -> String {
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut line = format!("time=\"{now}\" level={} msg={}", name(level), quoted(&fields.message, true));
    for (key, value) in &fields.rest {
        // Writing into a string cannot fail.
        let _ = write!(line, " {key}={}", quoted(value, false));
    }
    line.push('\n');
    line
}

/// A value as it stands in a line: quoted when it is not plain, so that one event is always one line.
fn quoted(value: &str, always: bool) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if !always && value.chars().all(plain) { value.to_owned() } else { format!("{value:?}") }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// Lines of other people's crates are kept from `warning` on.
fn is_ours(target: &str) -> bool {
    target.starts_with("lxd") || target.starts_with("liblxc") || target.starts_with("sqlite_session")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line() {
        let mut fields = Fields { message: "a\nb \"c\"".into(), ..Fields::default() };
        fields.rest.insert("url".into(), "/1.0?x=y".into());
        fields.rest.insert("ip".into(), "@".into());
        let line = line(Level::INFO, &fields);
        assert!(line.ends_with("level=info msg=\"a\\nb \\\"c\\\"\" ip=@ url=\"/1.0?x=y\"\n"), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
    }
}
