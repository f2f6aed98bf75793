//! `lxc monitor`

use std::io::IsTerminal;

use anyhow::{Result, bail};
use serde_json::Value;

use super::monitor_pretty::{LEVELS, Line};
use crate::cli::{Matches, Spec, list, switch, value};
use crate::cx::Cx;
use crate::output::{self, json, print};

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
    let colors = std::io::stdout().is_terminal() && !wants_no_color();
    while let Some(event) = events.next_value().await? {
        match format {
            "json" => print(
                &(json::compact(&sorted(&event))
                    + "

"),
            ),
            "yaml" => print(
                &(output::yaml_text(&event)?
                    + "

"),
            ),
            _ => {
                let line = Line::of(&event);
                if line.urgency() >= least {
                    print(
                        &((if colors { line.colored() } else { line.plain() })
                            + "
"),
                    );
                }
            }
        }
    }
    bail!("The event stream ended")
}

/// `NO_COLOR` with any value but the empty one.
fn wants_no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// The same with members in the order of their names.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> =
                members.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
