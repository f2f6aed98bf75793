//! Clients that go away in the middle: each step of the script is begun by one that closes after half of its request, and
//! by one that closes after the whole without waiting for the answer. It is done wholly or not at all.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use lxd_testkit::Daemon;

use crate::script::{self, Step};
use crate::state::State;

/// Sends the first part of a request and closes.
fn send_and_close(daemon: &Daemon, step: &Step, half: bool) {
    let body = step.bytes();
    let mut head = format!("{} {} HTTP/1.1\r\nHost: lxd\r\n", step.method, step.path);
    for (name, value) in &step.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut bytes = head.into_bytes();
    let before = bytes.len();
    bytes.extend(&body);
    let end = match (half, body.is_empty()) {
        (false, _) => bytes.len(),
        (true, true) => before / 2,
        (true, false) => before + body.len() / 2,
    };
    let mut stream = UnixStream::connect(daemon.socket()).expect("the daemon listens");
    // It may refuse before it has read everything.
    let _ = stream.write_all(&bytes[..end]);
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

/// Waits until nothing is under way and nothing changes any more.
fn settled(daemon: &Daemon, step: &Step) -> State {
    let end = Instant::now() + Duration::from_secs(60);
    let mut last = State::of(daemon);
    loop {
        std::thread::sleep(Duration::from_millis(40));
        let now = State::of(daemon);
        let busy = daemon.get("/1.0/operations?recursion=1").metadata();
        let busy = busy["running"].as_array().is_some_and(|all| all.iter().any(|op| op["class"] == "task"));
        if !busy && now == last && !now.has_journal() {
            return now;
        }
        assert!(Instant::now() < end, "{} {} never ends", step.method, step.path);
        last = now;
    }
}

/// Steps whose effect is an operation that waits for its client, or leaves no trace: nothing to compare.
fn is_traceless(step: &Step) -> bool {
    step.path.ends_with("/console")
        || step.path.ends_with("/exec")
        || step.path.contains("/operations/")
        || step.body.contains("token")
}

#[test]
fn a_client_that_goes_away_leaves_the_whole_or_nothing() {
    let daemon = script::daemon();
    let mut wrong = Vec::new();
    let (mut walked, mut done) = (0, 0);
    for step in script::steps() {
        let step = step.fill(&daemon);
        let told = |what: String| format!("script.txt:{} {} {}: {what}", step.line, step.method, step.path);
        if !step.is_change() || is_traceless(&step) {
            if let (_, Some(error)) = step.play(&daemon) {
                wrong.push(told(error));
            }
            continue;
        }
        walked += 1;
        let before = settled(&daemon, &step);
        send_and_close(&daemon, &step, true);
        let after = settled(&daemon, &step);
        let left = before.difference(&after);
        if !left.is_empty() {
            wrong.push(told(format!("half a request: {left:#?}")));
        }
        send_and_close(&daemon, &step, false);
        let after = settled(&daemon, &step);
        if before == after {
            // Not at all, or without a trace: then it can be done now.
            let (_, error) = step.play(&daemon);
            let was_done = |error: &String| error.contains("already") || error.contains("not found");
            if let Some(error) = error.filter(|error| !was_done(error)) {
                wrong.push(told(format!("after a client that went away: {error}")));
            }
        } else {
            // What follows in the script needs all of it.
            done += 1;
        }
    }
    println!("{walked} requests, {done} of them done although nobody waited");
    assert!(walked > 50 && done > 20);
    assert!(wrong.is_empty(), "{} things:\n{}", wrong.len(), wrong.join("\n"));
}

/// Begins to push a file of which only the first half is sent.
fn half_a_file(daemon: &Daemon, instance: &str, path: &str, length: usize) -> UnixStream {
    let head = format!(
        "POST /1.0/instances/{instance}/files?path={path} HTTP/1.1\r\nHost: lxd\r\nX-LXD-mode: 0600\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    let mut stream = UnixStream::connect(daemon.socket()).expect("the daemon listens");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&vec![b'h'; length / 2]).unwrap();
    stream
}

/// Larger than what is received as a whole first.
#[test]
fn a_large_file_is_pushed_wholly_or_not_at_all() {
    const LENGTH: usize = 6 << 20;
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("stopped", &serde_json::json!({}));
    daemon.create("runs", &serde_json::json!({}));
    daemon.state("runs", "start", "");
    for instance in ["stopped", "runs"] {
        let root = daemon.lxd_dir().join("containers").join(instance).join("rootfs/root");
        std::fs::write(root.join("old"), "as it was").unwrap();
        std::fs::set_permissions(root.join("old"), std::os::unix::fs::PermissionsExt::from_mode(0o640))
            .unwrap();
        std::fs::hard_link(root.join("old"), root.join("other-name")).unwrap();
        for name in ["old", "new"] {
            let client = half_a_file(&daemon, instance, &format!("/root/{name}"), LENGTH);
            let seen = daemon.get(&format!("/1.0/instances/{instance}/files?path=/root")).metadata();
            assert_eq!(seen, serde_json::json!(["old", "other-name"]), "{name}");
            drop(client);
        }
        // Each of these is answered when the helper has nothing of the above to do any more.
        let old = daemon.get(&format!("/1.0/instances/{instance}/files?path=/root/old"));
        assert_eq!(old.bytes, b"as it was");
        assert_eq!(daemon.get(&format!("/1.0/instances/{instance}/files?path=/root/new")).status, 404);

        // The last ones are longer and shorter than what is there.
        for (name, letter, length) in [
            ("old", b'w', LENGTH),
            ("new", b'w', LENGTH),
            ("old", b'l', LENGTH + 9),
            ("new", b's', LENGTH / 2),
        ] {
            let content = vec![letter; length];
            let path = format!("/1.0/instances/{instance}/files?path=/root/{name}");
            let headers = [("X-LXD-mode", "0600"), ("X-LXD-uid", "7")];
            let answer =
                lxd_testkit::request_raw(&daemon.socket(), "POST", &path, &headers, &content).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.error());
            let back = daemon.get(&path);
            assert!(back.bytes == content, "{instance} {name}");
            let kept = name == "old";
            assert_eq!(back.header("x-lxd-mode"), Some(if kept { "0640" } else { "0600" }));
            assert_eq!(back.header("x-lxd-uid"), Some(if kept { "0" } else { "7" }));
        }
        // It is the same file still.
        let other = std::fs::metadata(root.join("other-name")).unwrap();
        assert_eq!(other.len(), (LENGTH + 9) as u64);
    }
}
