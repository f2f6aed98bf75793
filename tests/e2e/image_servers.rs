//! Image servers: this daemon as one for another daemon, and a simplestreams tree on a plain web server.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use lxd_testkit::{Daemon, busybox_image, wait_for};
use serde_json::{Value, json};

/// A web server in the daemon's network, ended with the test.
struct Web(Child);

impl Web {
    fn start(daemon: &Daemon, tree: &Path) -> Self {
        let mut command = daemon.netns.command("python3");
        command.args(["-m", "http.server", "8000", "--bind", "127.0.0.1", "--directory"]).arg(tree);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("the web server", 20, || {
            let mut probe = daemon.netns.command("python3");
            let code = "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/streams/v1/index.json')";
            probe.args(["-c", code]).stderr(Stdio::null()).status().unwrap().success().then_some(())
        });
        Self(child)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn add_version(tree: &Path, version: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/make_simplestreams.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(tree).arg(busybox_image()).arg(version);
    assert!(command.status().unwrap().success());
}

fn stream(alias: &str) -> Value {
    json!({"type": "image", "mode": "pull", "server": "http://127.0.0.1:8000", "protocol": "simplestreams", "alias": alias})
}

#[test]
fn instances_come_from_simplestreams_and_images_stay_up_to_date() {
    let daemon = Daemon::start().with_pool_and_image();
    let tree = daemon.scratch().join("tree");
    add_version(&tree, "20210101_01:00");
    let web = Web::start(&daemon, &tree);

    daemon.ok("POST", "/1.0/instances", &json!({"name": "c1", "source": stream("tiny")}));
    let first = daemon.get("/1.0/instances/c1").metadata()["config"]["volatile.base_image"].clone();
    let image = daemon.get(&format!("/1.0/images/{}", first.as_str().unwrap())).metadata();
    assert_eq!((&image["cached"], &image["auto_update"]), (&json!(true), &json!(true)));
    assert_eq!(image["update_source"]["alias"], "tiny");
    assert_eq!(image["properties"]["serial"], "20210101_01:00");
    let root = daemon.lxd_dir().join("storage-pools/default/containers/c1/rootfs");
    assert_eq!(std::fs::read_to_string(root.join("etc/version")).unwrap(), "20210101_01:00");
    daemon.state("c1", "start", "");
    daemon.state("c1", "stop", "force");

    let body = json!({"source": stream("tiny/1"), "aliases": [{"name": "mine"}], "auto_update": true});
    daemon.ok("POST", "/1.0/images", &body);
    let mine = daemon.get("/1.0/images/aliases/mine").metadata()["target"].clone();
    assert_eq!(mine, first, "the cached image is taken over");
    let url = format!("/1.0/images/{}", first.as_str().unwrap());
    assert_eq!(daemon.get(&url).metadata()["cached"], false);
    let same = daemon.ok("POST", &format!("{url}/refresh"), &json!({}));
    assert_eq!(same["metadata"]["refreshed"], false);

    add_version(&tree, "20220101_01:00");
    // An index is taken as it is for a minute; a restarted daemon asks again.
    let mut daemon = daemon;
    daemon.restart();
    let newer = || {
        daemon.call("POST", &format!("{url}/refresh"), &json!({}));
        (daemon.get(&url).status == 404).then_some(())
    };
    wait_for("the newer image", 30, newer);
    let target = daemon.get("/1.0/images/aliases/mine").metadata()["target"].clone();
    assert_ne!(target, first);
    let image = daemon.get(&format!("/1.0/images/{}", target.as_str().unwrap())).metadata();
    assert_eq!(image["properties"]["serial"], "20220101_01:00");

    let missing = daemon.fails("POST", "/1.0/instances", &json!({"name": "c2", "source": stream("nosuch")}));
    assert!(missing.ends_with("The requested image couldn't be found"), "{missing}");
    drop(web);
    // The server is away: its last index and the image that is here are used.
    daemon.ok("POST", "/1.0/instances", &json!({"name": "c3", "source": stream("tiny")}));
}

#[test]
fn servers_that_lie_leave_nothing() {
    let daemon = Daemon::start().with_pool_and_image();
    let tree = daemon.scratch().join("tree");
    add_version(&tree, "20210101_01:00");
    let _web = Web::start(&daemon, &tree);
    let before = daemon.get("/1.0/images").metadata();
    let root = tree.join("images/20210101_01:00/root.tar.xz");
    let good = std::fs::read(&root).unwrap();
    let mut changed = good.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let bomb = [&good[..], &vec![0; 1 << 20]].concat();
    for (content, text) in [(changed, ""), (bomb, "sends more than"), (good[..good.len() / 2].to_vec(), "")] {
        std::fs::write(&root, content).unwrap();
        let refused = daemon.fails("POST", "/1.0/images", &json!({"source": stream("tiny")}));
        assert!(refused.contains(text), "{refused}");
        assert_eq!(daemon.get("/1.0/images").metadata(), before);
    }
    let files = std::fs::read_dir(daemon.lxd_dir().join("images")).unwrap().count();
    assert_eq!(files, 1);
    for server in ["unix:///run/lxd.sock", "file:///etc", "http://127.0.0.1:8000"] {
        let source = json!({"type": "image", "server": server, "protocol": "lxd", "alias": "x"});
        let refused = daemon.fails("POST", "/1.0/images", &json!({"source": source}));
        assert!(refused.starts_with("Unsupported image server URL"), "{refused}");
    }
}

#[test]
fn images_are_copied_between_servers() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.ok("PATCH", "/1.0", &json!({"config": {"core.https_address": "127.0.0.1:8443"}}));
    daemon.ok("POST", "/1.0/projects", &json!({"name": "p1"}));
    let url = daemon.get("/1.0/images").metadata()[0].as_str().unwrap().to_owned();
    let fingerprint = url.rsplit('/').next().unwrap().to_owned();
    let certificate = daemon.get("/1.0").metadata()["environment"]["certificate"].clone();
    let source = |secret: &str| {
        json!({"type": "image", "mode": "pull", "server": "https://127.0.0.1:8443", "protocol": "lxd",
            "certificate": certificate, "fingerprint": fingerprint, "secret": secret})
    };
    let private = daemon.fails("POST", "/1.0/images?project=p1", &json!({"source": source("")}));
    assert!(private.contains("not found"), "{private}");
    let operation = lxd_testkit::request(&daemon.socket(), "POST", &format!("{url}/secret"), None).json();
    let secret = operation["metadata"]["metadata"]["secret"].as_str().unwrap().to_owned();
    let body = json!({"source": source(&secret), "aliases": [{"name": "copied"}]});
    daemon.ok("POST", "/1.0/images?project=p1", &body);
    let copied = daemon.get("/1.0/images/aliases/copied?project=p1").metadata();
    assert_eq!(copied["target"], json!(fingerprint));
    daemon.ok("DELETE", &format!("{url}?project=p1"), &json!({}));
    // A secret opens once.
    assert!(daemon.fails("POST", "/1.0/images?project=p1", &body).contains("not found"));
    daemon.ok("PATCH", &url, &json!({"public": true}));
    let alias = json!({"type": "image", "mode": "pull", "server": "https://127.0.0.1:8443", "protocol": "lxd",
        "certificate": certificate, "alias": "busybox"});
    daemon.ok("POST", "/1.0/images?project=p1", &json!({"source": alias, "auto_update": true}));
    let image = daemon.get(&format!("{url}?project=p1")).metadata();
    assert_eq!(image["update_source"]["server"], "https://127.0.0.1:8443");
}
