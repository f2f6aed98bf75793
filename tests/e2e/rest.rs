//! What a live daemon answers to every GET of the specification: class, members and their types. (The classes of what
//! changes something are checked by `lifecycle.rs`.)

use std::collections::{BTreeMap, BTreeSet};

use lxd_server::router::{Found, Router};
use lxd_server::routes::routes;
use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

use crate::tls::Pair;

/// Method, path, class of the answer, type of the request, of the answer, of the answer to `recursion=1`.
const REST: &str = include_str!("../../crates/lxd-server/tests/rest-api.tsv");

/// Type, member, type of the member.
const TYPES: &str = include_str!("../../crates/lxd-server/tests/rest-types.tsv");

/// Rows that this version does not answer yet.
const NOT_YET: &str = include_str!("../../crates/lxd-server/tests/not-yet.txt");

/// Members that no answer of this test has: `TYPE.MEMBER why`.
const LEFT_OUT: &str = include_str!("rest-left-out.txt");

/// Paths that are refused on a server that is alone, or on a pool of this driver, and the words of that.
const REFUSED: &[(&str, &str)] = &[
    ("/1.0/cluster/members", "not clustered"),
    ("/1.0/cluster/members/{name}", "not clustered"),
    ("/1.0/storage-pools/{name}/volumes/{type}/{volume}/state", "Not supported"),
];

/// Members that came with extensions after the specification: `TYPE.MEMBER`.
const ADDED: &[&str] = &[
    "Network.project",
    "Operation.requestor",
    "ServerEnvironment.server_event_mode",
    "StorageVolume.created_at",
    "StorageVolumeSnapshot.created_at",
    "StorageVolume.project",
];

#[derive(Default)]
struct Seen {
    wrong: BTreeSet<String>,
    /// Types of which an object was there, and their members that were.
    members: BTreeMap<&'static str, BTreeSet<String>>,
}

fn members_of(kind: &str) -> Vec<(&'static str, &'static str)> {
    let rows = TYPES.lines().filter_map(|line| {
        let mut columns = line.split('\t');
        (columns.next() == Some(kind)).then(|| (columns.next().unwrap(), columns.next().unwrap()))
    });
    rows.collect()
}

impl Seen {
    /// Compares a value with a type in the short form of `rest-types.tsv`.
    fn look(&mut self, at: &str, kind: &'static str, value: &Value) {
        if let Some(inner) = kind.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            match value {
                Value::Array(all) => all.iter().for_each(|one| self.look(at, inner, one)),
                Value::Null => {} // An empty list may be null, as in the reference.
                _ => self.bad(at, kind, value),
            }
            return;
        }
        let of_map = kind.strip_prefix("map of ");
        if let Some(inner) = of_map.or_else(|| kind.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')))
        {
            match value {
                Value::Object(all) => all.values().for_each(|one| self.look(at, inner, one)),
                Value::Null => {}
                _ => self.bad(at, kind, value),
            }
            return;
        }
        let is_right = match kind {
            "any" => true,
            "string" => value.is_string(),
            "time" => value.as_str().is_some_and(|text| text.contains('T')),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            object => return self.object(at, object, value),
        };
        if !is_right {
            self.bad(at, kind, value);
        }
    }

    fn object(&mut self, at: &str, kind: &'static str, value: &Value) {
        let members = members_of(kind);
        if let [("=", other)] = members[..] {
            return self.look(at, other, value);
        }
        let Value::Object(present) = value else {
            // A part that is not there at all.
            if !value.is_null() {
                self.bad(at, kind, value);
            }
            return;
        };
        assert!(!members.is_empty(), "{at}: rest-types.tsv does not know {kind}");
        for (name, value) in present {
            match members.iter().find(|(member, _)| member == name) {
                Some((_, of)) => self.look(&format!("{at} {kind}.{name}"), of, value),
                None if ADDED.contains(&format!("{kind}.{name}").as_str()) => {}
                None => drop(self.wrong.insert(format!("{at}: {kind} has no member {name}"))),
            }
        }
        self.members.entry(kind).or_default().extend(present.keys().cloned());
    }

    fn bad(&mut self, at: &str, kind: &str, value: &Value) {
        self.wrong.insert(format!("{at}: {value} is no {kind}"));
    }
}

/// A daemon with something in every list.
fn daemon() -> Daemon {
    let daemon = Daemon::start().with_pool_and_image();
    let network =
        json!({"name": "rbr0", "config": {"ipv4.address": "10.95.1.1/24", "ipv6.address": "fd42:95::1/64"}});
    daemon.ok("POST", "/1.0/networks", &network);
    let port = json!({"protocol": "tcp", "listen_port": "80", "target_port": "81", "target_address": "10.95.1.2",
        "description": "x"});
    let forward = json!({"listen_address": "192.0.2.7", "ports": [port]});
    daemon.ok("POST", "/1.0/networks/rbr0/forwards", &forward);
    let rule = json!({"action": "allow", "state": "enabled", "description": "x", "source": "10.0.0.1",
        "destination": "10.0.0.2", "protocol": "tcp", "source_port": "1", "destination_port": "2"});
    let icmp =
        json!({"action": "drop", "state": "logged", "protocol": "icmp4", "icmp_type": "8", "icmp_code": "0"});
    daemon.ok("POST", "/1.0/network-acls", &json!({"name": "acl1", "ingress": [rule], "egress": [icmp]}));
    daemon.ok("POST", "/1.0/storage-pools/default/volumes/custom", &json!({"name": "v1"}));
    let certificate = Pair::make(&daemon, "x", &[]).base64();
    let post = json!({"type": "client", "name": "x", "certificate": certificate});
    daemon.ok("POST", "/1.0/certificates", &post);
    daemon.ok("POST", "/1.0/storage-pools/default/volumes/custom/v1/snapshots", &json!({"name": "s1"}));
    daemon.ok("POST", "/1.0/storage-pools/default/volumes/custom/v1/backups", &json!({"name": "b1"}));
    let nic = json!({"type": "nic", "network": "rbr0", "name": "eth0"});
    daemon.create("c1", &json!({"devices": {"eth0": nic}}));
    daemon.ok("POST", "/1.0/instances/c1/snapshots", &json!({"name": "s1"}));
    daemon.ok("POST", "/1.0/instances/c1/backups", &json!({"name": "b1"}));
    daemon.state("c1", "start", "");
    daemon.ok("POST", "/1.0/instances/c1/metadata/templates?path=t1", &json!({}));
    let exec = json!({"command": ["sleep", "1000"], "wait-for-websocket": true});
    assert_eq!(
        lxd_testkit::request(&daemon.socket(), "POST", "/1.0/instances/c1/exec", Some(&exec)).status,
        202
    );
    wait_for("a warning of the host", 20, || {
        (!daemon.get("/1.0/warnings").metadata().as_array()?.is_empty()).then_some(())
    });
    daemon
}

/// The path of an object that is there.
fn concrete(daemon: &Daemon, path: &str) -> String {
    let last =
        |url: &Value| url.as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
    let first = |list: &str| last(&daemon.get(list).metadata()[0]);
    let name = match path.split('/').nth(2).unwrap_or_default() {
        "certificates" => first("/1.0/certificates"),
        "images" if path.contains("aliases") => "busybox".to_owned(),
        "images" => first("/1.0/images"),
        "instances" => "c1".to_owned(),
        "networks" => "rbr0".to_owned(),
        "network-acls" => "acl1".to_owned(),
        "operations" => last(&daemon.get("/1.0/operations").metadata()["running"][0]),
        "warnings" => first("/1.0/warnings"),
        _ => "default".to_owned(),
    };
    let path = path.replace("{snapshot}", "s1").replace("{backup}", "b1");
    let path = path.replace("{listenAddress}", "192.0.2.7");
    let path = path.replace("{volume}", "v1").replace("{type}", "custom").replace("{filename}", "lxc.log");
    let path = match path.split_once("/files") {
        Some((before, "")) => format!("{before}/files?path=/bin"),
        _ => path,
    };
    let path = if path.ends_with("/wait") { path + "?timeout=0" } else { path };
    ["{name}", "{fingerprint}", "{id}", "{uuid}", "{networkName}"]
        .iter()
        .fold(path, |path, parameter| path.replace(parameter, &name))
}

#[test]
fn every_get_answers_as_specified() {
    let daemon = daemon();
    let router = Router::new(routes());
    let mut seen = Seen::default();
    let mut walked = 0;
    for line in REST.lines() {
        let columns: Vec<&'static str> = line.split('\t').collect();
        let [method, path, class, _, answer, recursive] = columns[..] else { panic!("{line}") };
        let is_there = matches!(router.find(&method.parse().unwrap(), path), Found::Route { .. });
        let is_not_yet = NOT_YET.lines().any(|row| row == format!("{method} {path}"));
        if !is_there || is_not_yet || method != "GET" || class == "websocket" {
            continue;
        }
        walked += 1;
        let url = concrete(&daemon, path);
        let got = daemon.get(&url);
        if let Some((_, words)) = REFUSED.iter().find(|(refused, _)| *refused == path) {
            let error = got.json()["error"].as_str().unwrap_or_default().to_owned();
            if got.status == 200 || !error.contains(words) {
                seen.wrong.insert(format!("{url} is not refused with {words:?}: {} {error}", got.status));
            }
            continue;
        }
        if got.status != 200 {
            seen.wrong.insert(format!("{url}: {} {}", got.status, got.json()["error"]));
            continue;
        }
        let json = got.json();
        let is_envelope = json["type"] == "sync" && json["status_code"] == 200 && json["status"] == "Success";
        match class.split('|').any(|class| if class == "raw" { !is_envelope } else { is_envelope }) {
            true if is_envelope => {
                let kind = answer.split('|').find(|kind| *kind != "bytes").unwrap();
                seen.look(path, kind, &json["metadata"]);
            }
            true => {}
            false => drop(seen.wrong.insert(format!("{url} is not {class}: {json}"))),
        }
        if !recursive.is_empty() {
            let answer = daemon.get(&format!("{url}?recursion=1"));
            let list = answer.metadata();
            let is_empty = list.as_array().is_none_or(Vec::is_empty);
            let may_be_empty = ["backups", "snapshots", "members"].iter().any(|end| path.ends_with(end));
            if answer.status != 200 || (is_empty && !may_be_empty && recursive.starts_with('[')) {
                seen.wrong.insert(format!("{path}?recursion=1: {}", answer.json()));
            }
            seen.look(path, recursive, &list);
        }
    }
    let full = daemon.get("/1.0/instances?recursion=2").metadata();
    seen.look("/1.0/instances?recursion=2", "[InstanceFull]", &full);
    assert!(walked > 40, "only {walked} rows walked");
    println!("{walked} rows, {} types", seen.members.len());
    let mut allowed = BTreeSet::new();
    for line in LEFT_OUT.lines() {
        let (name, _) = line.split_once(' ').unwrap_or_else(|| panic!("rest-left-out.txt: {line}: why?"));
        let (kind, member) = name.split_once('.').unwrap_or_else(|| panic!("rest-left-out.txt: {line}"));
        if seen.members.get(kind).is_some_and(|present| present.contains(member)) {
            seen.wrong.insert(format!("{name} is in an answer: take it out of rest-left-out.txt"));
        }
        allowed.insert(name);
    }
    for (kind, present) in &seen.members {
        for (member, _) in members_of(kind) {
            let name = format!("{kind}.{member}");
            if !present.contains(member) && !allowed.contains(name.as_str()) {
                seen.wrong.insert(format!("no {name} in any answer"));
            }
        }
    }
    assert!(seen.wrong.is_empty(), "{} things:\n{:#?}", seen.wrong.len(), seen.wrong);
}
