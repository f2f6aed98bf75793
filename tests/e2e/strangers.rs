//! Every route, walked by a client without a certificate, with an unknown one, with one that is limited to a project, and
//! with a trusted one: what they are answered, and that nothing leaks.

use lxd_server::routes::{Access, Route, routes};
use lxd_testkit::Daemon;
use serde_json::{Value, json};

use crate::tls::{Client, Pair, Reply, listen, trust};

/// A word in the name of everything that a stranger must not hear of.
const HIDDEN: &str = "hidden";

/// A daemon with things of all kinds in `default` and in the project `hidden-p`, and with the empty project `own`.
fn furnished() -> (Daemon, String) {
    let daemon = Daemon::start().with_pool_and_image();
    listen(&daemon);
    let image =
        daemon.get("/1.0/images").metadata()[0].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    daemon.ok("POST", "/1.0/images/aliases", &json!({"name": "hidden-alias", "target": image}));
    daemon.ok("PATCH", &format!("/1.0/images/{image}"), &json!({"properties": {"note": "hidden-note"}}));
    daemon.ok("PATCH", "/1.0", &json!({"config": {"user.note": "hidden-config"}}));
    daemon.ok(
        "POST",
        "/1.0/networks",
        &json!({"name": "hidden0", "config": {"ipv4.address": "none", "ipv6.address": "none"}}),
    );
    daemon.ok("POST", "/1.0/projects", &json!({"name": "own"}));
    daemon.ok("POST", "/1.0/projects", &json!({"name": "hidden-p", "config": {"features.images": "false"}}));
    for project in ["default", "hidden-p"] {
        let at = |path: &str| format!("{path}?project={project}");
        daemon.ok("POST", &at("/1.0/profiles"), &json!({"name": "hidden-profile"}));
        let root = json!({"root": {"type": "disk", "path": "/", "pool": "default"}});
        let instance = json!({"name": "hidden-c", "source": {"type": "none"}, "devices": root});
        daemon.ok("POST", &at("/1.0/instances"), &instance);
        daemon.ok("POST", &at("/1.0/instances/hidden-c/snapshots"), &json!({"name": "hidden-s"}));
        let volume = json!({"name": "hidden-v", "type": "custom"});
        daemon.ok("POST", &at("/1.0/storage-pools/default/volumes/custom"), &volume);
    }
    (daemon, image)
}

/// The path of a route about things that are there; the name of an image stays as it is.
fn concrete(path: &str, image: &str) -> String {
    let known = |collection: &str| match collection {
        "instances" | "containers" | "virtual-machines" => "hidden-c",
        "profiles" => "hidden-profile",
        "projects" => "hidden-p",
        "networks" => "hidden0",
        "snapshots" => "hidden-s",
        "aliases" => "hidden-alias",
        "images" => image,
        "storage-pools" => "default",
        "volumes" => "custom",
        "custom" | "{type}" => "hidden-v",
        "certificates" => "0",
        _ => "x",
    };
    let mut segments: Vec<String> = Vec::new();
    for segment in path.split('/') {
        let before = segments.last().map(String::as_str).unwrap_or_default();
        segments.push(if segment.starts_with('{') { known(before).to_owned() } else { segment.to_owned() });
    }
    segments.join("/")
}

fn ask(client: &mut Client, route: &Route, path: &str, query: &str) -> Reply {
    let body = if route.method == "GET" { Value::Null } else { json!({}) };
    client.call(route.method.as_str(), &format!("{path}{query}"), &body)
}

fn leaks(reply: &Reply, path: &str) -> bool {
    // What the client said itself is no news.
    let heard = reply.body.replace(path, "");
    // Networks of `default` are there for all projects.
    let lent = path.starts_with("/1.0/networks") || path.starts_with("/1.0/projects/own");
    let heard = if lent && reply.status == 200 { heard.replace("hidden0", "") } else { heard };
    let names = path.split('/').filter(|segment| segment.contains(HIDDEN));
    names.fold(heard, |heard, name| heard.replace(name, "")).contains(HIDDEN)
}

const QUERIES: &[&str] = &[
    "",
    "?project=hidden-p",
    "?project=nosuch",
    "?recursion=1",
    "?recursion=2",
    "?all-projects=true&recursion=1",
];

#[test]
fn strangers_hear_nothing_on_any_route() {
    let (daemon, image) = furnished();
    let unknown = Pair::make(&daemon, "unknown", &[]);
    for (who, pair) in [("nobody", None), ("an unknown certificate", Some(&unknown))] {
        let mut client = Client::start(&daemon, pair);
        let (mut walked, mut wrong) = (0, Vec::new());
        for route in &routes() {
            let path = concrete(route.path, &image);
            for query in QUERIES {
                let reply = ask(&mut client, route, &path, query);
                let row = format!("{who}: {} {path}{query}: {reply:?}", route.method);
                let refused = reply.status == 403 && reply.json()["error"] == "not authorized";
                let right = match route.access {
                    Access::Anyone => reply.status < 500,
                    _ => refused,
                };
                if leaks(&reply, &path) || !right {
                    wrong.push(row);
                }
                walked += 1;
                if route.path == "/1.0/certificates" && route.method == "POST" {
                    break; // A guess of the password: slowed, and limited.
                }
            }
        }
        assert!(walked > 300, "{walked}");
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[test]
fn a_limited_client_hears_of_its_projects_only() {
    let (daemon, image) = furnished();
    let pair = Pair::make(&daemon, "limited", &[]);
    trust(&daemon, &pair, &json!({"restricted": true, "projects": ["own"]}));
    let other = Pair::make(&daemon, "other", &[]);
    trust(&daemon, &other, &json!({"name": "hidden-client", "restricted": true, "projects": ["hidden-p"]}));
    let (before, mut wrong) = (world(&daemon), Vec::new());
    let mut client = Client::start(&daemon, Some(&pair));
    for route in &routes() {
        let path = concrete(route.path, &image);
        let mut there = None;
        for query in [
            "?project=hidden-p",
            "?project=nosuch",
            "",
            "?project=own&recursion=1",
            "?all-projects=true&recursion=1",
        ] {
            let reply = ask(&mut client, route, &path, query);
            let row = format!("{} {path}{query}: {reply:?}", route.method);
            let told = there.is_some_and(|status| query == "?project=nosuch" && status != reply.status);
            let inside = matches!(route.access, Access::Server | Access::Root) && reply.status != 403;
            if leaks(&reply, &path) || told || inside {
                wrong.push(row);
            }
            there = Some(reply.status);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(world(&daemon), before, "nothing was changed");
}

/// What a limited client must not have changed.
fn world(daemon: &Daemon) -> Value {
    let mut all = json!({});
    for path in [
        "/1.0/projects?recursion=1",
        "/1.0/profiles?recursion=1&project=hidden-p",
        "/1.0/profiles?recursion=1",
        "/1.0/networks?recursion=1",
        "/1.0/storage-pools?recursion=1",
        "/1.0/images/aliases?recursion=1",
        "/1.0/certificates?recursion=1",
        "/1.0/storage-pools/default/volumes/custom?recursion=1",
        "/1.0/storage-pools/default/volumes/custom?recursion=1&project=hidden-p",
        "/1.0/instances?recursion=1&all-projects=true",
    ] {
        all[path] = daemon.get(path).metadata();
    }
    all["config"] = daemon.get("/1.0").metadata()["config"].clone();
    all
}

#[test]
fn a_trusted_client_may_read_everything_but_the_internals() {
    let (daemon, image) = furnished();
    let pair = Pair::make(&daemon, "full", &[]);
    trust(&daemon, &pair, &json!({}));
    let mut client = Client::start(&daemon, Some(&pair));
    let mut wrong = Vec::new();
    for route in routes().iter().filter(|route| route.method == "GET") {
        let path = concrete(route.path, &image);
        let reply = ask(&mut client, route, &path, "?project=hidden-p");
        let internal = route.access == Access::Root;
        // What another server or driver has is refused in these words.
        let absent = ["not clustered", "Not supported"].iter().any(|words| reply.body.contains(words));
        if (reply.status == 403) != internal || reply.status >= 500 && !absent {
            wrong.push(format!("{path}: {reply:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
