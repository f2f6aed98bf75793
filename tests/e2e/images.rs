//! Images: import, names, export, deletion; uploads that end early; archives that want out.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use lxd_testkit::{Daemon, busybox_image, request_raw, wait_for};
use serde_json::{Value, json};

use crate::world::World;

#[test]
fn an_image_lives_and_leaves_nothing() {
    let daemon = Daemon::start().with_pool_and_image();
    let before = World::of(&daemon);
    let bytes = std::fs::read(busybox_image()).unwrap();
    let other = [&bytes[..], &[0; 16]].concat(); // Another fingerprint; gzip ignores zeros behind its end.
    let headers = [
        ("X-LXD-filename", "my.tar.gz"),
        ("X-LXD-public", "1"),
        ("X-LXD-properties", "os=Mine&a%20b=c"),
        ("X-LXD-aliases", "alias=one&alias=two"),
    ];
    let refused = upload(&daemon, &headers, &other);
    assert!(refused["err"].as_str().unwrap().contains("Invalid image property"), "{refused}");
    let headers = [headers[0], headers[1], ("X-LXD-properties", "os=Mine"), headers[3]];
    let end = upload(&daemon, &headers, &other);
    let fingerprint = end["metadata"]["fingerprint"].as_str().unwrap_or_else(|| panic!("{end}")).to_owned();
    let url = format!("/1.0/images/{}", &fingerprint[..12]);
    let image = daemon.get(&url).metadata();
    assert_eq!(image["properties"]["os"], "Mine");
    assert_eq!((&image["public"], &image["filename"]), (&json!(true), &json!("my.tar.gz")));
    assert_eq!(image["aliases"].as_array().unwrap().len(), 2);
    assert_eq!(daemon.get(&format!("{url}/export")).bytes, other);
    let again = upload(&daemon, &[], &other);
    assert_eq!(again["err"], "Image with same fingerprint already exists");

    daemon.ok("PUT", &url, &json!({"public": false, "properties": {"x": "y"}}));
    let image = daemon.get(&url).metadata();
    assert_eq!((&image["profiles"], &image["public"]), (&json!(["default"]), &json!(false)));
    daemon.ok("POST", "/1.0/images/aliases/one", &json!({"name": "renamed"}));
    assert_eq!(daemon.fails("GET", "/1.0/images/aliases/one", &Value::Null), "Image alias not found");
    daemon.ok("DELETE", "/1.0/images/aliases/renamed", &json!({}));
    daemon.ok("DELETE", &url, &json!({}));
    assert_eq!(daemon.fails("DELETE", &url, &json!({})), "Image not found");
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

#[test]
fn a_client_or_daemon_that_goes_away_leaves_no_upload() {
    let mut daemon = Daemon::start();
    let before = World::of(&daemon);
    let incoming = |daemon: &Daemon| std::fs::read_dir(daemon.lxd_dir().join("images")).unwrap().count();
    let client = half_an_upload(&daemon);
    wait_for("the upload's file", 10, || (incoming(&daemon) == 1).then_some(()));
    drop(client);
    wait_for("its removal", 10, || (incoming(&daemon) == 0).then_some(()));
    let _client = half_an_upload(&daemon);
    wait_for("the upload's file", 10, || (incoming(&daemon) == 1).then_some(()));
    daemon.kill();
    daemon.launch();
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

#[test]
fn archives_that_want_out_stay_inside() {
    let daemon = Daemon::start().with_pool_and_image();
    let before = World::of(&daemon);
    let victim = daemon.scratch().join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    for (at, script) in HOSTILE.iter().enumerate() {
        let archive = make(daemon.scratch(), script, &victim);
        let end = upload(&daemon, &[], &archive);
        let Some(fingerprint) = end["metadata"]["fingerprint"].as_str().map(str::to_owned) else {
            assert_ne!(end["err"], "", "{script}");
            continue;
        };
        if end["err"] == "" {
            let source = json!({"type": "image", "fingerprint": fingerprint});
            let body = json!({"name": format!("h{at}"), "source": source});
            daemon.call("POST", "/1.0/instances", &body);
            let start = json!({"action": "start", "timeout": 30});
            daemon.call("PUT", &format!("/1.0/instances/h{at}/state"), &start);
            let stop = json!({"action": "stop", "force": true, "timeout": 30});
            daemon.call("PUT", &format!("/1.0/instances/h{at}/state"), &stop);
            daemon.call("DELETE", &format!("/1.0/instances/h{at}"), &json!({}));
            daemon.ok("DELETE", &format!("/1.0/images/{fingerprint}"), &json!({}));
        }
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched", "{script}");
        assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new(), "{script}");
    }
}

#[test]
fn disks_of_the_host_do_not_come_with_an_image() {
    let daemon = Daemon::start().with_pool_and_image();
    let script =
        "cd rootfs/root; mknod disk b 7 0; mknod mem c 1 1; mknod null c 1 3; chmod 666 disk mem null";
    let end = upload(&daemon, &[], &make(daemon.scratch(), script, Path::new("/nowhere")));
    let fingerprint = end["metadata"]["fingerprint"].as_str().unwrap_or_else(|| panic!("{end}"));
    daemon.create("c1", &json!({"source": {"type": "image", "fingerprint": fingerprint}}));
    let root = daemon.lxd_dir().join("storage-pools/default/containers/c1/rootfs/root");
    let nodes = ["disk", "mem", "null"].map(|node| root.join(node).exists());
    assert_eq!(nodes, [false, false, true]);
    daemon.remove("c1");
}

/// What is done to the tree of a good image before it is packed; `VICTIM` is a file of the host.
const HOSTILE: &[&str] = &[
    "rm -rf rootfs; ln -s / rootfs",
    "rm metadata.yaml; ln -s VICTIM metadata.yaml",
    "rm -rf templates; ln -s / templates",
    "ln -s VICTIM backup.yaml",
    "ln -sf VICTIM rootfs/etc/hostname",
    "rm -rf rootfs/etc; ln -s / rootfs/etc",
    "rm templates/hostname.tpl; ln -s VICTIM templates/hostname.tpl",
    "sed -i 's,/etc/hostname:,/../../../../../../../../VICTIM:,' metadata.yaml",
    "sed -i 's,template: hostname.tpl,template: ../../../../../../../../VICTIM,' metadata.yaml",
    "rm rootfs/etc/hostname; mkfifo rootfs/etc/hostname",
    "mknod backup.yaml c 1 3",
    "mkdir -p rootfs/dev; mknod rootfs/dev/sda b 8 0; chmod 666 rootfs/dev/sda",
];

/// Packs the small image after a change of its tree.
fn make(scratch: &Path, script: &str, victim: &Path) -> Vec<u8> {
    let tree = scratch.join("hostile");
    let _ = std::fs::remove_dir_all(&tree);
    std::fs::create_dir(&tree).unwrap();
    let run = |program: &str, args: &[&str]| {
        let done = Command::new(program).current_dir(&tree).args(args).output().unwrap();
        assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    };
    run("tar", &["-xzf", busybox_image().to_str().unwrap()]);
    run("sh", &["-c", &script.replace("VICTIM", victim.to_str().unwrap())]);
    run("tar", &["-c", "."])
}

fn upload(daemon: &Daemon, headers: &[(&str, &str)], bytes: &[u8]) -> Value {
    let answer = request_raw(&daemon.socket(), "POST", "/1.0/images", headers, bytes).unwrap();
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.bytes));
    let operation = answer.json()["operation"].as_str().unwrap().to_owned();
    daemon.get(&format!("{operation}/wait?timeout=60")).metadata()
}

fn half_an_upload(daemon: &Daemon) -> UnixStream {
    let mut stream = UnixStream::connect(daemon.socket()).unwrap();
    stream.write_all(b"POST /1.0/images HTTP/1.1\r\nHost: lxd\r\nContent-Length: 9000000\r\n\r\n").unwrap();
    stream.write_all(&vec![7; 1 << 20]).unwrap();
    stream
}

#[test]
fn an_image_names_the_profiles_of_its_instances() {
    let daemon = Daemon::start().with_pool_and_image();
    let root = json!({"root": {"type": "disk", "path": "/", "pool": "default"}});
    daemon.ok("POST", "/1.0/profiles", &json!({"name": "web", "devices": root}));
    let fingerprint = daemon.get("/1.0/images/aliases/busybox").metadata()["target"].clone();
    let url = format!("/1.0/images/{}", fingerprint.as_str().unwrap());
    daemon.ok("PATCH", &url, &json!({"profiles": ["web"]}));
    daemon.create("c1", &json!({}));
    daemon.create("c2", &json!({"profiles": ["default"]}));
    for (name, profile) in [("c1", "web"), ("c2", "default")] {
        let one = daemon.get(&format!("/1.0/instances/{name}")).metadata();
        assert_eq!(one["profiles"], json!([profile]), "{name}");
    }
}
