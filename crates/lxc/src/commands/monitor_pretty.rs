//! Events as one line each, in the layout of the log files of the reference.

use std::fmt::Write;

use lxd_api::Timestamp;
use serde_json::Value;

/// Levels from the least to the most urgent.
pub const LEVELS: &[&str] = &["trace", "debug", "info", "warning", "error", "fatal", "panic"];

/// An event as a line.
pub struct Line {
    time: Timestamp,
    level: String,
    message: String,
    fields: Vec<(String, String)>,
}

impl Line {
    /// The line of an event.
    pub fn of(event: &Value) -> Self {
        let null = Value::Null;
        let metadata = event.get("metadata").unwrap_or(&null);
        let text = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let time =
            event.get("timestamp").and_then(Value::as_str).and_then(|t| t.parse().ok()).unwrap_or_default();
        let (level, message, mut fields) = match event.get("type").and_then(Value::as_str) {
            Some("logging") => (text("level"), text("message"), context(metadata)),
            Some("lifecycle") => {
                let mut message = format!("Action: {}, Source: {}", text("action"), text("source"));
                if let Some(requestor) = metadata.get("requestor").filter(|requestor| requestor.is_object()) {
                    let part = |name: &str| requestor.get(name).and_then(Value::as_str).unwrap_or_default();
                    message += &format!(
                        ", Requestor: {}/{} ({})",
                        part("protocol"),
                        part("username"),
                        part("address")
                    );
                }
                ("info".to_owned(), message, context(metadata))
            }
            _ => {
                let message = format!(
                    "ID: {}, Class: {}, Description: {}",
                    text("id"),
                    text("class"),
                    text("description")
                );
                ("info".to_owned(), message, operation(metadata))
            }
        };
        fields.sort();
        let level = if level == "warn" { "warning".to_owned() } else { level };
        Self { time, level, message, fields }
    }

    /// How urgent it is: an index into [`LEVELS`].
    pub fn urgency(&self) -> usize {
        LEVELS.iter().position(|level| *level == self.level).unwrap_or(2)
    }

    /// `time="…" level=info msg="…" key=value`, for files and pipes.
    pub fn plain(&self) -> String {
        let mut out =
            format!("time={:?} level={} msg={}", seconds(&self.time), self.level, quoted(&self.message));
        for (key, value) in &self.fields {
            let _ = write!(out, " {key}={}", quoted(value));
        }
        out
    }

    /// With colours, for terminals.
    pub fn colored(&self) -> String {
        let color = match self.level.as_str() {
            "trace" | "debug" => 37,
            "warning" => 33,
            "error" | "fatal" | "panic" => 31,
            _ => 36,
        };
        let mut out = format!(
            "\x1b[{color}m{:7}\x1b[0m[{}] {:44} ",
            self.level.to_uppercase(),
            seconds(&self.time),
            self.message
        );
        for (key, value) in &self.fields {
            let _ = write!(out, " \x1b[{color}m{key}\x1b[0m={}", quoted(value));
        }
        out
    }
}

fn seconds(time: &Timestamp) -> String {
    time.0.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// Members of `context`.
fn context(metadata: &Value) -> Vec<(String, String)> {
    let members = metadata.get("context").and_then(Value::as_object);
    members.into_iter().flatten().map(|(key, value)| (key.clone(), go_value(value))).collect()
}

/// The members of an operation that its message does not show.
fn operation(metadata: &Value) -> Vec<(String, String)> {
    let member = |name: &str| metadata.get(name).map_or_else(String::new, go_value);
    let map = |name: &str| match metadata.get(name) {
        None | Some(Value::Null) => "map[]".to_owned(),
        Some(value) => go_value(value),
    };
    let time =
        |name: &str| member(name).parse::<Timestamp>().map_or_else(|_| member(name), |time| go_time(&time));
    [
        ("CreatedAt", time("created_at")),
        ("Err", member("err")),
        ("Location", member("location")),
        ("MayCancel", member("may_cancel")),
        ("Metadata", map("metadata")),
        ("Resources", map("resources")),
        ("Status", member("status")),
        ("StatusCode", member("status")),
        ("UpdatedAt", time("updated_at")),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .to_vec()
}

/// `2026-11-21 13:25:19.735083201 +0000 UTC`
fn go_time(time: &Timestamp) -> String {
    let text = Timestamp(time.0.to_utc().fixed_offset()).to_string();
    text.replace('T', " ").replace('Z', " +0000 UTC")
}

/// A value as Go prints it: `map[a:[x y]]`.
fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_value).collect::<Vec<_>>().join(" ")),
        Value::Object(members) => {
            let mut members: Vec<String> =
                members.iter().map(|(key, value)| format!("{key}:{}", go_value(value))).collect();
            members.sort();
            format!("map[{}]", members.join(" "))
        }
        other => other.to_string(),
    }
}

/// In quotes when it holds anything but plain characters.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("{text:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines() {
        let event = json!({"type": "logging", "timestamp": "2026-11-21T13:25:19.5Z", "metadata": {
            "level": "debug", "message": "Handling API request",
            "context": {"url": "/1.0/instances?filter=", "ip": "@", "empty": ""}}});
        let line = Line::of(&event);
        assert_eq!(line.urgency(), 1);
        assert_eq!(
            line.plain(),
            "time=\"2026-11-21T13:25:19Z\" level=debug msg=\"Handling API request\" empty= ip=@ \
             url=\"/1.0/instances?filter=\""
        );
        let start = format!("\x1b[37mDEBUG  \x1b[0m[2026-11-21T13:25:19Z] {:44}  ", "Handling API request");
        assert!(line.colored().starts_with(&start), "{:?}", line.colored());
    }

    #[test]
    fn go_values() {
        assert_eq!(go_value(&json!({"b": ["x", "y"], "a": 1})), "map[a:1 b:[x y]]");
        assert_eq!(go_time(&"2026-11-21T13:25:19.5Z".parse().unwrap()), "2026-11-21 13:25:19.5 +0000 UTC");
    }
}
