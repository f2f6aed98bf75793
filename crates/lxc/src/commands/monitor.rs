//! `lxc monitor`

use anyhow::{Result, bail};
use lxd_api::Timestamp;
use serde_json::Value;

use crate::cli::{Matches, Spec, list, switch, value};
use crate::cx::Cx;
use crate::output::node::Node;
use crate::output::{json, print, yaml};

/// The command.
pub static SPEC: Spec = Spec {
    name: "monitor",
    args: "[<remote>:]",
    about: "Print the events of a server",
    examples: "  lxc monitor --type=logging\n      Only log messages.\n\n  lxc monitor --pretty --type=logging --loglevel=info\n      Log messages of level info and above, one line each.\n\n  lxc monitor --type=lifecycle\n      Only lifecycle events.",
    flags: &[
        switch("all-projects", "Events of all projects"),
        value("format", "Output format: json, pretty or yaml").short('f').or("yaml"),
        value("loglevel", "Lowest level of log messages (with the pretty format)"),
        switch("pretty", "Same as --format=pretty"),
        list("type", "Type of events: lifecycle, logging or operation"),
    ],
    count: (0, 1),
    hidden: true,
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

const LEVELS: &[&str] = &["trace", "debug", "info", "warning", "error", "fatal", "panic"];

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let format = if matches.is("pretty") { "pretty" } else { matches.value("format") };
    if !["json", "pretty", "yaml"].contains(&format) {
        bail!("Invalid format: {format}");
    }
    if matches.given("loglevel") && format != "pretty" {
        bail!("Log level filtering can only be used with pretty formatting");
    }
    if matches.is("all-projects") && cx.project.is_some() {
        bail!("Can't specify --project with --all-projects");
    }
    let least = match matches.value("loglevel") {
        "" => 0,
        "warn" => 3,
        "err" => 4,
        text => match LEVELS.iter().position(|level| *level == text) {
            Some(index) => index,
            None => bail!("not a valid logrus Level: {text:?}"),
        },
    };
    let target = cx.target(matches.arg(0))?;
    if !target.name.is_empty() {
        bail!("Filtering isn't supported yet");
    }
    let types: Vec<&str> = matches.list("type").iter().flat_map(|text| text.split(',')).collect();
    let pretty_types = ["logging", "lifecycle"];
    let types = if types.is_empty() && format == "pretty" { pretty_types.to_vec() } else { types };
    let mut events = target.client.events(&types, matches.is("all-projects")).await?;
    while let Some(event) = events.next_value().await? {
        match format {
            "json" => print(&(json::compact(&event) + "\n")),
            "yaml" => print(&(yaml::emit(&node(&event)?) + "\n\n")),
            _ => {
                if let Some(line) = pretty(&event, least) {
                    print(&(line + "\n"));
                }
            }
        }
    }
    bail!("The event stream ended")
}

/// An event in the order of the struct, with its time as a time.
fn node(event: &Value) -> Result<Node> {
    let mut node = Node::of(event)?;
    if let Node::Map(members) = &mut node {
        let order = ["type", "timestamp", "metadata", "location", "project"];
        members.sort_by_key(|(key, _)| order.iter().position(|name| name == key).unwrap_or(order.len()));
        for (key, member) in members {
            if key == "timestamp"
                && let Node::Text(text) = member
            {
                *member = Node::Plain(std::mem::take(text));
            }
        }
    }
    Ok(node)
}

/// One line for a log message or a lifecycle event; `None` when its level is too low.
fn pretty(event: &Value, least: usize) -> Option<String> {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let metadata = event.get("metadata")?;
    let field = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let time: Timestamp = text("timestamp").parse().unwrap_or_default();
    let (level, message, context) = match text("type") {
        "logging" => {
            let level = field("level");
            let index =
                LEVELS.iter().position(|name| *name == level || (*name == "warning" && level == "warn"));
            if index.unwrap_or(2) < least {
                return None;
            }
            (level, field("message"), metadata.get("context").cloned().unwrap_or(Value::Null))
        }
        "lifecycle" => {
            let message = format!("Action: {}, Source: {}", field("action"), field("source"));
            ("info".to_owned(), message, metadata.get("context").cloned().unwrap_or(Value::Null))
        }
        _ => {
            let message = format!(
                "ID: {}, Class: {}, Description: {}",
                field("id"),
                field("class"),
                field("description")
            );
            ("info".to_owned(), message, Value::Null)
        }
    };
    let mut line =
        format!("{:7}[{}] {message:44}", level.to_uppercase(), time.0.format("%Y-%m-%dT%H:%M:%S%:z"));
    if let Value::Object(members) = context {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_by(|a, b| a.0.cmp(&b.0));
        for (key, value) in members {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let value = if value.contains([' ', '"', '=']) || value.is_empty() {
                format!("{value:?}")
            } else {
                value
            };
            line.push_str(&format!(" {key}={value}"));
        }
    }
    Some(line.trim_end().to_owned())
}
