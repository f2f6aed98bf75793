//! Images copied between servers, ours and the original, in all modes, with our client and Debian's.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lxd_testkit::{Daemon, binary, busybox_image, request_raw, wait_for};
use serde_json::{Value, json};

/// The original, where it is installed.
fn original(program: &str) -> Option<PathBuf> {
    let path = PathBuf::from(format!("/usr/bin/{program}"));
    if path.exists() {
        return Some(path);
    }
    println!("{} is not installed: only our own program is tried", path.display());
    None
}

/// Makes a daemon listen, with a trust password.
fn listen(daemon: &Daemon, port: u16) {
    let config = json!({"core.https_address": format!("127.0.0.1:{port}"), "core.trust_password": "sekret"});
    daemon.ok("PATCH", "/1.0", &json!({"config": config}));
}

/// Runs a client in the network of a daemon, with the remotes of a configuration folder.
fn client(daemon: &Daemon, program: &Path, args: &[&str]) -> Output {
    let mut command = daemon.netns.command("timeout");
    command.arg("60").arg(program).args(args).env("LXD_DIR", daemon.scratch());
    command.env("LXD_CONF", daemon.scratch().join("conf")).env("HOME", daemon.scratch());
    command.stdin(Stdio::null()).output().expect("nsenter is there")
}

fn run(daemon: &Daemon, program: &Path, args: &[&str]) -> String {
    let output = client(daemon, program, args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program:?} {args:?}: {error}\n{}", daemon.log());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A split image of a container, and one of a virtual machine.
fn split(dir: &Path) -> [PathBuf; 3] {
    let (meta, root, disk) = (dir.join("meta.tar.xz"), dir.join("root.tar.xz"), dir.join("disk.qcow2"));
    let tree = dir.join("tree");
    std::fs::create_dir(&tree).unwrap();
    let tar = |args: &[&std::ffi::OsStr]| assert!(Command::new("tar").args(args).status().unwrap().success());
    tar(&["-xzf".as_ref(), busybox_image().as_ref(), "-C".as_ref(), tree.as_ref()]);
    tar(&["-cJf".as_ref(), meta.as_ref(), "-C".as_ref(), tree.as_ref(), "metadata.yaml".as_ref()]);
    tar(&["-cJf".as_ref(), root.as_ref(), "-C".as_ref(), tree.join("rootfs").as_ref(), ".".as_ref()]);
    std::fs::write(&disk, [&b"QFI\xfb"[..], &[7; 4000]].concat()).unwrap();
    [meta, root, disk]
}

#[test]
fn in_all_modes_between_all_servers_with_both_clients() {
    let a = Daemon::start();
    let b = a.beside(binary("lxd"), &[]);
    let mut servers = vec![("a", &a), ("b", &b)];
    let r = original("lxd").map(|program| a.beside(program, &[]));
    servers.extend(r.as_ref().map(|r| ("r", r)));
    let mut programs = vec![binary("lxc")];
    programs.extend(original("lxc"));
    let lxc = &programs[0];
    for ((name, server), port) in servers.iter().zip(8443..) {
        listen(server, port);
        let url = format!("https://127.0.0.1:{port}");
        run(&a, lxc, &["remote", "add", name, &url, "--accept-certificate", "--password=sekret"]);
        server.ok("POST", "/1.0/projects", &json!({"name": "p1"}));
    }
    let [meta, root, disk] = split(a.scratch());
    let text = |path: &Path| path.display().to_string();
    for (name, _) in servers.iter().filter(|(name, _)| *name != "b") {
        let remote = format!("{name}:");
        run(&a, lxc, &["image", "import", &text(&busybox_image()), &remote, "--alias", "one", "color=red"]);
        run(&a, lxc, &["image", "import", &text(&meta), &text(&root), &remote, "--alias", "two"]);
        run(&a, lxc, &["image", "import", &text(&meta), &text(&disk), &remote, "--alias", "disk"]);
    }
    for (from, to) in [("a", "b"), ("a", "r"), ("r", "b")] {
        let (Some((_, source)), Some((_, target))) = (find(&servers, from), find(&servers, to)) else {
            continue;
        };
        // Only one of two servers in one pair may have the images: the copy into `r` goes into a project of its own.
        let project = if to == "r" { "p1" } else { "default" };
        for program in &programs {
            for mode in ["pull", "push", "relay"] {
                for alias in ["one", "two", "disk"] {
                    let what = format!("{program:?} {mode} {from}:{alias} {to}:");
                    let mut args = vec!["image", "copy", "--mode", mode, "--copy-aliases", "--alias", "new"];
                    let (image, place) = (format!("{from}:{alias}"), format!("{to}:"));
                    args.extend([image.as_str(), place.as_str(), "--quiet"]);
                    args.extend((alias == "disk").then_some("--vm"));
                    args.extend((project != "default").then_some("--target-project=p1"));
                    run(&a, program, &args);
                    check_copy(source, target, project, alias, mode, &what);
                }
            }
        }
    }
}

fn find<'a>(servers: &[(&'a str, &'a Daemon)], name: &str) -> Option<(&'a str, &'a Daemon)> {
    servers.iter().find(|(own, _)| *own == name).copied()
}

/// The copy is what the original is; it is removed again.
fn check_copy(source: &Daemon, target: &Daemon, project: &str, alias: &str, mode: &str, what: &str) {
    let at = |path: &str| format!("/1.0/images/{path}?project={project}");
    let wanted = source.get(&format!("/1.0/images/aliases/{alias}")).metadata();
    for name in [alias, "new"] {
        let copied = target.get(&at(&format!("aliases/{name}"))).metadata();
        assert_eq!(copied["target"], wanted["target"], "{what}");
    }
    let url = wanted["target"].as_str().unwrap();
    let (original, copy) =
        (source.get(&format!("/1.0/images/{url}")).metadata(), target.get(&at(url)).metadata());
    for key in ["type", "size", "architecture", "public"] {
        assert_eq!(original[key], copy[key], "{what}: {key}");
    }
    // Debian's client forgets the properties that are not in the files when it relays.
    if mode != "relay" || what.contains("target/") {
        assert_eq!(original["properties"], copy["properties"], "{what}");
    }
    target.ok("DELETE", &at(url), &json!({}));
}

#[test]
fn a_secret_opens_one_thing_once() {
    let daemon = Daemon::start().with_pool_and_image();
    listen(&daemon, 8443);
    daemon.ok("POST", "/1.0/projects", &json!({"name": "p1"}));
    let image = std::fs::read(busybox_image()).unwrap();
    let fingerprint =
        daemon.get("/1.0/images/aliases/busybox").metadata()["target"].as_str().unwrap().to_owned();
    let small = daemon.scratch().join("small");
    std::fs::write(&small, b"no image").unwrap();
    let post = |path: &str, file: &Path, headers: &[(&str, &str)]| {
        let mut curl = daemon.netns.command("curl");
        curl.args(["-sk", "--max-time", "20", "-X", "POST", "-w", "%{http_code}", "-o", "/dev/null"]);
        headers.iter().for_each(|(name, value)| _ = curl.arg("-H").arg(format!("{name}: {value}")));
        curl.arg("--data-binary").arg(format!("@{}", file.display()));
        let output = curl.arg(format!("https://127.0.0.1:8443{path}")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let path = "/1.0/images?project=p1";
    let begin = || {
        let body = json!({"source": {"mode": "push", "fingerprint": fingerprint}, "properties": {"a": "b"},
            "public": true, "aliases": [{"name": "sent"}]});
        let answer = request_raw(&daemon.socket(), "POST", path, &[], body.to_string().as_bytes()).unwrap();
        let token = answer.json()["metadata"].clone();
        assert_eq!(
            (&token["class"], &token["metadata"]["public"]),
            (&json!("token"), &json!(true)),
            "{token}"
        );
        (token["id"].as_str().unwrap().to_owned(), token["metadata"]["secret"].as_str().unwrap().to_owned())
    };
    let (id, secret) = begin();
    // A refused body that is large is not read to its end: only small ones are sent where a refusal is expected.
    let of = |secret: &str, fingerprint: &str| {
        post(path, &small, &[("X-LXD-secret", secret), ("X-LXD-fingerprint", fingerprint)])
    };
    assert_eq!(post(path, &small, &[]), "403", "a stranger may send nothing");
    assert_eq!(of("guess", &fingerprint), "403");
    assert_eq!(of(&secret, &"0".repeat(64)), "403", "another image");
    assert_eq!(
        post("/1.0/images", &small, &[("X-LXD-secret", &secret), ("X-LXD-fingerprint", &fingerprint)]),
        "403"
    );
    let fetched = daemon
        .netns
        .command("curl")
        .args(["-sk", "-o", "/dev/null", "-w", "%{http_code}"])
        .arg(format!("https://127.0.0.1:8443/1.0/images/{fingerprint}/export?secret={secret}"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&fetched.stdout), "404", "the secret for sending opens no image");
    let headers = [("X-LXD-secret", secret.as_str()), ("X-LXD-fingerprint", fingerprint.as_str())];
    assert_eq!(post(path, &busybox_image(), &headers), "202");
    let url = format!("/1.0/images/{fingerprint}?project=p1");
    let sent =
        wait_for("the image", 20, || Some(daemon.get(&url)).filter(|answer| answer.status == 200)).metadata();
    assert_eq!(
        (&sent["public"], &sent["properties"]["a"], &sent["aliases"][0]["name"]),
        (&json!(true), &json!("b"), &json!("sent"))
    );
    assert_eq!(of(&secret, &fingerprint), "403", "it opens once");
    let again = daemon.fails("DELETE", &format!("/1.0/operations/{id}"), &Value::Null);
    assert!(!again.is_empty());

    // A secret for fetching lets nobody send, and a cancelled token nobody at all.
    daemon.ok("DELETE", &url, &json!({}));
    let answer =
        request_raw(&daemon.socket(), "POST", &format!("/1.0/images/{fingerprint}/secret"), &[], b"")
            .unwrap();
    let fetching = answer.json()["metadata"]["metadata"]["secret"].as_str().unwrap().to_owned();
    assert_eq!(
        post("/1.0/images", &small, &[("X-LXD-secret", &fetching), ("X-LXD-fingerprint", &fingerprint)]),
        "403"
    );
    let (id, secret) = begin();
    daemon.ok("DELETE", &format!("/1.0/operations/{id}"), &Value::Null);
    assert_eq!(of(&secret, &fingerprint), "403");

    // Another file than the announced one is refused, and leaves nothing.
    let (_, secret) = begin();
    let other = daemon.scratch().join("other");
    std::fs::write(&other, &image[..image.len() - 9]).unwrap();
    let mut curl = daemon.netns.command("curl");
    curl.args(["-sk", "--data-binary"]).arg(format!("@{}", other.display()));
    curl.arg("-H")
        .arg(format!("X-LXD-secret: {secret}"))
        .arg("-H")
        .arg(format!("X-LXD-fingerprint: {fingerprint}"));
    let answer: Value =
        serde_json::from_slice(&curl.arg(format!("https://127.0.0.1:8443{path}")).output().unwrap().stdout)
            .unwrap();
    let (id, secret) = (&answer["metadata"]["id"], &answer["metadata"]["metadata"]["secret"]);
    let wait = |secret: &str| {
        let url = format!(
            "https://127.0.0.1:8443/1.0/operations/{}/wait?timeout=20&secret={secret}",
            id.as_str().unwrap()
        );
        let output = daemon.netns.command("curl").args(["-sk", &url]).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!(wait("guess")["error_code"], 403);
    assert_eq!(wait(secret.as_str().unwrap())["metadata"]["status_code"], 400);
    assert_eq!(daemon.get(&url).status, 404);
}

#[test]
fn a_push_that_cannot_end_fails_in_clear_words_and_leaves_nothing() {
    let a = Daemon::start_with(&[("LXD_TEST_FAULTS", "1"), ("LXD_TEST_PATIENCE", "2")]).with_pool_and_image();
    let fingerprint = a.get("/1.0/images/aliases/busybox").metadata()["target"].as_str().unwrap().to_owned();
    let url = format!("/1.0/images/{fingerprint}/export");
    for (target, text) in [
        ("unix:///run/lxd.sock", "Unsupported image server URL"),
        ("http://127.0.0.1:1", "Unsupported image server URL"),
        ("https://127.0.0.1:1", "connection refused"),
        ("https://nosuch.invalid", "no such host"),
    ] {
        let refused = a.fails("POST", &url, &json!({"target": target, "secret": "x"}));
        assert!(refused.contains(text), "{target}: {refused}");
    }
    // A server that accepts and says nothing.
    let mut deaf = a.netns.command("python3");
    let code = "import socket,time; s=socket.socket(); s.setsockopt(1,2,1); s.bind(('127.0.0.1',9000)); s.listen(); time.sleep(600)";
    let mut deaf = deaf.args(["-c", code]).spawn().unwrap();
    let refused = wait_for("the end of a push to a deaf server", 30, || {
        let text = a.fails("POST", &url, &json!({"target": "https://127.0.0.1:9000", "secret": "x"}));
        (!text.contains("refused")).then_some(text)
    });
    assert!(refused.contains("takes nothing any more"), "{refused}");
    deaf.kill().unwrap();
    deaf.wait().unwrap();
    // A restricted project does not reach this machine.
    let config = json!({"restricted": "true", "features.images": "true", "features.profiles": "true"});
    a.ok("POST", "/1.0/projects", &json!({"name": "p1", "config": config}));
    let image = std::fs::read(busybox_image()).unwrap();
    let answer = request_raw(&a.socket(), "POST", "/1.0/images?project=p1", &[], &image).unwrap();
    a.get(&format!("{}/wait?timeout=30", answer.json()["operation"].as_str().unwrap()));
    let refused = a.fails(
        "POST",
        &format!("{url}?project=p1"),
        &json!({"target": "https://127.0.0.1:9001", "secret": "x"}),
    );
    assert!(refused.contains("Refused to connect"), "{refused}");
}
