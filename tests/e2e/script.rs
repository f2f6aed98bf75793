//! A script of right requests (`script.txt`) that calls every route that changes something, in an order in which each can
//! work. Three tests play it: with the classes of the answers, with the lifecycle events, and with clients that go away.

use lxd_server::router::{Found, Router};
use lxd_server::routes::routes;
use lxd_testkit::{Daemon, request_raw, wait_for};
use serde_json::Value;

use crate::archive::Archive;
use crate::tls::Pair;

/// A line: `METHOD PATH [HEADER: VALUE]… BODY => CLASS event; event`. An event is `action`, `action@SOURCE` where the
/// source is not the path itself, and facts of its context as `action{old_name=c1}`
/// (`project` is that of the event, `default` where it is not given). `<name>` is looked up when the step
/// is played.
const SCRIPT: &str = include_str!("script.txt");

/// Routes that no step calls: `METHOD ROUTE why`.
const LEFT_OUT: &str = include_str!("script-left-out.txt");

/// A lifecycle event that a step must cause.
#[derive(Clone, Debug)]
pub struct Expected {
    pub action: String,
    pub source: String,
    pub context: Vec<(String, String)>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Step {
    pub line: usize,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// `sync`, `async` or `raw`.
    pub class: String,
    pub events: Vec<Expected>,
}

/// The whole script.
pub fn steps() -> Vec<Step> {
    let lines = SCRIPT.lines().enumerate().filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
    lines.map(|(n, text)| Step::parse(n + 1, text)).collect()
}

impl Step {
    fn parse(line: usize, text: &str) -> Self {
        let (request, expected) =
            text.rsplit_once(" => ").unwrap_or_else(|| panic!("script.txt:{line}: no =>"));
        let (method, rest) = request.split_once(' ').unwrap();
        let (path, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut headers = Vec::new();
        while rest.starts_with("[X-") || rest.starts_with("[If-") {
            let (header, after) = rest[1..].split_once(']').unwrap();
            let (name, value) = header.split_once(": ").unwrap();
            headers.push((name.to_owned(), value.to_owned()));
            rest = after.trim_start();
        }
        let (class, events) = expected.split_once(' ').unwrap_or((expected, ""));
        let own = path.split('?').next().unwrap();
        let events =
            events.split("; ").filter(|text| !text.is_empty()).map(|text| Expected::parse(text, own));
        Self {
            line,
            method: method.to_owned(),
            path: path.to_owned(),
            headers,
            body: rest.to_owned(),
            class: class.to_owned(),
            events: events.collect(),
        }
    }

    /// Whether it changes something.
    pub fn is_change(&self) -> bool {
        self.method != "GET"
    }

    /// The step with everything looked up that stands in `<>`.
    pub fn fill(&self, daemon: &Daemon) -> Self {
        let fill = |text: &str| fill(daemon, text);
        let mut step = self.clone();
        step.path = fill(&self.path);
        step.body = fill(&self.body);
        for event in &mut step.events {
            event.source = fill(&event.source);
        }
        step
    }

    /// The bytes that are sent.
    pub fn bytes(&self) -> Vec<u8> {
        match self.body.as_str() {
            "@archive@" => {
                // Large enough to be cut in the middle.
                Archive::new().metadata().dir("rootfs/").file("rootfs/data", &[7; 300_000]).bytes()
            }
            "@large@" => vec![b'x'; 300_000],
            text => text.as_bytes().to_vec(),
        }
    }

    /// Sends it and follows its operation: what the answer was, and the error if there was one.
    pub fn play(&self, daemon: &Daemon) -> (String, Option<String>) {
        let headers: Vec<(&str, &str)> = self.headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let answer = request_raw(&daemon.socket(), &self.method, &self.path, &headers, &self.bytes())
            .unwrap_or_else(|e| panic!("script.txt:{}: {e}", self.line));
        let json = answer.json();
        let class = match json["type"].as_str() {
            Some(kind) if kind == "sync" || kind == "async" => kind,
            Some("error") => "error",
            _ => "raw",
        };
        if class != "async" {
            let error = (answer.status >= 400).then(|| json["error"].as_str().unwrap_or("?").to_owned());
            return (class.to_owned(), error);
        }
        assert_eq!(answer.status, 202, "script.txt:{}", self.line);
        let operation = &json["metadata"];
        if operation["class"] != "task" {
            return (class.to_owned(), None); // It waits for websockets, or is a token.
        }
        let end = daemon.get(&format!("{}/wait?timeout=60", json["operation"].as_str().unwrap())).metadata();
        let error = end["err"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        (class.to_owned(), error)
    }
}

impl Expected {
    fn parse(text: &str, own: &str) -> Self {
        let (text, context) = match text.split_once('{') {
            Some((text, facts)) => (text, facts.trim_end_matches('}')),
            None => (text, ""),
        };
        let (action, source) = text.split_once('@').unwrap_or((text, own));
        let facts = context.split(", ").filter_map(|fact| fact.split_once('='));
        Self {
            action: action.to_owned(),
            source: source.to_owned(),
            context: facts.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        }
    }
}

/// What stands in `<>`, and how to find it.
type LookUp = (&'static str, fn(&Daemon) -> String);

fn fill(daemon: &Daemon, text: &str) -> String {
    let mut text = text.to_owned();
    let lookups: [LookUp; 9] = [
        ("<config>", |daemon| {
            let config = daemon.get("/1.0/instances/c1").metadata()["config"].to_string();
            config.trim_start_matches('{').trim_end_matches('}').to_owned()
        }),
        ("<log>", |daemon| {
            let logs = daemon.get("/1.0/instances/c2/logs").metadata();
            logs.as_array()
                .into_iter()
                .flatten()
                .map(last)
                .find(|name| name.starts_with("exec"))
                .unwrap_or_default()
        }),
        ("<dir>", |daemon| daemon.lxd_dir().display().to_string()),
        ("<image>", |daemon| image(daemon, false)),
        ("<busybox>", |daemon| image(daemon, true)),
        ("<certificate>", |daemon| Pair::make(daemon, "script", &[]).base64()),
        ("<fingerprint>", |daemon| last(&daemon.get("/1.0/certificates").metadata()[0])),
        ("<warning>", |daemon| last(&daemon.get("/1.0/warnings").metadata()[0])),
        ("<operation>", |daemon| {
            let running = daemon.get("/1.0/operations").metadata()["running"][0].clone();
            last(&running)
        }),
    ];
    for (name, look) in lookups {
        if text.contains(name) {
            text = text.replace(name, &look(daemon));
        }
    }
    text
}

/// The last part of a URL.
fn last(url: &Value) -> String {
    url.as_str().unwrap_or("nothing").rsplit('/').next().unwrap_or_default().to_owned()
}

/// The fingerprint of the busybox image, or of the other one.
fn image(daemon: &Daemon, busybox: bool) -> String {
    let all = daemon.get("/1.0/images?recursion=1").metadata();
    let found = all.as_array().into_iter().flatten().find(|image| {
        image["aliases"].as_array().is_some_and(|a| a.iter().any(|alias| alias["name"] == "busybox"))
            == busybox
    });
    found.map_or("nothing", |image| image["fingerprint"].as_str().unwrap_or_default()).to_owned()
}

/// A daemon on which the script can begin.
pub fn daemon() -> Daemon {
    let daemon = Daemon::start().with_pool_and_image();
    wait_for("a warning of the host", 20, || {
        (!daemon.get("/1.0/warnings").metadata().as_array()?.is_empty()).then_some(())
    });
    daemon
}

/// Every route that changes something is called by a step, or stands in `script-left-out.txt`.
#[test]
fn the_script_calls_every_route() {
    let router = Router::new(routes());
    let mut called: Vec<(String, &str)> = Vec::new();
    for step in steps() {
        let path = step.path.split('?').next().unwrap().replace(['<', '>'], "");
        let method = step.method.parse().unwrap();
        let Found::Route { route, .. } = router.find(&method, &path) else {
            panic!("script.txt:{}: {} {path} is no route", step.line, step.method)
        };
        called.push((step.method, route.path));
    }
    let left_out: Vec<&str> = LEFT_OUT.lines().filter(|line| !line.is_empty()).collect();
    let mut missing = Vec::new();
    for route in routes() {
        let is_change = route.method != "GET" && !route.path.starts_with("/internal");
        if !is_change || called.contains(&(route.method.to_string(), route.path)) {
            continue;
        }
        let row = format!("{} {} ", route.method, route.path);
        if !left_out.iter().any(|line| line.starts_with(&row)) {
            missing.push(row);
        }
    }
    assert!(missing.is_empty(), "no step of script.txt calls {missing:#?}");
    for line in left_out {
        let mut words = line.splitn(3, ' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        assert!(words.next().is_some_and(|why| !why.is_empty()), "{line}: why?");
        assert!(!called.iter().any(|(m, p)| m == method && *p == path), "{line}: a step calls it by now");
    }
}
