//! The table of the rules of projects; `project_rules` tries each on every way into a project.

use serde_json::{Value, json};

use crate::project_rules::{image, prepared, tried};

/// A rule of projects, and a part of an instance that it decides about.
pub struct Case {
    pub rule: &'static str,
    /// The value that permits the part.
    pub open: &'static str,
    /// The values that forbid it.
    pub closed: &'static [&'static str],
    /// Config and devices that the rule decides about.
    pub part: fn() -> Value,
    /// Config that every instance of the project must have.
    pub base: fn() -> Value,
    /// What a refusal says.
    pub text: &'static str,
}

const RESTRICTED: Case = Case {
    rule: "",
    open: "allow",
    closed: &["block", ""],
    part: || json!({}),
    base: || json!({}),
    text: "forbidden",
};

fn device(device: Value) -> Value {
    json!({"devices": {"d": device}})
}

fn config(key: &str, value: &str) -> Value {
    json!({"config": {key: value}})
}

pub const CASES: &[Case] = &[
    Case {
        rule: "restricted.containers.privilege",
        closed: &["unprivileged", "isolated", ""],
        part: || config("security.privileged", "true"),
        base: || json!({"security.idmap.isolated": "true"}),
        ..RESTRICTED
    },
    Case {
        rule: "restricted.containers.privilege",
        open: "unprivileged",
        closed: &["isolated"],
        part: || config("security.idmap.isolated", "false"),
        base: || json!({"security.idmap.isolated": "true"}),
        ..RESTRICTED
    },
    Case { rule: "restricted.containers.nesting", part: || config("security.nesting", "true"), ..RESTRICTED },
    Case {
        rule: "restricted.containers.lowlevel",
        part: || config("raw.lxc", "lxc.environment = A=1"),
        ..RESTRICTED
    },
    Case {
        rule: "restricted.devices.disk",
        closed: &["block", "managed", ""],
        part: || device(json!({"type": "disk", "source": "/usr", "path": "/mnt"})),
        ..RESTRICTED
    },
    Case {
        rule: "restricted.devices.disk.paths",
        open: "/usr,/var",
        closed: &["/var", "/us"],
        part: || device(json!({"type": "disk", "source": "/usr", "path": "/mnt"})),
        text: "allow",
        ..RESTRICTED
    },
    Case {
        rule: "restricted.devices.nic",
        closed: &["block", "managed", ""],
        part: || device(json!({"type": "nic", "nictype": "p2p"})),
        text: "",
        ..RESTRICTED
    },
    Case {
        rule: "restricted.devices.nic",
        closed: &["managed", ""],
        part: || device(json!({"type": "nic", "network": "rulesbr0", "vlan": "5"})),
        ..RESTRICTED
    },
    Case {
        rule: "restricted.devices.nic",
        open: "managed",
        closed: &["block"],
        part: || device(json!({"type": "nic", "network": "rulesbr0"})),
        ..RESTRICTED
    },
    Case {
        rule: "restricted.devices.disk",
        open: "managed",
        closed: &["block"],
        part: || device(json!({"type": "disk", "pool": "default", "source": "rulesv", "path": "/mnt"})),
        ..RESTRICTED
    },
    Case {
        rule: "restricted.networks.subnets",
        open: "rulesbr0:192.0.2.0/24",
        closed: &["block", "rulesbr0:192.0.2.0/25", "rulesbr1:0.0.0.0/0", ""],
        part: || device(json!({"type": "nic", "network": "rulesbr0", "ipv4.routes": "192.0.2.0/24"})),
        ..RESTRICTED
    },
    Case {
        rule: "restricted.devices.unix-char",
        part: || device(json!({"type": "unix-char", "path": "/dev/null"})),
        ..RESTRICTED
    },
    Case {
        rule: "restricted.devices.unix-hotplug",
        part: || device(json!({"type": "unix-hotplug", "vendorid": "1234"})),
        ..RESTRICTED
    },
    Case {
        rule: "restricted.containers.interception",
        part: || config("security.syscalls.intercept.mknod", "true"),
        ..RESTRICTED
    },
    Case {
        rule: "restricted.containers.interception",
        open: "full",
        closed: &["allow", "block", ""],
        part: || config("security.syscalls.intercept.mount", "true"),
        ..RESTRICTED
    },
    Case { rule: "restricted.devices.gpu", part: || device(json!({"type": "gpu"})), ..RESTRICTED },
    Case {
        rule: "restricted.devices.unix-block",
        part: || device(json!({"type": "unix-block", "path": "/dev/x", "major": "7", "minor": "9"})),
        ..RESTRICTED
    },
    Case {
        rule: "restricted.devices.usb",
        part: || device(json!({"type": "usb", "vendorid": "1234"})),
        ..RESTRICTED
    },
    Case {
        rule: "restricted.devices.proxy",
        part: || {
            device(json!({"type": "proxy", "listen": "tcp:127.0.0.1:8001", "connect": "tcp:127.0.0.1:8002"}))
        },
        ..RESTRICTED
    },
    Case {
        rule: "limits.memory",
        open: "80MiB",
        closed: &["20MiB"],
        part: || config("limits.memory", "30MiB"),
        base: || json!({"limits.memory": "10MiB"}),
        text: "Reached maximum aggregate value",
    },
    Case {
        rule: "limits.disk",
        open: "80MiB",
        closed: &["20MiB"],
        part: || {
            let root = json!({"type": "disk", "path": "/", "pool": "default", "size": "30MiB"});
            json!({"devices": {"root": root}})
        },
        text: "Reached maximum aggregate value",
        ..RESTRICTED
    },
    Case {
        rule: "limits.cpu",
        open: "9",
        closed: &["2"],
        part: || config("limits.cpu", "3"),
        base: || json!({"limits.cpu": "1"}),
        text: "Reached maximum aggregate value",
    },
    Case {
        rule: "limits.processes",
        open: "1000",
        closed: &["200"],
        part: || config("limits.processes", "300"),
        base: || json!({"limits.processes": "100"}),
        text: "Reached maximum aggregate value",
    },
];

/// Rules without a row above, and who asks them.
const ELSEWHERE: &[(&str, &str)] = &[
    ("restricted", "the switch of all of them"),
    ("restricted.backups", "snapshots_and_backups_are_made_where_they_may_be"),
    ("restricted.snapshots", "snapshots_and_backups_are_made_where_they_may_be"),
    ("restricted.cluster.target", "there are no clusters yet"),
    ("restricted.networks.subnets", "projects have no networks of their own yet"),
    ("restricted.networks.uplinks", "projects have no networks of their own yet"),
    ("restricted.devices.infiniband", "there are no such devices yet; the crate's own tests"),
    ("restricted.devices.pci", "only virtual machines have these devices; the crate's own tests"),
    ("restricted.virtual-machines.lowlevel", "there are no virtual machines yet; the crate's own tests"),
];

#[test]
fn every_restricted_key_has_a_row() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../doc/reference/config-project.md");
    let page = std::fs::read_to_string(page).unwrap();
    let keys = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let keys: Vec<&str> = keys.filter(|key| key.starts_with("restricted")).collect();
    assert!(keys.len() > 20, "{keys:?}");
    let rows = || CASES.iter().map(|case| case.rule).chain(ELSEWHERE.iter().map(|(key, _)| *key));
    for key in &keys {
        assert!(rows().any(|row| row == *key), "{key} has no row");
    }
    for row in rows().filter(|row| row.starts_with("restricted")) {
        assert!(keys.contains(&row), "{row} is no key");
    }
}

#[test]
fn snapshots_and_backups_are_made_where_they_may_be() {
    let daemon = prepared();
    daemon.ok("POST", "/1.0/instances?project=r", &image("x"));
    let volumes = "/1.0/storage-pools/default/volumes/custom";
    daemon.ok("POST", &format!("{volumes}?project=r"), &json!({"name": "v"}));
    let ways = [
        ("snapshots", "/1.0/instances/x/snapshots?project=r".to_owned()),
        ("snapshots", format!("{volumes}/v/snapshots?project=r")),
        ("backups", "/1.0/instances/x/backups?project=r".to_owned()),
    ];
    let rule = |name: &str, value: &str| {
        let config = json!({"restricted": "true", format!("restricted.{name}"): value});
        daemon.ok("PATCH", "/1.0/projects/r", &json!({"config": config}));
    };
    for (name, path) in &ways {
        for value in ["block", "", "allow"] {
            rule(name, value);
            let made = tried(&daemon, "POST", path, &json!({"name": "s"}));
            assert_eq!(made.is_ok(), value == "allow", "{path} with {name}={value}: {made:?}");
            let text = format!("Project \"r\" doesn't allow for {} creation", name.trim_end_matches('s'));
            assert!(made.err().is_none_or(|error| error.contains(&text)), "{path} with {name}={value}");
            let list = daemon.get(path).metadata();
            assert_eq!(list.as_array().unwrap().len(), usize::from(value == "allow"), "{path}: {list}");
        }
        rule(name, "block");
    }
    // What was made before the rule stays, and can be used.
    daemon.ok("PUT", "/1.0/instances/x?project=r", &json!({"restore": "s"}));
    daemon.ok("DELETE", "/1.0/instances/x?project=r", &Value::Null);
    daemon.ok("DELETE", &format!("{volumes}/v?project=r"), &Value::Null);
}
