//! Proxy devices: connections led into instances and out of them, by a process and by translation.

use std::io::Write;
use std::process::{Command, Stdio};

use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

fn devices(daemon: &Daemon, devices: Value) {
    let mut whole = daemon.get("/1.0/instances/c1").metadata();
    whole["devices"] = devices;
    daemon.ok("PUT", "/1.0/instances/c1", &whole);
}

fn init(daemon: &Daemon) -> String {
    daemon.get("/1.0/instances/c1/state").metadata()["pid"].to_string()
}

/// A server that answers each connection with its input in capitals, on either side. It ends with the test.
const SERVER: &str = "
import socket, sys, os, threading
kind, at = sys.argv[1], sys.argv[2]
if kind == 'unix':
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); s.bind('\\0' + at[1:] if at[0] == '@' else at)
else:
    host, port = at.rsplit(':', 1)
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
    s.bind((host, int(port)))
if kind == 'udp':
    print('ready', flush=True)
    while True:
        data, peer = s.recvfrom(65535); s.sendto(data.upper(), peer)
s.listen(50)
print('ready', flush=True)
def serve(c):
    while True:
        data = c.recv(65536)
        if not data: break
        c.sendall(data.upper())
    c.close()
while True:
    c, _ = s.accept(); threading.Thread(target=serve, args=(c,), daemon=True).start()
";

/// Sends a text and prints the answer.
const CLIENT: &str = "
import socket, sys
kind, at, text = sys.argv[1:4]
if kind == 'unix':
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); s.settimeout(5)
    s.connect('\\0' + at[1:] if at[0] == '@' else at)
else:
    host, port = at.rsplit(':', 1)
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
    s.settimeout(5); s.connect((host, int(port)))
s.sendall(text.encode())
got = b''
while len(got) < len(text):
    data = s.recv(65536)
    if not data: break
    got += data
print(got.decode(), end='')
";

/// Python of the host, in the network namespace of the host (`None`) or of the instance.
fn python(daemon: &Daemon, inside: Option<&str>) -> Command {
    let mut command = match inside {
        None => daemon.netns.command("python3"),
        Some(init) => {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net=/proc/{init}/ns/net")).arg("--").arg("python3");
            command
        }
    };
    command.stderr(Stdio::null());
    command
}

struct Server(std::process::Child);

impl Server {
    fn start(daemon: &Daemon, inside: Option<&str>, kind: &str, at: &str) -> Self {
        let mut command = python(daemon, inside);
        let mut child =
            command.args(["-c", SERVER, kind, at]).stdout(Stdio::piped()).spawn().expect("python is there");
        let mut line = String::new();
        let output = child.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        assert_eq!(line, "ready\n", "{kind} {at}");
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The answer that a client gets; empty when there is none.
fn ask(daemon: &Daemon, inside: Option<&str>, kind: &str, at: &str, text: &str) -> String {
    let output = python(daemon, inside).args(["-c", CLIENT, kind, at, text]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn all_pairs_are_led_both_ways() {
    let mut daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    daemon.state("c1", "start", "");
    let pid = init(&daemon);
    let kinds = [("tcp", "127.0.0.1:7001", "127.0.0.1:7101"), ("udp", "127.0.0.1:7002", "127.0.0.1:7102")];
    let kinds = kinds.into_iter().chain([("unix", "@lxdt-front", "@lxdt-back")]);
    let kinds: Vec<_> = kinds.collect();
    for bind in ["host", "instance"] {
        let (front, back) = if bind == "host" { (None, Some(&*pid)) } else { (Some(&*pid), None) };
        for (to, _, target) in &kinds {
            let _server = Server::start(&daemon, back, to, target);
            for (from, listen, _) in &kinds {
                devices(
                    &daemon,
                    json!({"p": {
                        "type": "proxy", "bind": bind, "listen": format!("{from}:{listen}"), "connect": format!("{to}:{target}")
                    }}),
                );
                let answer = ask(&daemon, front, from, listen, "hello");
                assert_eq!(answer, "HELLO", "bind={bind} {from} to {to}");
            }
        }
    }
    // A large amount arrives whole.
    let _server = Server::start(&daemon, Some(&pid), "tcp", "127.0.0.1:7103");
    devices(
        &daemon,
        json!({"p": {
            "type": "proxy", "listen": "tcp:127.0.0.1:7001-7002,7005", "connect": "tcp:127.0.0.1:7103"
        }}),
    );
    let text = "x".repeat(100_000);
    for port in [7001, 7002, 7005] {
        assert_eq!(ask(&daemon, None, "tcp", &format!("127.0.0.1:{port}"), &text), text.to_uppercase());
    }
    // It survives the daemon, and the next one can end it.
    daemon.kill();
    assert_eq!(ask(&daemon, None, "tcp", "127.0.0.1:7001", "still"), "STILL");
    daemon.launch();
    assert_eq!(ask(&daemon, None, "tcp", "127.0.0.1:7001", "still"), "STILL");
    let mut taken = daemon.get("/1.0/instances/c1").metadata();
    taken["devices"]["q"] =
        json!({"type": "proxy", "listen": "tcp:127.0.0.1:7001", "connect": "tcp:127.0.0.1:7103"});
    let error = daemon.fails("PUT", "/1.0/instances/c1", &taken);
    assert!(
        error.contains("Failed to listen on 127.0.0.1:7001") && error.contains("address already in use"),
        "{error}"
    );
    let present = daemon.get("/1.0/instances/c1").metadata();
    assert!(
        present["devices"]["q"].is_null() && !present["devices"]["p"].is_null(),
        "a refused change is taken back"
    );
    devices(&daemon, json!({}));
    assert_eq!(ask(&daemon, None, "tcp", "127.0.0.1:7001", "gone"), "");
    daemon.state("c1", "stop", "force");
    let left = daemon.lxd_dir().join("devices/c1");
    assert_eq!(std::fs::read_dir(left).unwrap().count(), 0);
}

#[test]
fn sockets_have_their_owner_and_servers_learn_the_client() {
    use std::os::unix::fs::MetadataExt;
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    daemon.state("c1", "start", "");
    let pid = init(&daemon);
    let path = std::env::temp_dir().join(format!("lxdt-{}.sock", std::process::id()));
    let listen = format!("unix:{}", path.display());
    let _server = Server::start(&daemon, Some(&pid), "tcp", "127.0.0.1:7201");
    devices(
        &daemon,
        json!({"p": {
            "type": "proxy", "listen": listen, "connect": "tcp:127.0.0.1:7201", "uid": "1000", "gid": "1001", "mode": "0640"
        }}),
    );
    let found = std::fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (1000, 1001, 0o640));
    let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    client.write_all(b"hi").unwrap();
    let mut answer = [0; 2];
    std::io::Read::read_exact(&mut client, &mut answer).unwrap();
    assert_eq!(&answer, b"HI");
    devices(
        &daemon,
        json!({"p": {
            "type": "proxy", "bind": "instance", "listen": "unix:/run/y.sock", "connect": "tcp:127.0.0.1:7202", "uid": "5"
        }}),
    );
    assert!(!path.exists(), "the socket goes with its proxy");
    let inside = std::fs::metadata(format!("/proc/{pid}/root/run/y.sock")).unwrap();
    assert!(inside.uid() > 5 && inside.uid() % 10 == 5, "owned by user 5 of the instance: {}", inside.uid());

    devices(
        &daemon,
        json!({"p": {
            "type": "proxy", "listen": "tcp:127.0.0.1:7203", "connect": "tcp:127.0.0.1:7201", "proxy_protocol": "true",
            "security.uid": "7", "security.gid": "8"
        }}),
    );
    let answer = ask(&daemon, None, "tcp", "127.0.0.1:7203", "a long text that is longer than the header is");
    assert!(answer.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{answer}");
}

#[test]
fn addresses_are_translated() {
    let daemon = Daemon::start().with_pool_and_image();
    let rules = || {
        let output = daemon.netns.command("nft").args(["list", "ruleset"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    translated(&daemon, rules, "ip daddr 10.77.3.1 tcp dport 7301 dnat ip to 10.77.3.20:7401");
}

/// A proxy device with `nat`: its traffic, its rule in the firewall, and what is refused.
pub fn translated(daemon: &Daemon, rules: impl Fn() -> String, rule: &str) {
    let config = json!({"ipv4.address": "10.77.3.1/24", "ipv6.address": "none"});
    daemon.ok("POST", "/1.0/networks", &json!({"name": "npbr0", "config": config}));
    let nic = json!({"type": "nic", "network": "npbr0", "name": "eth0", "ipv4.address": "10.77.3.20"});
    let proxy = |connect: &str| json!({"type": "proxy", "nat": "true", "listen": "tcp:10.77.3.1:7301", "connect": connect});
    daemon.create("c1", &json!({"devices": {"eth0": nic, "px": proxy("tcp:0.0.0.0:7401")}}));
    daemon.state("c1", "start", "");
    let pid = init(daemon);
    wait_for("an address by DHCP", 30, || {
        let output = Command::new("nsenter")
            .args([&format!("--net=/proc/{pid}/ns/net"), "--", "ip", "-4", "-o", "addr", "show", "eth0"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).contains("10.77.3.20/").then_some(())
    });
    let _server = Server::start(daemon, Some(&pid), "tcp", "10.77.3.20:7401");
    assert_eq!(ask(daemon, None, "tcp", "10.77.3.1:7301", "from the host"), "FROM THE HOST");
    assert_eq!(ask(daemon, Some(&pid), "tcp", "10.77.3.1:7301", "from itself"), "FROM ITSELF");
    assert!(rules().contains(rule), "{}", rules());
    devices(daemon, json!({"eth0": nic}));
    assert!(!rules().contains("7301"), "{}", rules());
    let mut wrong = daemon.get("/1.0/instances/c1").metadata();
    wrong["devices"]["px"] = proxy("tcp:10.77.3.99:80");
    let error = daemon.fails("PUT", "/1.0/instances/c1", &wrong);
    assert!(
        error.contains("Connect IP \"10.77.3.99\" must be one of the instance's static IPv4 addresses"),
        "{error}"
    );
}
