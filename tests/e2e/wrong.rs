//! Wrong input: one table of requests (`wrong.txt`), each with the status and the words of its answer; after each nothing
//! is left behind. Hostile archives have a table of their own below.

use lxd_testkit::{Answer, Daemon, request_raw};
use serde_json::{Value, json};

use crate::archive::Archive;
use crate::state::State;

/// A line: `METHOD PATH [HEADER: VALUE]… BODY => STATUS words; more words`. The body is JSON or `"text"`; where it is
/// missing none is sent. A status below 400 is that of a request that is refused by its operation (`op 400`).
const TABLE: &str = include_str!("wrong.txt");

struct Row {
    line: usize,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Whether the operation fails, not the request.
    late: bool,
    status: u64,
    words: Vec<String>,
}

impl Row {
    fn parse(line: usize, text: &str) -> Self {
        let (request, expected) = text.rsplit_once(" => ").unwrap_or_else(|| panic!("line {line}: no =>"));
        let (method, rest) = request.split_once(' ').unwrap();
        let (path, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut headers = Vec::new();
        while rest.starts_with("[X-") || rest.starts_with("[If-") {
            let (header, after) = rest[1..].split_once(']').unwrap();
            let (name, value) = header.split_once(": ").unwrap();
            headers.push((name.to_owned(), value.to_owned()));
            rest = after.trim_start();
        }
        let late = expected.starts_with("op ");
        let (status, words) = expected.trim_start_matches("op ").split_once(' ').unwrap_or((expected, ""));
        Self {
            line,
            method: method.to_owned(),
            path: path.to_owned(),
            headers,
            body: expand(rest).into_bytes(),
            late,
            status: status.parse().unwrap_or_else(|_| panic!("line {line}: {status}")),
            words: words.split("; ").map(str::to_owned).filter(|word| !word.is_empty()).collect(),
        }
    }

    /// What is wrong with the answer, if anything.
    fn judge(&self, daemon: &Daemon) -> Option<String> {
        let headers: Vec<(&str, &str)> = self.headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let answer = match request_raw(&daemon.socket(), &self.method, &self.path, &headers, &self.body) {
            Ok(answer) => answer,
            Err(error) => return Some(format!("no answer: {error}")),
        };
        let (status, text) = outcome(daemon, &answer);
        let late = answer.status == 202;
        let told = self.words.iter().all(|word| text.contains(word.as_str()));
        if status == self.status && late == self.late && told && !text.is_empty() {
            return None;
        }
        let op = if late { "op " } else { "" };
        Some(format!("{} {}: {op}{status} {text}", self.method, self.path))
    }
}

/// `@LONG@` stands for a text of 5000 letters, `@DEEP@` for JSON that is nested too deeply.
fn expand(body: &str) -> String {
    body.replace("@LONG@", &"x".repeat(5000)).replace("@DEEP@", &"[".repeat(2000))
}

/// Status and error of a request, or of its operation.
fn outcome(daemon: &Daemon, answer: &Answer) -> (u64, String) {
    let json = answer.json();
    if answer.status != 202 {
        let error = json["error"].as_str().unwrap_or_default();
        return (u64::from(answer.status), error.to_owned());
    }
    let operation = json["operation"].as_str().unwrap_or_default();
    let end = daemon.get(&format!("{operation}/wait?timeout=60")).metadata();
    (end["status_code"].as_u64().unwrap_or_default(), end["err"].as_str().unwrap_or_default().to_owned())
}

/// A daemon with one of everything: stopped `c1`, running `run`, profile `p1`, network `wbr0`, volume `v1`.
fn daemon() -> Daemon {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.ok("POST", "/1.0/profiles", &json!({"name": "p1"}));
    let network =
        json!({"name": "wbr0", "config": {"ipv4.address": "10.97.1.1/24", "ipv6.address": "fd42:97::1/64"}});
    daemon.ok("POST", "/1.0/networks", &network);
    daemon.ok("POST", "/1.0/storage-pools/default/volumes/custom", &json!({"name": "v1"}));
    daemon.create("c1", &json!({}));
    daemon.create("run", &json!({}));
    daemon.state("run", "start", "");
    daemon
}

#[test]
fn wrong_requests_are_refused_with_reasons() {
    let rows: Vec<Row> = TABLE
        .lines()
        .enumerate()
        .filter(|(_, text)| !text.is_empty() && !text.starts_with('#'))
        .map(|(n, text)| Row::parse(n + 1, text))
        .collect();
    println!("{} wrong requests", rows.len());
    assert!(rows.len() >= 150);
    let daemon = daemon();
    let mut clean = State::of(&daemon);
    let mut wrong = Vec::new();
    for row in &rows {
        if let Some(text) = row.judge(&daemon) {
            wrong.push(format!("wrong.txt:{}: {text}", row.line));
        }
        let left = clean.difference(&State::of(&daemon));
        if !left.is_empty() {
            wrong.push(format!("wrong.txt:{} left behind: {left:#?}", row.line));
            clean = State::of(&daemon); // What follows is not to blame for it.
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    daemon.state("c1", "start", "");
}

/// Archives that must not become an instance, and words of the reason.
fn hostile() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = || Archive::new().metadata().dir("rootfs/").dir("rootfs/sbin/");
    vec![
        ("dots in a name", good().file("rootfs/../../evil", b"x").bytes(), "evil"),
        ("an absolute name", good().file("/rootfs/abs", b"x").bytes(), "/rootfs/abs"),
        ("dots first", good().file("../evil", b"x").bytes(), "evil"),
        (
            "a link out, then through it",
            good().link("rootfs/out", "/tmp").file("rootfs/out/lxdt-evil", b"x").bytes(),
            "",
        ),
        (
            "a link up, then through it",
            good().link("rootfs/up", "../../..").file("rootfs/up/evil", b"x").bytes(),
            "",
        ),
        ("a hard link out", good().hard_link("rootfs/passwd", "/etc/passwd").bytes(), ""),
        ("a hard link up", good().hard_link("rootfs/x", "../../../../../../etc/passwd").bytes(), ""),
        ("rootfs is a link", Archive::new().metadata().link("rootfs", "/").bytes(), "rootfs"),
        ("rootfs becomes a link", good().link("rootfs", "/").bytes(), "rootfs"),
        (
            "metadata.yaml is a link",
            Archive::new().link("metadata.yaml", "/etc/passwd").dir("rootfs/").bytes(),
            "",
        ),
        (
            "metadata.yaml becomes a link",
            good().link("metadata.yaml", "/etc/passwd").bytes(),
            "metadata.yaml",
        ),
        ("templates is a link", good().link("templates", "/etc").bytes(), "templates"),
        ("backup.yaml is a link", good().link("backup.yaml", "/etc/passwd").bytes(), "backup.yaml"),
        ("metadata.yaml is a device", Archive::new().device("metadata.yaml").dir("rootfs/").bytes(), ""),
        (
            "a bomb of zeros",
            Archive::new().metadata().dir("rootfs/").sparse("rootfs/bomb", 1 << 42).bytes(),
            "",
        ),
        ("too deep", good().file(&format!("rootfs/{}x", "d/".repeat(5000)), b"x").bytes(), ""),
        ("a name with NUL", good().pax_name(b"rootfs/a\0b").bytes(), ""),
        (
            "cut off",
            {
                let mut all = good().file("rootfs/big", &[7; 4096]).bytes();
                all.truncate(all.len() - 3000);
                all
            },
            "",
        ),
    ]
}

/// Archives with strange parts that stay inside the instance.
fn strange() -> Vec<(&'static str, Vec<u8>)> {
    let good = || Archive::new().metadata().dir("rootfs/").dir("rootfs/sbin/");
    vec![
        ("a device node", good().device("rootfs/mem").bytes()),
        (
            "links that lead out",
            good().link("rootfs/out", "/etc/passwd").link("rootfs/up", "../../..").bytes(),
        ),
        ("a file twice", good().file("rootfs/a", b"1").file("rootfs/a", b"2").bytes()),
        ("files outside of rootfs", good().file("evil", b"x").file("rootfs.img", b"x").bytes()),
    ]
}

/// Imports an archive and makes an instance of it; the error of either, empty when both went well.
fn launch(daemon: &Daemon, archive: &[u8]) -> String {
    let answer =
        request_raw(&daemon.socket(), "POST", "/1.0/images", &[], archive).expect("the daemon answers");
    let (_, error) = outcome(daemon, &answer);
    if !error.is_empty() {
        return error;
    }
    let images = daemon.get("/1.0/images?recursion=1").metadata();
    let image =
        images.as_array().unwrap().iter().find(|image| image["aliases"] == json!([])).unwrap().clone();
    let fingerprint = image["fingerprint"].as_str().unwrap();
    let body = json!({"name": "evil", "source": {"type": "image", "fingerprint": fingerprint}});
    let made =
        request_raw(&daemon.socket(), "POST", "/1.0/instances", &[], body.to_string().as_bytes()).unwrap();
    let (_, error) = outcome(daemon, &made);
    daemon.call("DELETE", "/1.0/instances/evil", &Value::Null);
    daemon.ok("DELETE", &format!("/1.0/images/{fingerprint}"), &Value::Null);
    error
}

#[test]
fn hostile_archives_stay_outside() {
    let daemon = daemon();
    let clean = State::of(&daemon);
    let mut wrong = Vec::new();
    let all = hostile().into_iter().map(|(name, bytes, words)| (name, bytes, Some(words)));
    for (name, bytes, words) in all.chain(strange().into_iter().map(|(name, bytes)| (name, bytes, None))) {
        let error = launch(&daemon, &bytes);
        let is_right = match words {
            Some(words) => !error.is_empty() && error.contains(words),
            None => error.is_empty(),
        };
        if !is_right {
            wrong.push(format!("{name}: {error:?}"));
        }
        let left = clean.difference(&State::of(&daemon));
        if !left.is_empty() {
            wrong.push(format!("{name} left behind: {left:#?}"));
            break;
        }
        for evil in [
            daemon.lxd_dir().join("evil"),
            daemon.scratch().join("evil"),
            "/tmp/lxdt-evil".into(),
            "/evil".into(),
        ] {
            assert!(!evil.exists(), "{name}: {}", evil.display());
        }
    }
    assert!(wrong.is_empty(), "{} archives:\n{}", wrong.len(), wrong.join("\n"));
}
