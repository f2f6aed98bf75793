//! Image servers that lie, hang, break off, lead elsewhere; proxies on the way. Nothing of them stays.

use lxd_testkit::{Daemon, busybox_image, wait_for};
use serde_json::{Value, json};

use crate::web::{Web, add_version, stream};
use crate::world::World;

/// A daemon that waits two seconds for others, with a tree of one version.
fn daemon() -> (Daemon, std::path::PathBuf) {
    let daemon =
        Daemon::start_with(&[("LXD_TEST_FAULTS", "1"), ("LXD_TEST_PATIENCE", "2")]).with_pool_and_image();
    let tree = daemon.scratch().join("tree");
    add_version(&tree, "20210101_01:00");
    (daemon, tree)
}

const ROOT: &str = "/images/20210101_01:00-amd64/root.tar.xz";

fn image(daemon: &Daemon, source: &Value) -> String {
    daemon.fails("POST", "/1.0/images", &json!({"source": source}))
}

#[test]
fn simplestreams_servers_that_misbehave_leave_nothing() {
    let (daemon, tree) = daemon();
    let web = Web::start(&daemon, &tree, 8000);
    let before = World::of(&daemon);
    let (index, mut slashes) = ("/streams/v1/index.json", 0);
    for (rules, text) in [
        (json!({ROOT: {"hang": true}}), "timeout awaiting headers"),
        (json!({ROOT: {"stall": 1000}}), "nothing any more"),
        (json!({ROOT: {"cut": 1000, "times": 99, "no-range": true}}), "cannot be gone on with"),
        (json!({ROOT: {"status": 500}}), "HTTP status 500"),
        (json!({ROOT: {"redirect": "file:///etc/passwd"}}), "unsupported protocol scheme"),
        (json!({ROOT: {"redirect": "gopher://x/"}}), "unsupported protocol scheme"),
        (json!({ROOT: {"redirect": ROOT}}), "redirects"),
        (json!({ROOT: {"body": "short"}}), "instead of"),
        (json!({index: {"hang": true}}), "timeout"),
        (json!({index: {"stall": 10}}), "timeout"),
        (json!({index: {"drip": true}}), "does not answer"),
        (json!({index: {"status": 404}}), "HTTP status 404"),
        (json!({index: {"body": "nonsense"}}), ""),
        (
            json!({index: {"body": "{\"index\": {\"x\": {\"datatype\": \"image-downloads\", \"path\": \"../../../etc/passwd\"}}}"}}),
            "couldn't be found",
        ),
    ] {
        web.rules(&rules);
        slashes += 1;
        // Each names the server by another URL, so that no earlier index is at hand.
        let url = format!("{}{}", web.url(), "/".repeat(slashes));
        let refused = image(&daemon, &stream(&url, "tiny"));
        assert!(refused.contains(text), "{rules}: {refused}");
        web.rules(&json!({}));
        assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new(), "{rules}");
    }
    let refused = image(&daemon, &stream("http://nosuch.invalid", "tiny"));
    assert!(refused.contains("lookup nosuch.invalid: no such host"), "{refused}");
    let refused = image(&daemon, &stream("http://127.0.0.1:1", "tiny"));
    assert!(refused.contains("connection refused"), "{refused}");
    // It was only they: the good server is good.
    daemon.ok("POST", "/1.0/images", &json!({"source": stream(&web.url(), "tiny")}));
}

#[test]
fn a_slow_index_can_be_cancelled() {
    let (daemon, tree) = daemon();
    let web = Web::start(&daemon, &tree, 8000);
    web.rules(&json!({"/streams/v1/index.json": {"drip": true}}));
    let body = json!({"source": stream(&web.url(), "tiny")});
    let started = lxd_testkit::request(&daemon.socket(), "POST", "/1.0/images", Some(&body)).json();
    let url = started["operation"].as_str().unwrap().to_owned();
    wait_for("the question", 10, || (!web.requests().is_empty()).then_some(()));
    daemon.ok("DELETE", &url, &Value::Null);
    let ended = daemon.get(&format!("{url}/wait?timeout=5")).metadata();
    assert_eq!(ended["status"], "Cancelled", "{ended}");
}

#[test]
fn an_endless_file_is_left_at_the_limit_of_the_project() {
    let (daemon, tree) = daemon();
    daemon.ok("POST", "/1.0/projects", &json!({"name": "p1", "config": {"limits.disk": "5MiB"}}));
    let web = Web::start(&daemon, &tree, 8000);
    let before = World::of(&daemon);
    let headers =
        json!({"LXD-Image-Hash": "0".repeat(64), "LXD-Image-URL": format!("{}/endless", web.url())});
    web.rules(&json!({"/x": {"body": "", "headers": headers}, "/endless": {"body": "", "endless": true}}));
    let body = json!({"source": {"type": "url", "url": format!("{}/x", web.url())}});
    let refused = daemon.fails("POST", "/1.0/images?project=p1", &body);
    assert!(refused.contains("Reached maximum aggregate value \"5MiB\" for \"limits.disk\""), "{refused}");
    let big = vec![0; 6 << 20];
    let sent =
        lxd_testkit::request_raw(&daemon.socket(), "POST", "/1.0/images?project=p1", &[], &big).unwrap();
    let operation = sent.json()["operation"].as_str().unwrap().to_owned();
    let ended = daemon.get(&format!("{operation}/wait")).metadata();
    assert!(ended["err"].as_str().unwrap().contains("limits.disk"), "{ended}");
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

#[test]
fn a_download_that_breaks_off_goes_on() {
    let (daemon, tree) = daemon();
    let web = Web::start(&daemon, &tree, 8000);
    web.rules(&json!({ROOT: {"cut": 100_000, "times": 3}}));
    daemon.ok("POST", "/1.0/images", &json!({"source": stream(&web.url(), "tiny")}));
    let asked: Vec<String> = web.requests().into_iter().filter(|line| line.contains(ROOT)).collect();
    let ranges = ["", " range=bytes=100000-", " range=bytes=200000-", " range=bytes=300000-"];
    assert_eq!(asked, ranges.map(|range| format!("GET {ROOT}{range}")));
}

#[test]
fn a_killed_daemon_leaves_nothing_of_a_download() {
    let (mut daemon, tree) = daemon();
    let web = Web::start(&daemon, &tree, 8000);
    let before = World::of(&daemon);
    web.rules(&json!({ROOT: {"stall": 100_000}}));
    let body = json!({"source": stream(&web.url(), "tiny")}).to_string();
    lxd_testkit::request_raw(&daemon.socket(), "POST", "/1.0/images", &[], body.as_bytes()).unwrap();
    wait_for("the half download", 20, || web.requests().iter().any(|line| line.contains(ROOT)).then_some(()));
    let incoming = || std::fs::read_dir(daemon.lxd_dir().join("images")).unwrap().count();
    wait_for("files of the download", 20, || (incoming() > 1).then_some(()));
    daemon.kill();
    daemon.launch();
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

/// What a server like ours answers, with a lie.
fn answers(fingerprint: &str, changes: &Value) -> Value {
    let mut image = json!({"fingerprint": fingerprint, "size": std::fs::metadata(busybox_image()).unwrap().len(),
        "filename": "../../etc/passwd", "type": "container", "properties": {"os": "x"}, "public": true});
    for (key, value) in changes.as_object().unwrap() {
        image[key] = value.clone();
    }
    let envelope = |metadata: Value| {
        json!({"type": "sync", "status": "Success", "status_code": 200, "operation": "", "error_code": 0, "error": "",
            "metadata": metadata}).to_string()
    };
    let alias = envelope(json!({"name": "x", "target": fingerprint, "type": "container", "description": ""}));
    json!({
        "/1.0/images/aliases/x": {"body": alias},
        format!("/1.0/images/{fingerprint}"): {"body": envelope(image)},
    })
}

#[test]
fn lxd_servers_that_lie_leave_nothing() {
    let (daemon, _) = daemon();
    daemon.ok("DELETE", "/1.0/images/aliases/busybox", &json!({}));
    let url = daemon.get("/1.0/images").metadata()[0].as_str().unwrap().to_owned();
    daemon.ok("DELETE", &url, &json!({}));
    let fingerprint = url.rsplit('/').next().unwrap();
    let tree = daemon.scratch().join("lies");
    let export = tree.join(format!("1.0/images/{fingerprint}"));
    std::fs::create_dir_all(&export).unwrap();
    std::fs::copy(busybox_image(), export.join("export")).unwrap();
    let web = Web::start_tls(&daemon, &tree, 8000);
    let source = |name: &str, value: &str| {
        let mut source = json!({"type": "image", "mode": "pull", "server": web.url(), "protocol": "lxd",
            "certificate": web.certificate()});
        source[name] = json!(value);
        source
    };
    let before = World::of(&daemon);
    let fetch = format!("/1.0/images/{fingerprint}/export");
    let other = "0".repeat(64);
    let with = |rule: (&str, Value)| {
        let mut rules = answers(fingerprint, &json!({}));
        rules[rule.0] = rule.1;
        rules
    };
    for (rules, text) in [
        (answers(fingerprint, &json!({"size": 1000})), "sends more than"),
        (answers(fingerprint, &json!({"size": -1})), "sends more than"),
        (answers(fingerprint, &json!({"fingerprint": other})), "answered with"),
        (answers(fingerprint, &json!({"fingerprint": "../../../etc/passwd"})), "answered with"),
        (answers(fingerprint, &json!({"properties": {"a": "b\u{0}c"}})), "Invalid image property"),
        (with(("/1.0/images/aliases/x", json!({"body": "nonsense"}))), ""),
        (with(("/1.0/images/aliases/x", json!({"hang": true}))), "does not answer"),
        (with((&fetch, json!({"hang": true}))), "nothing any more"),
        (with((&fetch, json!({"stall": 5000}))), "nothing any more"),
        (with((&fetch, json!({"cut": 5000, "times": 99}))), ""),
        (with((&fetch, json!({"body": "other content"}))), ""),
        (with((&fetch, json!({"redirect": "https://127.0.0.1:8000/1.0"}))), ""),
    ] {
        web.rules(&rules);
        let refused = image(&daemon, &source("alias", "x"));
        assert!(refused.contains(text), "{rules}: {refused}");
        assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new(), "{rules}");
    }
    // Another certificate than the one that the client saw.
    web.rules(&answers(fingerprint, &json!({})));
    let mut stranger = source("alias", "x");
    stranger["certificate"] = daemon.get("/1.0").metadata()["environment"]["certificate"].clone();
    let refused = image(&daemon, &stranger);
    assert!(refused.contains("x509") || refused.contains("Invalid certificate"), "{refused}");
    daemon.ok("POST", "/1.0/images", &json!({"source": source("alias", "x")}));
    let image = daemon.get(&url).metadata();
    assert_eq!(image["filename"], "passwd", "the last part of what the server named");
}

#[test]
fn urls_that_lead_elsewhere() {
    let (daemon, tree) = daemon();
    std::fs::copy(busybox_image(), tree.join("image.tar.gz")).unwrap();
    let fingerprint =
        daemon.get("/1.0/images/aliases/busybox").metadata()["target"].as_str().unwrap().to_owned();
    daemon.ok("DELETE", &format!("/1.0/images/{fingerprint}"), &json!({}));
    let web = Web::start(&daemon, &tree, 8000);
    let far = Web::start_elsewhere(&daemon, &tree, 8001);
    let inside = format!("{}/image.tar.gz", web.url());
    let outside = "http://10.99.0.2:8001/image.tar.gz";
    let offer =
        |file: &str| json!({"headers": {"LXD-Image-Hash": fingerprint, "LXD-Image-URL": file}, "body": ""});
    let rules = json!({"/in": offer(&inside), "/out": offer(outside), "/file": offer("file:///etc/passwd"),
        "/own": offer("http://10.99.0.1:8000/image.tar.gz"),
        "/loop": {"redirect": "http://127.0.0.1:8000/out"}, "/lie": {"headers": {
            "LXD-Image-Hash": "0".repeat(64), "LXD-Image-URL": outside}, "body": ""}});
    web.rules(&rules);
    far.rules(&rules);
    let from = |url: &str| json!({"source": {"type": "url", "url": url}});
    let refused = |url: &str, text: &str| {
        let refused = daemon.fails("POST", "/1.0/images", &from(url));
        assert!(refused.contains(text), "{url}: {refused}");
        assert_eq!(daemon.get("/1.0/images").metadata(), json!([]), "{url}");
    };
    refused("http://10.99.0.2:8001/in", "Refused to connect");
    refused("http://10.99.0.2:8001/own", "Refused to connect");
    refused("http://10.99.0.2:8001/loop", "Refused to connect");
    refused("http://10.99.0.2:8001/file", "unsupported protocol scheme");
    refused("http://10.99.0.2:8001/lie", "Hash mismatch");
    refused("file:///etc/passwd", "unsupported protocol scheme");
    refused("http://127.0.0.1:8000/nosuch", "Missing LXD-Image-Hash header");
    // From this machine to this machine is fine.
    for url in ["http://127.0.0.1:8000/in", "http://10.99.0.1:8000/in", "http://127.0.0.1:8000/loop"] {
        daemon.ok("POST", "/1.0/images", &from(url));
        daemon.ok("DELETE", &format!("/1.0/images/{fingerprint}"), &json!({}));
    }

    // A restricted project makes no connection to this machine at all (security.md C12).
    let config = json!({"restricted": "true", "features.images": "true", "features.profiles": "true"});
    daemon.ok("POST", "/1.0/projects", &json!({"name": "p1", "config": config}));
    web.requests();
    let streams = stream(&web.url(), "tiny");
    for source in [
        from("http://127.0.0.1:8000/in"),
        from("http://localhost:8000/in"),
        from("http://[::ffff:127.0.0.1]:8000/in"),
        from("http://0.0.0.0:8000/in"),
        from("http://10.99.0.1:8000/in"),
        json!({"source": streams}),
        json!({"source": {"type": "image", "server": "https://127.0.0.1:8000", "protocol": "lxd", "alias": "x"}}),
    ] {
        let refused = daemon.fails("POST", "/1.0/images?project=p1", &source);
        assert!(refused.contains("Refused to connect"), "{source}: {refused}");
    }
    assert_eq!(web.requests(), Vec::<String>::new());
    daemon.ok("POST", "/1.0/images?project=p1", &from("http://10.99.0.2:8001/out"));
}

#[test]
fn proxies_are_used_for_every_kind_of_server() {
    let (daemon, tree) = daemon();
    let fingerprint =
        daemon.get("/1.0/images/aliases/busybox").metadata()["target"].as_str().unwrap().to_owned();
    daemon.ok("DELETE", &format!("/1.0/images/{fingerprint}"), &json!({}));
    std::fs::copy(busybox_image(), tree.join("image.tar.gz")).unwrap();
    // The proxy serves the tree itself, whatever host is asked for: nothing can be reached without it.
    let proxy = Web::start(&daemon, &tree, 3128);
    proxy.rules(&json!({"/image": {"body": "", "headers": {
        "LXD-Image-Hash": fingerprint, "LXD-Image-URL": "http://images.example/image.tar.gz"}}}));
    let config = json!({"core.proxy_http": "http://me:pw@127.0.0.1:3128", "core.proxy_https": "http://127.0.0.1:3128"});
    daemon.ok("PATCH", "/1.0", &json!({"config": config}));
    daemon.ok("POST", "/1.0/images", &json!({"source": stream("http://images.example", "tiny")}));
    let asked = proxy.requests();
    assert!(
        asked[0].starts_with("GET http://images.example/streams/v1/index.json proxy-authorization=Basic"),
        "{asked:?}"
    );
    daemon.ok(
        "POST",
        "/1.0/images",
        &json!({"source": {"type": "url", "url": "http://images.example/image"}}),
    );
    let asked = proxy.requests();
    assert!(asked.iter().any(|line| line.starts_with("HEAD http://images.example/image ")), "{asked:?}");
    for protocol in ["lxd", "simplestreams"] {
        let source =
            json!({"type": "image", "server": "https://images.example", "protocol": protocol, "alias": "x"});
        image(&daemon, &source);
        let asked = proxy.requests();
        assert_eq!(asked, ["CONNECT images.example:443"], "{protocol}");
    }
    // Hosts that need no proxy, and this machine, are asked themselves.
    daemon.ok("PATCH", "/1.0", &json!({"config": {"core.proxy_ignore_hosts": "direct.example,10.0.0.0/8"}}));
    for server in ["http://direct.example", "http://10.1.2.3:1", "http://127.0.0.1:1"] {
        image(&daemon, &stream(server, "tiny"));
        assert_eq!(proxy.requests(), Vec::<String>::new(), "{server}");
    }
    // A proxy that is away is told.
    drop(proxy);
    let refused = image(&daemon, &stream("http://other.example", "tiny"));
    assert!(refused.contains("127.0.0.1:3128") && refused.contains("refused"), "{refused}");
}
