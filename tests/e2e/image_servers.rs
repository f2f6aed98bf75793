//! Image servers: this daemon as one for another daemon, and a simplestreams tree on a plain web server.

use std::process::Command;

use lxd_testkit::{Daemon, busybox_image, wait_for};
use serde_json::{Value, json};

use crate::web::{Web, add_version, stream};

#[test]
fn instances_come_from_simplestreams_and_images_stay_up_to_date() {
    let daemon = Daemon::start().with_pool_and_image();
    let tree = daemon.scratch().join("tree");
    add_version(&tree, "20210101_01:00");
    let web = Web::start(&daemon, &tree, 8000);

    daemon.ok("POST", "/1.0/instances", &json!({"name": "c1", "source": stream(&web.url(), "tiny")}));
    let first = daemon.get("/1.0/instances/c1").metadata()["config"]["volatile.base_image"].clone();
    let image = daemon.get(&format!("/1.0/images/{}", first.as_str().unwrap())).metadata();
    assert_eq!((&image["cached"], &image["auto_update"]), (&json!(true), &json!(true)));
    assert_eq!(image["update_source"]["alias"], "tiny");
    assert_eq!(image["properties"]["serial"], "20210101_01:00");
    let root = daemon.lxd_dir().join("storage-pools/default/containers/c1/rootfs");
    assert_eq!(std::fs::read_to_string(root.join("etc/version")).unwrap(), "20210101_01:00");
    daemon.state("c1", "start", "");
    daemon.state("c1", "stop", "force");

    let body =
        json!({"source": stream(&web.url(), "tiny/1"), "aliases": [{"name": "mine"}], "auto_update": true});
    daemon.ok("POST", "/1.0/images", &body);
    let mine = daemon.get("/1.0/images/aliases/mine").metadata()["target"].clone();
    assert_eq!(mine, first, "the cached image is taken over");
    let url = format!("/1.0/images/{}", first.as_str().unwrap());
    assert_eq!(daemon.get(&url).metadata()["cached"], false);
    let same = daemon.ok("POST", &format!("{url}/refresh"), &json!({}));
    assert_eq!(same["metadata"]["refreshed"], false);

    add_version(&tree, "20220101_01:00");
    assert_eq!(daemon.ok("POST", &format!("{url}/refresh"), &json!({}))["metadata"]["refreshed"], true);
    assert_eq!(daemon.get(&url).status, 404);
    let target = daemon.get("/1.0/images/aliases/mine").metadata()["target"].clone();
    assert_ne!(target, first);
    let image = daemon.get(&format!("/1.0/images/{}", target.as_str().unwrap())).metadata();
    assert_eq!(image["properties"]["serial"], "20220101_01:00");

    let missing = daemon.fails(
        "POST",
        "/1.0/instances",
        &json!({"name": "c2", "source": stream(&web.url(), "nosuch")}),
    );
    assert!(missing.ends_with("The requested image couldn't be found"), "{missing}");
    let source = stream(&web.url(), "tiny");
    drop(web);
    // The server is away: its last index and the image that is here are used.
    daemon.ok("POST", "/1.0/instances", &json!({"name": "c3", "source": source}));
}

#[test]
fn servers_that_lie_leave_nothing() {
    let daemon = Daemon::start().with_pool_and_image();
    let tree = daemon.scratch().join("tree");
    add_version(&tree, "20210101_01:00");
    let web = Web::start(&daemon, &tree, 8000);
    let before = daemon.get("/1.0/images").metadata();
    let root = tree.join("images/20210101_01:00-amd64/root.tar.xz");
    let good = std::fs::read(&root).unwrap();
    let mut changed = good.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let bomb = [&good[..], &vec![0; 1 << 20]].concat();
    for (content, text) in [(changed, ""), (bomb, "sends more than"), (good[..good.len() / 2].to_vec(), "")] {
        std::fs::write(&root, content).unwrap();
        let refused = daemon.fails("POST", "/1.0/images", &json!({"source": stream(&web.url(), "tiny")}));
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
    // The original client sends an alias so.
    let mut named = alias.clone();
    (named["alias"], named["fingerprint"]) = (json!(""), json!("busybox"));
    daemon.ok("POST", "/1.0/images?project=p1", &json!({"source": named, "auto_update": true}));
    let image = daemon.get(&format!("{url}?project=p1")).metadata();
    assert_eq!(image["update_source"]["alias"], "busybox");
    daemon.ok("DELETE", &format!("{url}?project=p1"), &json!({}));
    daemon.ok("POST", "/1.0/images?project=p1", &json!({"source": alias, "auto_update": true}));
    let image = daemon.get(&format!("{url}?project=p1")).metadata();
    assert_eq!(image["update_source"]["server"], "https://127.0.0.1:8443");
}

/// Runs a background task as if it were so many hours later.
fn later(daemon: &Daemon, task: &str, hours: u64) {
    daemon.ok("PUT", &format!("/internal/tasks/{task}?ahead={}", hours * 3600), &json!({}));
}

/// Serials of the images of the project `default` that came from the server.
fn serials(daemon: &Daemon) -> Vec<String> {
    let images = daemon.get("/1.0/images?recursion=1").metadata();
    let serial = |image: &Value| image["properties"]["serial"].as_str().map(str::to_owned);
    let mut found: Vec<String> = images.as_array().unwrap().iter().filter_map(serial).collect();
    found.sort();
    found
}

#[test]
fn cached_images_are_renewed_used_as_they_are_and_flushed() {
    let daemon = Daemon::start_with(&[("LXD_TEST_FAULTS", "1")]).with_pool_and_image();
    let tree = daemon.scratch().join("tree");
    add_version(&tree, "20210101_01:00");
    let web = Web::start(&daemon, &tree, 8000);
    let launch = |name: &str| {
        daemon.ok("POST", "/1.0/instances", &json!({"name": name, "source": stream(&web.url(), "tiny")}))
    };
    launch("c1");
    web.requests();
    launch("c2");
    assert_eq!(web.requests(), Vec::<String>::new(), "an image that is kept up to date is taken as it is");

    add_version(&tree, "20220101_01:00");
    launch("c3");
    assert_eq!(serials(&daemon), ["20210101_01:00"]);
    later(&daemon, "newer-images", 5);
    assert_eq!(serials(&daemon), ["20210101_01:00"], "it is not time yet");
    later(&daemon, "newer-images", 7);
    assert_eq!(serials(&daemon), ["20220101_01:00"]);
    let list = daemon.get("/1.0/images?recursion=1").metadata();
    let newer =
        list.as_array().unwrap().iter().find(|image| image["properties"]["serial"] == "20220101_01:00");
    assert_eq!((&newer.unwrap()["cached"], &newer.unwrap()["auto_update"]), (&json!(true), &json!(true)));

    // Nothing changed: the lists are not sent again.
    web.requests();
    later(&daemon, "newer-images", 7);
    let asked = web.requests();
    assert!(asked.iter().any(|line| line.contains("images.json if-none-match=")), "{asked:?}");
    assert!(!asked.iter().any(|line| line.contains("/images/")), "{asked:?}");

    // The keys of the project come first.
    add_version(&tree, "20230101_01:00");
    daemon.ok("PATCH", "/1.0/projects/default", &json!({"config": {"images.auto_update_interval": "0"}}));
    later(&daemon, "newer-images", 1000);
    assert_eq!(serials(&daemon), ["20220101_01:00"], "0 means never");
    // Then nobody waits for an update that never comes: the server is asked.
    daemon.ok("POST", "/1.0/images", &json!({"source": stream(&web.url(), "tiny/1")}));
    assert_eq!(serials(&daemon), ["20220101_01:00"], "an index of a minute ago is good enough");

    daemon.ok("PATCH", "/1.0", &json!({"config": {"images.remote_cache_expiry": "5"}}));
    later(&daemon, "unused-images", 24 * 4);
    assert_eq!(serials(&daemon), ["20220101_01:00"]);
    daemon.ok("PATCH", "/1.0/projects/default", &json!({"config": {"images.remote_cache_expiry": "30"}}));
    later(&daemon, "unused-images", 24 * 6);
    assert_eq!(serials(&daemon).len(), 1, "the project says 30 days");
    daemon.ok("PATCH", "/1.0/projects/default", &json!({"config": {"images.remote_cache_expiry": "3"}}));
    let kept = serials(&daemon).len();
    later(&daemon, "unused-images", 24 * 4);
    // What was copied on purpose is no cached image any more.
    let cached = daemon.get("/1.0/images?recursion=1").metadata();
    assert!(cached.as_array().unwrap().iter().all(|image| image["cached"] == false), "{cached}");
    assert!(kept >= serials(&daemon).len());
    assert_eq!(daemon.get("/1.0/images/aliases/busybox").status, 200);
}

/// The original client names an image so when it copies one.
#[test]
fn an_alias_in_the_place_of_a_fingerprint_is_kept_up_to_date() {
    let daemon = Daemon::start().with_pool_and_image();
    let tree = daemon.scratch().join("tree");
    add_version(&tree, "20210101_01:00");
    let web = Web::start(&daemon, &tree, 8000);
    let mut source = stream(&web.url(), "");
    source["fingerprint"] = json!("tiny");
    daemon.ok("POST", "/1.0/images", &json!({"source": source, "auto_update": true}));
    let images = daemon.get("/1.0/images?recursion=1").metadata();
    let image = images.as_array().unwrap().iter().find(|image| image["properties"]["serial"].is_string());
    let image = image.unwrap();
    assert_eq!(image["update_source"]["alias"], "tiny");
    // What the server says of it, and nothing of the files.
    assert_eq!((&image["properties"]["os"], &image["properties"]["name"]), (&json!("Tiny"), &Value::Null));
    add_version(&tree, "20220101_01:00");
    let url = format!("/1.0/images/{}/refresh", image["fingerprint"].as_str().unwrap());
    assert_eq!(daemon.ok("POST", &url, &json!({}))["metadata"]["refreshed"], true);
    assert_eq!(serials(&daemon), ["20220101_01:00"]);
}

#[test]
fn what_a_restricted_project_fetched_is_renewed_as_from_there() {
    let daemon = Daemon::start_with(&[("LXD_TEST_FAULTS", "1")]).with_pool_and_image();
    let tree = daemon.scratch().join("tree");
    add_version(&tree, "20210101_01:00");
    let config = json!({"restricted": "true", "features.images": "false"});
    let root = json!({"root": {"type": "disk", "path": "/", "pool": "default"}});
    daemon.ok("POST", "/1.0/projects", &json!({"name": "r", "config": config}));
    daemon.ok("PATCH", "/1.0/profiles/default?project=r", &json!({"devices": root}));
    // A proxy reaches what the project itself does not.
    let proxy = Web::start(&daemon, &tree, 8001);
    daemon.ok("PATCH", "/1.0", &json!({"config": {"core.proxy_http": proxy.url()}}));
    let source = stream("http://images.example", "tiny");
    daemon.ok("POST", "/1.0/instances?project=r", &json!({"name": "c1", "source": source}));
    daemon.ok("PATCH", "/1.0", &json!({"config": {"core.proxy_http": ""}}));
    assert_eq!(serials(&daemon), ["20210101_01:00"], "it belongs to the default project");
    // Its name leads to this machine now.
    let web = Web::start(&daemon, &tree, 8000);
    let moved = format!("UPDATE images_source SET server = '{}'", web.url());
    daemon.ok("POST", "/internal/sql", &json!({"database": "global", "query": moved}));
    add_version(&tree, "20220101_01:00");
    later(&daemon, "newer-images", 7);
    assert_eq!(web.requests(), Vec::<String>::new());
    assert_eq!(serials(&daemon), ["20210101_01:00"]);
    daemon.ok("DELETE", "/1.0/instances/c1?project=r", &json!({}));
}

#[test]
fn what_happened_to_an_image_while_its_newer_version_came_holds() {
    let daemon = Daemon::start().with_pool_and_image();
    let tree = daemon.scratch().join("tree");
    add_version(&tree, "20210101_01:00");
    let web = Web::start(&daemon, &tree, 8000);
    let copy = json!({"source": stream(&web.url(), "tiny"), "auto_update": true, "public": true,
        "aliases": [{"name": "mine"}]});
    daemon.ok("POST", "/1.0/images", &copy);
    let url = || {
        let target = daemon.get("/1.0/images/aliases/mine").metadata()["target"].clone();
        format!("/1.0/images/{}", target.as_str().unwrap())
    };
    // Starts to refresh, does something while the newer image is under way, and tells how the refresh ended.
    let refresh = |serial: &str, meanwhile: &dyn Fn(&str)| {
        add_version(&tree, serial);
        let root = format!("/images/{serial}-amd64/lxd.tar.xz");
        web.rules(&json!({&root: {"wait": true}}));
        let image = url();
        let path = format!("{image}/refresh");
        let started = lxd_testkit::request(&daemon.socket(), "POST", &path, Some(&json!({}))).json();
        wait_for("the download", 20, || web.requests().iter().any(|one| one.contains(&root)).then_some(()));
        meanwhile(&image);
        web.rules(&json!({}));
        daemon.get(&format!("{}/wait", started["operation"].as_str().unwrap())).metadata()["err"].clone()
    };
    let private = |image: &str| drop(daemon.ok("PATCH", image, &json!({"public": false})));
    assert_eq!(refresh("20220101_01:00", &private), "");
    let now = daemon.get(&url()).metadata();
    assert_eq!((&now["public"], &now["properties"]["serial"]), (&json!(false), &json!("20220101_01:00")));
    let gone = |image: &str| drop(daemon.ok("DELETE", image, &json!({})));
    assert_eq!(refresh("20230101_01:00", &gone), "Image not found");
    assert_eq!(serials(&daemon), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(daemon.lxd_dir().join("images")).unwrap().count(), 1);
}

#[test]
fn an_expired_cached_image_goes() {
    let daemon = Daemon::start_with(&[("LXD_TEST_FAULTS", "1")]).with_pool_and_image();
    let tree = daemon.scratch().join("tree");
    add_version(&tree, "20210101_01:00");
    let web = Web::start(&daemon, &tree, 8000);
    daemon.ok("POST", "/1.0/instances", &json!({"name": "c1", "source": stream(&web.url(), "tiny")}));
    let image = daemon.get("/1.0/instances/c1").metadata()["config"]["volatile.base_image"].clone();
    let url = format!("/1.0/images/{}", image.as_str().unwrap());
    daemon.ok("PATCH", &url, &json!({"expires_at": "2021-01-01T00:00:00Z"}));
    later(&daemon, "unused-images", 0);
    assert_eq!(daemon.get(&url).status, 404);
    let others = daemon.get("/1.0/images").metadata();
    assert_eq!(others.as_array().unwrap().len(), 1, "images that somebody imported stay");
}

#[test]
fn the_client_launches_from_a_simplestreams_server() {
    let daemon = Daemon::start().with_pool_and_image();
    let tree = daemon.scratch().join("tree");
    add_version(&tree, "20210101_01:00");
    let web = Web::start_tls(&daemon, &tree, 8000);
    let certificates = daemon.scratch().join("conf/servercerts");
    std::fs::create_dir_all(&certificates).unwrap();
    std::fs::write(certificates.join("web.crt"), web.certificate()).unwrap();
    let lxc = |args: &[&str]| {
        let mut command = daemon.netns.command("timeout");
        command.arg("60").arg(lxd_testkit::binary("lxc")).args(args).env("LXD_DIR", daemon.lxd_dir());
        command.env("LXD_CONF", daemon.scratch().join("conf")).stdin(std::process::Stdio::null());
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "lxc {args:?}: {error}\n{}", daemon.log());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    lxc(&["remote", "add", "web", &web.url(), "--protocol=simplestreams"]);
    let list = lxc(&["image", "list", "web:", "-c", "lat", "--format", "csv"]);
    assert_eq!(
        list.lines().collect::<Vec<_>>(),
        ["tiny (3 more),x86_64,CONTAINER", "tiny (3 more),x86_64,VIRTUAL-MACHINE"]
    );
    assert!(
        lxc(&["image", "list", "web:", "type=container", "-c", "L", "--format", "csv"])
            .contains("tiny/1/amd64")
    );
    assert!(lxc(&["image", "info", "web:tiny", "--vm"]).contains("Type: virtual-machine"));
    assert!(lxc(&["image", "show", "web:tiny/amd64"]).contains("serial: \"20210101_01:00\""));
    assert!(lxc(&["image", "alias", "list", "web:", "--format", "csv"]).contains("tiny/1,"));
    lxc(&["launch", "web:tiny", "c1"]);
    assert_eq!(lxc(&["exec", "c1", "--", "cat", "/etc/version"]), "20210101_01:00");
    lxc(&["image", "copy", "web:tiny", "local:", "--vm", "--alias", "disk", "--copy-aliases"]);
    let disk = daemon.get("/1.0/images/aliases/disk").metadata();
    assert_eq!(disk["type"], "virtual-machine");
    assert_eq!(daemon.get("/1.0/images/aliases/tiny%2F1%2Famd64").status, 200);
    let out = daemon.scratch().join("out");
    std::fs::create_dir(&out).unwrap();
    lxc(&["image", "export", "web:tiny", &format!("{}/", out.display())]);
    assert!(out.join("lxd.tar.xz").exists() && out.join("root.tar.xz").exists());
    lxc(&["image", "delete", "disk"]);
    lxc(&["image", "copy", "web:tiny", "local:", "--vm", "--mode", "relay", "--alias", "relayed"]);
    assert_eq!(daemon.get("/1.0/images/aliases/relayed").metadata()["target"], disk["target"]);
}

#[test]
fn what_changed_is_enough_where_the_older_image_is_here() {
    if Command::new("xdelta3").arg("-V").output().is_err() {
        println!("skipped: xdelta3 is not installed");
        return;
    }
    let daemon = Daemon::start().with_pool_and_image();
    let tree = daemon.scratch().join("tree");
    add_version(&tree, "20210101_01:00");
    let web = Web::start(&daemon, &tree, 8000);
    let copy =
        json!({"source": stream(&web.url(), "tiny"), "auto_update": true, "aliases": [{"name": "mine"}]});
    daemon.ok("POST", "/1.0/images", &copy);
    let refresh = || {
        let url = daemon.get("/1.0/images/aliases/mine").metadata()["target"].as_str().unwrap().to_owned();
        web.requests();
        let done = daemon.ok("POST", &format!("/1.0/images/{url}/refresh"), &json!({}));
        assert_eq!(done["metadata"]["refreshed"], true);
        web.requests().into_iter().filter(|line| line.contains("root.tar.xz")).collect::<Vec<_>>()
    };
    add_version(&tree, "20220101_01:00");
    let fetched = refresh();
    assert!(fetched.len() == 1 && fetched[0].ends_with(".vcdiff"), "{fetched:?}");
    assert_eq!(serials(&daemon), ["20220101_01:00"]);
    let image = daemon.get("/1.0/images/aliases/mine").metadata()["target"].clone();
    daemon.ok("POST", "/1.0/instances", &json!({"name": "c1", "source": {"type": "image", "alias": "mine"}}));
    let root = daemon.lxd_dir().join("storage-pools/default/containers/c1/rootfs");
    assert_eq!(std::fs::read_to_string(root.join("etc/version")).unwrap(), "20220101_01:00");

    // A damaged delta, and one that leads elsewhere: the whole file is fetched.
    add_version(&tree, "20230101_01:00");
    let delta = tree.join("images/20230101_01:00-amd64/root.tar.xz.20220101_01:00.vcdiff");
    std::fs::write(&delta, b"nonsense").unwrap();
    let fetched = refresh();
    assert!(fetched.len() == 2 && fetched[1].ends_with("root.tar.xz"), "{fetched:?}");
    assert_eq!(serials(&daemon), ["20230101_01:00"]);
    assert_ne!(daemon.get("/1.0/images/aliases/mine").metadata()["target"], image);
    let files = std::fs::read_dir(daemon.lxd_dir().join("images")).unwrap().count();
    assert_eq!(files, 1 + 2, "the small image, and both files of the newest");
}

#[test]
fn the_chosen_architecture_is_asked_for() {
    let daemon = Daemon::start().with_pool_and_image();
    let tree = daemon.scratch().join("tree");
    add_version(&tree, "20210101_01:00");
    let mut other = Command::new("python3");
    other.arg(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/make_simplestreams.py"));
    assert!(
        other.arg(&tree).arg(busybox_image()).args(["20220101_01:00", "arm64"]).status().unwrap().success()
    );
    let web = Web::start(&daemon, &tree, 8000);
    daemon.ok(
        "POST",
        "/1.0/projects",
        &json!({"name": "p1", "config": {"images.default_architecture": "aarch64"}}),
    );
    let found = |project: &str, alias: &str| {
        let source = stream(&web.url(), alias);
        let done = daemon.ok("POST", &format!("/1.0/images?project={project}"), &json!({"source": source}));
        let image =
            format!("/1.0/images/{}?project={project}", done["metadata"]["fingerprint"].as_str().unwrap());
        let arch = daemon.get(&image).metadata()["properties"]["serial"].clone();
        daemon.ok("DELETE", &image, &json!({}));
        arch
    };
    assert_eq!(found("default", "tiny"), "20210101_01:00");
    assert_eq!(found("default", "tiny/arm64"), "20220101_01:00");
    assert_eq!(found("p1", "tiny"), "20220101_01:00");
    daemon.ok("PATCH", "/1.0", &json!({"config": {"images.default_architecture": "aarch64"}}));
    assert_eq!(found("default", "tiny"), "20220101_01:00");
    assert_eq!(found("default", "tiny/amd64"), "20210101_01:00");
}
