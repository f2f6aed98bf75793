//! Every lifecycle event of `lifecycle-events.txt`: the script causes it, with context, requestor, project and location.
//! What it does not cause is listed in `lifecycle-not-yet.txt`, with the reason, and must not come.

use std::collections::BTreeSet;
use std::time::Duration;

use lxd_testkit::{Daemon, Events};
use serde_json::Value;

use crate::script::{self, Step};

/// The names of all events.
const ALL: &str = include_str!("lifecycle-events.txt");

/// Those that the script does not cause: `NAME why`.
const NOT_YET: &str = include_str!("lifecycle-not-yet.txt");

/// How long an event may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long nothing more may come after the last.
const QUIET: Duration = Duration::from_millis(60);

#[test]
fn every_change_is_answered_and_told_as_it_should() {
    let daemon = script::daemon();
    let mut events = Events::open(&daemon.socket(), "type=lifecycle&all-projects=true");
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for step in script::steps() {
        let step = step.fill(&daemon);
        let (class, error) = step.play(&daemon);
        let told = |what: String| format!("script.txt:{} {} {}: {what}", step.line, step.method, step.path);
        if let Some(error) = error {
            wrong.push(told(error));
        } else if class != step.class {
            wrong.push(told(format!("is {class}, not {}", step.class)));
        }
        let found = collect(&mut events, step.events.len());
        seen.extend(
            found.iter().map(|event| event["metadata"]["action"].as_str().unwrap_or_default().to_owned()),
        );
        wrong.extend(judge(&daemon, &step, &found).into_iter().map(told));
    }
    wrong.extend(names(&seen));
    assert!(wrong.is_empty(), "{} things:\n{}", wrong.len(), wrong.join("\n"));
}

fn collect(events: &mut Events, wanted: usize) -> Vec<Value> {
    let mut found = Vec::new();
    while let Some(event) = events.next(if found.len() < wanted { PATIENCE } else { QUIET }) {
        found.push(event);
    }
    found
}

/// What is wrong with the events of a step.
fn judge(daemon: &Daemon, step: &Step, found: &[Value]) -> Vec<String> {
    let actions: Vec<&str> = found.iter().filter_map(|event| event["metadata"]["action"].as_str()).collect();
    let wanted: Vec<&str> = step.events.iter().map(|event| event.action.as_str()).collect();
    if actions != wanted {
        return vec![format!("events {actions:?}, not {wanted:?}")];
    }
    let mut wrong = Vec::new();
    // Where a step makes the object, its name is known only now.
    let step = step.fill(daemon);
    for (expected, event) in step.events.iter().zip(found) {
        let metadata = &event["metadata"];
        let source = metadata["source"].as_str().unwrap_or_default();
        if source != expected.source && !expected.source.contains("nothing") && !expected.source.contains('<')
        {
            wrong.push(format!("source {source:?}, not {:?}", expected.source));
        }
        let project = expected.context.iter().find(|(key, _)| key == "project");
        let project = project.map_or("default", |(_, name)| name);
        if event["project"] != project {
            wrong.push(format!("project {}, not {project}", event["project"]));
        }
        for (key, value) in expected.context.iter().filter(|(key, _)| key != "project") {
            let fact = &metadata["context"][key];
            let text = fact.as_str().map_or_else(|| fact.to_string(), str::to_owned);
            if text != *value {
                wrong.push(format!("context {key} is {text}, not {value}"));
            }
        }
        let requestor = &metadata["requestor"];
        if requestor["username"] != "root" || requestor["protocol"] != "unix" {
            wrong.push(format!("requestor {requestor}"));
        }
        if event["location"] != "none" || event["type"] != "lifecycle" || !event["timestamp"].is_string() {
            wrong.push(format!("envelope {event}"));
        }
    }
    wrong
}

/// Each name is caused by the script or listed as not there yet, and none is unknown.
fn names(seen: &BTreeSet<String>) -> Vec<String> {
    let all: BTreeSet<String> = ALL.lines().map(str::to_owned).collect();
    let not_yet: BTreeSet<String> = NOT_YET
        .lines()
        .map(|line| line.split_once(' ').unwrap_or_else(|| panic!("lifecycle-not-yet.txt: {line}: why?")).0)
        .map(str::to_owned)
        .collect();
    let unknown = seen.difference(&all).map(|name| format!("{name} is no event of the list"));
    let early = seen
        .intersection(&not_yet)
        .map(|name| format!("{name} comes by now: take it out of lifecycle-not-yet.txt"));
    let missing = all.iter().filter(|name| !seen.contains(*name) && !not_yet.contains(*name));
    let missing = missing.map(|name| format!("{name} is neither caused nor listed"));
    unknown.chain(early).chain(missing).collect()
}
