//! The client on a terminal and beside one: ctrl-c, progress, colours, standard input and exit statuses of `exec`, what shells
//! and `man` are given.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lxd_testkit::{Daemon, Terminal, binary, busybox_image, wait_for};
use serde_json::{Value, json};

/// An image server that sends the second half of the image drop by drop until there is the file `go`.
const SLOW_SERVER: &str = r#"
import http.server, os, sys, time
tree = sys.argv[1]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content = open(tree + self.path, "rb").read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        half = len(content) // 2
        self.wfile.write(content[:half])
        while "root.tar.xz" in self.path and not os.path.exists(tree + "/go"):
            time.sleep(0.05)
            self.wfile.write(content[half:half + 500])
            self.wfile.flush()
            half += 500
        self.wfile.write(content[half:])
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"#;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A daemon whose client knows the slow server as `slow`.
fn with_slow_server() -> (Daemon, Server, PathBuf) {
    let daemon = Daemon::start().with_pool_and_image();
    let tree = daemon.scratch().join("tree");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/make_simplestreams.py");
    let made =
        Command::new("python3").arg(script).arg(&tree).arg(busybox_image()).arg("20210101_01:00").status();
    assert!(made.unwrap().success());
    let mut server = daemon.netns.command("python3");
    server.args(["-c", SLOW_SERVER]).arg(&tree).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server(server.spawn().unwrap());
    wait_for("the image server", 20, || {
        let mut probe = daemon.netns.command("curl");
        probe.args(["-sf", "http://127.0.0.1:8000/streams/v1/index.json"]).stdout(Stdio::null());
        probe.status().unwrap().success().then_some(())
    });
    let remotes = "default-remote: local\nremotes:\n  local:\n    addr: unix://\n    public: false\n  \
                   slow:\n    addr: http://127.0.0.1:8000\n    protocol: simplestreams\n    public: true\n";
    std::fs::write(daemon.scratch().join("conf/config.yml"), remotes).unwrap();
    (daemon, server, tree)
}

/// The client in the daemon's network.
fn client(daemon: &Daemon, args: &[&str]) -> Command {
    let plain = daemon.client_command(&binary("lxc"), args);
    let mut command = daemon.netns.command(plain.get_program());
    command.args(["--foreground"]).args(plain.get_args());
    command.envs(plain.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command
}

/// As a program that SIGPIPE ends: no word, and nothing that goes on for nobody.
#[test]
fn who_reads_no_more_ends_the_client() {
    let daemon = Daemon::start();
    // The first run has hints to give.
    daemon.lxc_ok(&["version"]);
    let alone = |args: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = daemon.client_command(&binary("lxc"), args);
        command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let ended = |child: Child, what: &str| {
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), error.as_str()), (Some(141), ""), "{what}");
    };
    for args in
        [&["remote", "get-default"][..], &["profile", "list"], &["profile", "show", "default"], &["--help"]]
    {
        ended(alone(args), &args.join(" "));
    }
    let monitor = alone(&["monitor", "--type=lifecycle"]);
    wait_for("the listener", 20, || {
        daemon.ok("PATCH", "/1.0/profiles/default", &json!({"config": {"user.a": "b"}}));
        daemon.ok("PATCH", "/1.0/profiles/default", &json!({"config": {"user.a": ""}}));
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", monitor.id())).unwrap();
        stat.contains(") Z ").then_some(())
    });
    ended(monitor, "monitor");
}

#[test]
fn ctrl_c_cancels_and_a_second_one_detaches() {
    let (daemon, _server, tree) = with_slow_server();
    let before = daemon.get("/1.0/images").metadata();

    let mut terminal = Terminal::spawn(&client(&daemon, &["image", "copy", "slow:tiny", "local:"]));
    terminal.expect("%", 30);
    terminal.send("\x03");
    terminal.expect("Cancelling the remote operation (interrupt once more to detach from it)", 10);
    let (status, text) = terminal.end(30);
    assert!(!status.success() && text.contains("Error: "), "{status} {text:?}");
    assert_eq!(daemon.get("/1.0/images").metadata(), before);

    // What cannot be cancelled goes on, with the client or without.
    let mut terminal = Terminal::spawn(&client(&daemon, &["init", "slow:tiny", "late"]));
    terminal.expect("%", 30);
    terminal.send("\x03");
    terminal.expect("interrupt once more to detach from it", 10);
    terminal.send("\x03");
    let (status, text) = terminal.end(10);
    assert!(!status.success() && text.contains("the remote operation keeps running"), "{status} {text:?}");
    std::fs::write(tree.join("go"), "").unwrap();
    wait_for("the instance", 30, || (daemon.status("late") == "Stopped").then_some(()));
}

#[test]
fn progress_is_shown_on_terminals_only() {
    let (daemon, _server, tree) = with_slow_server();
    std::fs::write(tree.join("go"), "").unwrap();
    let piped =
        client(&daemon, &["image", "copy", "slow:tiny", "local:"]).stdin(Stdio::null()).output().unwrap();
    assert!(piped.status.success(), "{}", String::from_utf8_lossy(&piped.stderr));
    assert_eq!(String::from_utf8_lossy(&piped.stdout), "Image copied successfully!\n");
    let url = daemon.get("/1.0/images?filter=properties.os+eq+Tiny").metadata()[0].clone();
    daemon.ok("DELETE", url.as_str().unwrap(), &Value::Null);
    std::fs::remove_file(tree.join("go")).unwrap();
    let terminal = Terminal::spawn(&client(&daemon, &["image", "copy", "--quiet", "slow:tiny", "local:"]));
    wait_for("the download", 20, || {
        let running = daemon.get("/1.0/operations").metadata()["running"].clone();
        running.as_array().is_some_and(|all| !all.is_empty()).then_some(())
    });
    std::fs::write(tree.join("go"), "").unwrap();
    let (status, text) = terminal.end(30);
    assert!(status.success() && !text.contains('%'), "{status} {text:?}");
}

#[test]
fn colors_are_for_terminals_that_want_them() {
    let daemon = Daemon::start();
    for (setting, colored) in [("", true), ("1", false)] {
        let mut command = daemon.client_command(&binary("lxc"), &["monitor", "--pretty"]);
        command.env("NO_COLOR", setting);
        let mut terminal = Terminal::spawn(&command);
        let asked = wait_for("an event", 20, || {
            daemon.get("/1.0/profiles");
            terminal.shows("Handling API request")
        });
        assert_eq!(asked.contains('\x1b'), colored, "NO_COLOR={setting:?}: {asked:?}");
    }
}

/// Programs of the client that must agree with the original's: arguments of `exec`, and what stands before and behind.
const EXEC: &[(&str, &str)] = &[
    ("echo through | ", "-- cat"),
    ("", "-- cat </dev/null"),
    ("echo through | ", "-n -- cat"),
    ("head -c 3000000 /dev/zero | ", "-- sh -c 'wc -c'"),
    ("head -c 3000000 /dev/zero | ", "-- true"),
    ("", "-- sh -c 'echo out; echo err >&2; exit 7'"),
    ("", "-- sh -c 'kill -9 $$'"),
    ("", "-- sh -c 'kill -TERM $$'"),
    ("", "-- nosuch-program"),
    ("", "-- /etc/passwd"),
    ("", "-- /nosuch/program"),
    ("", "--cwd /nosuch -- pwd"),
    ("", "--cwd /tmp -- pwd"),
    ("", "--env A=b --env C=d=e -- sh -c 'echo $A $C'"),
    ("", "--user 1000 --group 1001 -- id"),
    ("", "-T -- tty"),
    ("", "-t -T -- true"),
    ("", "--mode interactive -T -- true"),
    ("", "--mode non-interactive -- tty"),
    ("", "--mode nosuch -- tty"),
    // Nothing is typed: when it is echoed is chance.
    ("true | ", "-t -- sh -c 'stty size; exit 3'"),
    ("", "-- sh -c 'exit 0' >/dev/full"),
    ("", "-- sh -c 'echo lost' | true"),
    ("timeout -s TERM 1 ", "-- sh -c 'trap \"echo got; exit 9\" TERM; while :; do sleep 0.1; done'"),
];

#[test]
fn exec_agrees_with_the_original_client() {
    let Some((daemon, clients)) = with_both_clients() else { return };
    let mut wrong = Vec::new();
    for (before, arguments) in EXEC {
        let [theirs, ours] = clients.each_ref().map(|program| {
            let line = format!("{before}{} exec c1 {arguments}", program.display());
            let output = daemon.client(Path::new("/bin/sh"), &["-c", &line]);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        });
        if theirs != ours {
            wrong
                .push(format!("{before}lxc exec c1 {arguments}\n  original {theirs:?}\n  ours     {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The original never ends without a standard input.
    let closed = format!("{} exec c1 -- cat <&-", clients[1].display());
    let output = daemon.client(Path::new("/bin/sh"), &["-c", &closed]);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
}

/// The same on a terminal: what is typed, and what the program shows.
const ON_A_TERMINAL: &[(&str, &str)] = &[
    ("-- tty", ""),
    ("-- stty size", ""),
    ("-T -- tty", ""),
    ("-- sh -c 'exit 5'", ""),
    ("-- sh -c 'read line; echo \"<$line>\"'", "hello\n"),
    ("-- cat", "one\n\x04"),
    ("-- sh -c 'trap \"echo caught; exit 4\" INT; echo ready; while :; do sleep 0.1; done'", "\x03"),
    ("-- env", ""),
    ("-- nosuch-program", ""),
    ("-- sh -c 'kill -9 $$'", ""),
];

#[test]
fn exec_on_a_terminal_agrees_with_the_original_client() {
    let Some((daemon, clients)) = with_both_clients() else { return };
    let mut wrong = Vec::new();
    for (arguments, typed) in ON_A_TERMINAL {
        let [theirs, ours] = clients.each_ref().map(|program| {
            let line = format!("exec {} exec c1 {arguments}", program.display());
            let mut command = daemon.client_command(Path::new("/bin/sh"), &["-c", &line]);
            command.env("TERM", "vt100");
            let mut foreground = Command::new("timeout");
            foreground.arg("--foreground").args(command.get_args());
            foreground.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
            let mut terminal = Terminal::spawn(&foreground);
            if arguments.contains("ready") {
                terminal.expect("ready", 20);
            }
            if !typed.is_empty() {
                // The other end is there when the terminal no longer shows what is typed by itself.
                terminal.wait_raw(20);
                terminal.send(typed);
            }
            let (status, text) = terminal.end(30);
            (status.code(), text)
        });
        if theirs != ours {
            wrong.push(format!("lxc exec c1 {arguments}\n  original {theirs:?}\n  ours     {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A daemon with the running instance `c1`, the original client and ours; none when the original is not here.
fn with_both_clients() -> Option<(Daemon, [PathBuf; 2])> {
    let original = Path::new("/usr/bin/lxc");
    if !original.exists() {
        println!("skipped: /usr/bin/lxc (package lxd-client) is not installed");
        return None;
    }
    let daemon = running();
    // The first run of the original prints hints.
    assert!(daemon.client(original, &["list"]).status.success());
    Some((daemon, [original.to_owned(), binary("lxc")]))
}

/// A daemon with the running instance `c1`.
fn running() -> Daemon {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    daemon.state("c1", "start", "");
    wait_for("the image's init", 20, || {
        let booted = ["exec", "c1", "--", "test", "-e", "/run/booted"];
        daemon.lxc(&booted).status.success().then_some(())
    });
    daemon
}

#[test]
fn shells_and_man_take_what_they_are_given() {
    let share = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/client-files");
    let made = Command::new(script).arg(binary("lxc")).arg(share.path()).arg("zsh/site-functions").status();
    assert!(made.unwrap().success());
    let said = |program: &str, args: &[&str]| {
        if !["/usr/bin", "/bin"].iter().any(|folder| Path::new(folder).join(program).exists()) {
            println!("skipped: {program} is not installed");
            return None;
        }
        let output = Command::new(program).args(args).current_dir(share.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{program} {args:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.stderr.is_empty(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Some(text)
    };
    let bash = "source bash-completion/completions/lxc && complete -p lxc >/dev/null && \
                COMP_WORDS=(lxc sto) COMP_CWORD=1 && _lxc lxc sto lxc && echo \"${COMPREPLY[@]}\"";
    said("bash", &["-n", "bash-completion/completions/lxc"]);
    let words = said("bash", &["--norc", "-c", bash]).unwrap();
    assert!(words.contains("stop") && words.contains("storage"), "{words}");
    said("zsh", &["-n", "zsh/site-functions/_lxc"]);
    let zsh =
        "fpath=($PWD/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D; print ${_comps[lxc]}";
    assert!(said("zsh", &["-f", "-c", zsh]).is_none_or(|function| function.trim() == "_lxc"));
    let fish = "source fish/vendor_completions.d/lxc.fish; complete -C 'lxc sto'";
    said("fish", &["--no-execute", "fish/vendor_completions.d/lxc.fish"]);
    assert!(said("fish", &["--no-config", "-c", fish]).is_none_or(|words| words.contains("storage")));
    let pages = std::fs::read_dir(share.path().join("man/man1")).unwrap();
    let mut count = 0;
    for page in pages.map(|page| page.unwrap().path().display().to_string()) {
        count += 1;
        let Some(named) = said("lexgrog", &[&page]) else { return };
        assert!(named.contains(" - "), "{page}: {named}");
        if count % 20 == 1 {
            let text = said("man", &["--warnings", "-l", &page]).unwrap_or_default();
            assert!(text.contains("SYNOPSIS"), "{page}: {text}");
        }
    }
    println!("{count} manual pages");
    assert!(count > 100);
}
