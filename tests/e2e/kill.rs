//! `kill -9` at random moments under mixed load: what was acknowledged is there afterwards, nothing is leaked or stuck.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lxd_testkit::{Daemon, request_raw};
use serde_json::{Value, json};

use crate::archive::Archive;
use crate::world::World;

/// Rounds of load, kill, restart and check. A long run asks for 200.
fn rounds() -> u32 {
    std::env::var("LXD_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

/// A small generator of its own: the seed is printed, the run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What clients were told last: a path and what `GET` of it must yield. Where a step is under way nothing is said.
type Acknowledged = Mutex<BTreeMap<String, Fact>>;

/// What must be so.
#[derive(Clone, Debug, PartialEq)]
enum Fact {
    /// The object is not there.
    Gone,
    /// The object is there, and this member of it has this value.
    Member(&'static str, Value),
    /// The path answers with these bytes.
    Bytes(Vec<u8>),
}

/// One request, and what is so when it has succeeded.
struct Step {
    method: &'static str,
    path: String,
    body: Vec<u8>,
    at: String,
    fact: Fact,
}

fn step(method: &'static str, path: &str, body: &Value, at: &str, fact: Fact) -> Step {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    Step { method, path: path.to_owned(), body, at: at.to_owned(), fact }
}

/// An instance is made, gets a file, is started, stopped, deleted.
fn instance(name: &str) -> Vec<Step> {
    let url = format!("/1.0/instances/{name}");
    let (state, file) = (format!("{url}/state"), format!("{url}/files?path=/written"));
    let create = json!({"name": name, "source": {"type": "image", "alias": "busybox"}});
    let status = |text: &str| Fact::Member("status", json!(text));
    let content = format!("content of {name}\n").repeat(2000).into_bytes();
    let mut pushed = step("POST", &file, &Value::Null, &file, Fact::Bytes(content.clone()));
    pushed.body = content;
    let key = json!({"config": {"user.a": name}});
    vec![
        step("POST", "/1.0/instances", &create, &url, status("Stopped")),
        pushed,
        step("PATCH", &url, &key, &format!("{url}?"), Fact::Member("config/user.a", json!(name))),
        step("PUT", &state, &json!({"action": "start"}), &url, status("Running")),
        step("PUT", &state, &json!({"action": "restart", "force": true}), &url, status("Running")),
        step("PUT", &state, &json!({"action": "stop", "force": true}), &url, status("Stopped")),
        step("DELETE", &url, &Value::Null, &url, Fact::Gone),
    ]
}

/// A profile, with changes and another name.
fn profile(name: &str) -> Vec<Step> {
    let (url, other) = (format!("/1.0/profiles/{name}"), format!("/1.0/profiles/{name}x"));
    let member = |value: &str| Fact::Member("config/user.a", json!(value));
    vec![
        step("POST", "/1.0/profiles", &json!({"name": name, "config": {"user.a": "1"}}), &url, member("1")),
        step("PATCH", &url, &json!({"config": {"user.a": "2"}}), &url, member("2")),
        step("POST", &url, &json!({"name": format!("{name}x")}), &other, member("2")),
        step("DELETE", &other, &Value::Null, &other, Fact::Gone),
    ]
}

/// A network, made, changed, removed.
fn network(name: &str, number: u32) -> Vec<Step> {
    let url = format!("/1.0/networks/{name}");
    let address = format!("10.94.{number}.1/24");
    let config = json!({"ipv4.address": address, "ipv6.address": "none"});
    let post = json!({"name": name, "config": config});
    vec![
        step("POST", "/1.0/networks", &post, &url, Fact::Member("status", json!("Created"))),
        step(
            "PATCH",
            &url,
            &json!({"config": {"user.a": "2"}}),
            &url,
            Fact::Member("config/user.a", json!("2")),
        ),
        step("DELETE", &url, &Value::Null, &url, Fact::Gone),
    ]
}

/// A custom volume, with changes and another name.
fn volume(name: &str) -> Vec<Step> {
    let list = "/1.0/storage-pools/default/volumes/custom";
    let (url, other) = (format!("{list}/{name}"), format!("{list}/{name}x"));
    vec![
        step("POST", list, &json!({"name": name}), &url, Fact::Member("name", json!(name))),
        step(
            "PATCH",
            &url,
            &json!({"config": {"user.a": "2"}}),
            &url,
            Fact::Member("config/user.a", json!("2")),
        ),
        step(
            "POST",
            &url,
            &json!({"name": format!("{name}x")}),
            &other,
            Fact::Member("config/user.a", json!("2")),
        ),
        step("DELETE", &other, &Value::Null, &other, Fact::Gone),
    ]
}

/// An image that is imported under an alias, and removed.
fn image(number: u8, fingerprint: &str) -> Vec<Step> {
    let url = format!("/1.0/images/{fingerprint}");
    let alias = format!("/1.0/images/aliases/i{number}");
    let size = image_bytes(number).len();
    let mut import = step("POST", "/1.0/images", &Value::Null, &url, Fact::Member("size", json!(size)));
    import.body = image_bytes(number);
    let target = json!({"name": format!("i{number}"), "target": fingerprint});
    vec![
        import,
        step("POST", "/1.0/images/aliases", &target, &alias, Fact::Member("target", json!(fingerprint))),
        step("DELETE", &alias, &Value::Null, &alias, Fact::Gone),
        step("DELETE", &url, &Value::Null, &url, Fact::Gone),
    ]
}

fn image_bytes(number: u8) -> Vec<u8> {
    Archive::new().metadata().dir("rootfs/").file("rootfs/data", &vec![number; 400_000]).bytes()
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let seed = std::env::var("LXD_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed =
        seed.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1);
    println!("seed {seed} (LXD_TEST_SEED)");
    let mut random = Random(seed);
    let mut daemon = Daemon::start().with_pool_and_image();
    let image_name = {
        // Its name is what its bytes are.
        let file = daemon.scratch().join("image");
        std::fs::write(&file, image_bytes(1)).unwrap();
        let fingerprint = daemon.import(&file, "i1");
        daemon.ok("DELETE", &format!("/1.0/images/{fingerprint}"), &Value::Null);
        fingerprint
    };
    let work: Vec<Vec<Step>> = vec![
        instance("w0"),
        instance("w1"),
        instance("w2"),
        profile("k1"),
        network("kbr0", 1),
        volume("k1"),
        image(1, &image_name),
    ];
    let clean = World::of(&daemon);
    let mut steps = 0;
    for round in 0..rounds() {
        let delay = Duration::from_millis(random.below(500));
        let acknowledged = Mutex::new(BTreeMap::new());
        steps += std::thread::scope(|scope| {
            let workers: Vec<_> = work
                .iter()
                .map(|steps| {
                    let (daemon, acknowledged) = (&daemon, &acknowledged);
                    scope.spawn(move || repeat(daemon, steps, acknowledged))
                })
                .collect();
            std::thread::sleep(delay);
            daemon.signal(rustix::process::Signal::KILL);
            workers.into_iter().map(|worker| worker.join().unwrap()).sum::<usize>()
        });
        daemon.kill();
        daemon.launch();
        check(&daemon, &acknowledged.into_inner().unwrap(), seed, round);
        clean_up(&daemon);
        let left = clean.difference(&World::of(&daemon));
        assert!(left.is_empty(), "seed {seed}, round {round}: {left:#?}");
        let journal = daemon.get("/internal/sql?database=local").metadata()["text"].to_string();
        assert!(!journal.contains("INTO journal"), "seed {seed}, round {round}: {journal}");
    }
    println!("{} kills, {steps} acknowledged steps", rounds());
}

/// Does the steps one after the other until the daemon is gone; how many were acknowledged.
fn repeat(daemon: &Daemon, steps: &[Step], acknowledged: &Acknowledged) -> usize {
    let mut done = 0;
    for step in steps.iter().cycle() {
        let object = step.at.split('?').next().unwrap();
        // While a step is under way, either state of its object is right; a file in it is not concerned.
        acknowledged.lock().unwrap().retain(|at, _| {
            let same = at.split('?').next() == Some(object);
            let inside = at.starts_with(&format!("{object}/")) && matches!(step.fact, Fact::Gone);
            let renamed = step.path != step.at && step.method == "POST" && *at == step.path;
            !((same && at.contains('?') == step.at.contains('?'))
                || inside
                || renamed
                || (same && matches!(step.fact, Fact::Gone)))
        });
        if !followed(daemon, step) {
            return done;
        }
        done += 1;
        acknowledged.lock().unwrap().insert(step.at.clone(), step.fact.clone());
    }
    done
}

/// Sends a request and follows its operation; whether it was acknowledged as a success.
fn followed(daemon: &Daemon, step: &Step) -> bool {
    let Ok(answer) = request_raw(&daemon.socket(), step.method, &step.path, &[], &step.body) else {
        return false;
    };
    if answer.status != 202 {
        // A half read answer has no status.
        assert!(answer.status < 400, "{} {}: {}", step.method, step.path, answer.json());
        return answer.status >= 200 && answer.json()["type"] == "sync";
    }
    let operation = answer.json()["operation"].as_str().unwrap_or_default().to_owned();
    let Ok(end) = request_raw(&daemon.socket(), "GET", &format!("{operation}/wait?timeout=60"), &[], b"")
    else {
        return false;
    };
    end.json()["metadata"]["status_code"] == 200
}

/// What was acknowledged must be so.
fn check(daemon: &Daemon, acknowledged: &BTreeMap<String, Fact>, seed: u64, round: u32) {
    for (path, fact) in acknowledged {
        let answer = daemon.get(path);
        let is_so = match fact {
            Fact::Gone => answer.status == 404,
            Fact::Bytes(bytes) => answer.bytes == *bytes,
            Fact::Member(name, value) => {
                let pointer = format!("/{name}");
                answer.metadata().pointer(&pointer) == Some(value)
            }
        };
        assert!(
            is_so,
            "seed {seed}, round {round}: {path} is not {fact:?}: {} {}",
            answer.status,
            answer.json()
        );
    }
}

/// Everything must be removable.
fn clean_up(daemon: &Daemon) {
    for url in daemon.get("/1.0/instances").metadata().as_array().into_iter().flatten() {
        daemon.remove(url.as_str().unwrap().rsplit('/').next().unwrap());
    }
    let kept = ["/1.0/profiles/default", "/1.0/images/aliases/busybox"];
    for list in ["images/aliases", "profiles", "storage-pools/default/volumes/custom"] {
        for url in daemon.get(&format!("/1.0/{list}")).metadata().as_array().into_iter().flatten() {
            let url = url.as_str().unwrap();
            if !kept.contains(&url) {
                daemon.ok("DELETE", url, &Value::Null);
            }
        }
    }
    for image in daemon.get("/1.0/images?recursion=1").metadata().as_array().into_iter().flatten() {
        if image["aliases"] == json!([]) {
            let url = format!("/1.0/images/{}", image["fingerprint"].as_str().unwrap());
            daemon.ok("DELETE", &url, &Value::Null);
        }
    }
    for network in daemon.get("/1.0/networks?recursion=1").metadata().as_array().into_iter().flatten() {
        if network["managed"] == true {
            daemon.ok(
                "DELETE",
                &format!("/1.0/networks/{}", network["name"].as_str().unwrap()),
                &Value::Null,
            );
        }
    }
}
