//! Our client and the original one, both against an original daemon: same output, same errors, same exit status.
//! Skipped, with the reason printed, where the original is not installed.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lxd_testkit::{isolated, request, wait_for};

const LXC: &str = "/usr/bin/lxc";
const LXD: &str = "/usr/bin/lxd";

/// One command per line. `@` becomes a different letter for each client, so that both can make things;
/// ` <<< TEXT` is standard input (`\n` is a newline); lines with `#` first are comments.
const COMMANDS: &str = include_str!("differential.txt");

#[test]
fn both_clients_say_the_same() {
    if let Some(reason) = missing() {
        println!("skipped: {reason}");
        return;
    }
    if !isolated::inside("both_clients_say_the_same") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut daemon = start(home.path());
    let mut different = Vec::new();
    let mut count = 0;
    // The first run of each writes its configuration and greets the user.
    run(Path::new(LXC), home.path(), "remote list");
    run(Path::new(env!("CARGO_BIN_EXE_lxc")), home.path(), "remote list");
    for line in COMMANDS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let theirs = run(Path::new(LXC), home.path(), &line.replace('@', "qqa")).replace("qqa", "@");
        let ours = run(Path::new(env!("CARGO_BIN_EXE_lxc")), home.path(), &line.replace('@', "qqb"))
            .replace("qqb", "@");
        count += 1;
        if theirs != ours {
            different.push(format!("=== lxc {line}\n--- theirs\n{theirs}--- ours\n{ours}"));
        }
    }
    let _ = Command::new("kill").arg(daemon.id().to_string()).status();
    let _ = daemon.wait();
    assert!(different.is_empty(), "{} of {count} differ:\n{}", different.len(), different.join("\n"));
}

fn missing() -> Option<String> {
    for program in [LXC, LXD] {
        if !Path::new(program).exists() {
            return Some(format!("{program} is not installed"));
        }
    }
    let version = Command::new(LXC).arg("--version").output().ok()?;
    if !String::from_utf8_lossy(&version.stdout).starts_with("5.0.") {
        return Some(format!("{LXC} is another version"));
    }
    (!rustix::process::geteuid().is_root()).then(|| "this test needs root".to_owned())
}

/// An original daemon; it dies with the process namespace of the test.
fn start(home: &Path) -> Child {
    let dir = home.join("lxd");
    std::fs::create_dir_all(&dir).unwrap();
    let daemon = Command::new(LXD)
        .arg("--logfile")
        .arg(home.join("log"))
        .env("LXD_DIR", &dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let socket = dir.join("unix.socket");
    wait_for("the original daemon", 60, || socket.exists().then_some(()));
    wait_for("its answer", 60, || (request(&socket, "GET", "/1.0", None).status == 200).then_some(()));
    let pool = serde_json::json!({"name": "default", "driver": "dir"});
    request(&socket, "POST", "/1.0/storage-pools", Some(&pool));
    let devices = serde_json::json!({"devices": {"root": {"type": "disk", "path": "/", "pool": "default"}}});
    request(&socket, "PUT", "/1.0/profiles/default", Some(&devices));
    daemon
}

/// Output, errors and exit status of a command, with what always differs made equal.
fn run(program: &Path, home: &Path, line: &str) -> String {
    let (words, input) = line.split_once(" <<< ").unwrap_or((line, ""));
    let mut child = Command::new("timeout")
        .arg("20")
        .arg(program)
        .args(split(words))
        .env("LXD_DIR", home.join("lxd"))
        .env("LXD_CONF", home.join(if program == Path::new(LXC) { "conf-theirs" } else { "conf-ours" }))
        .env("TZ", "UTC")
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.replace("\\n", "\n").as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let first_run = |line: &&str| !line.contains("first time running") && !line.contains("first container");
    let stderr = text(&output.stderr);
    // Whether the original then points to the log depends on who is faster, its question or the operation.
    let is_already = stderr.contains("The instance is already ");
    let by_chance = |line: &&str| is_already && line.starts_with("Try `lxc info --show-log");
    let lines = stderr.lines().filter(first_run).filter(|line| !by_chance(line));
    let errors: String = lines.map(|line| format!("{line}\n")).collect();
    format!("{}[stderr]\n{errors}[{:?}]\n", drop_progress(&text(&output.stdout)), output.status.code())
}

/// The original draws its progress even where no terminal is.
fn drop_progress(text: &str) -> String {
    text.split_inclusive('\n').map(|line| line.rsplit('\r').next().unwrap_or(line)).collect()
}

/// Words; quotes hold blanks together.
fn split(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quoted, mut any) = (false, false);
    for c in text.chars() {
        match c {
            '\'' => (quoted, any) = (!quoted, true),
            ' ' if !quoted => {
                words.push(String::new());
                any = false;
            }
            c => words.last_mut().expect("there is always a word").push(c),
        }
    }
    if !any && words.last().is_some_and(String::is_empty) {
        words.pop();
    }
    words
}
