//! `kill -9` at random moments under mixed load: what was acknowledged is there afterwards, nothing is leaked or stuck.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lxd_testkit::{Daemon, request_raw};
use serde_json::{Value, json};

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

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let seed = std::env::var("LXD_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed =
        seed.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1);
    println!("seed {seed} (LXD_TEST_SEED)");
    let mut random = Random(seed);
    let mut daemon = Daemon::start().with_pool_and_image();
    let clean = World::of(&daemon);
    for round in 0..rounds() {
        let delay = Duration::from_millis(random.below(500));
        let acknowledged = Mutex::new(BTreeMap::new());
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let (daemon, acknowledged) = (&daemon, &acknowledged);
                scope.spawn(move || work(daemon, worker, acknowledged));
            }
            std::thread::sleep(delay);
            daemon.signal(rustix::process::Signal::KILL);
        });
        daemon.kill();
        daemon.launch();
        check(&daemon, &acknowledged.into_inner().unwrap(), round);
        let left = clean.difference(&World::of(&daemon));
        assert!(left.is_empty(), "seed {seed}, round {round}: {left:#?}");
    }
}

/// Creates, starts, stops and deletes an instance until the daemon is gone; notes what was acknowledged last.
fn work(daemon: &Daemon, worker: u32, acknowledged: &Mutex<BTreeMap<String, &'static str>>) {
    let name = format!("w{worker}");
    let url = format!("/1.0/instances/{name}");
    let state = format!("{url}/state");
    let create = json!({"name": name, "source": {"type": "image", "alias": "busybox"}});
    let steps: [(&str, &str, Value, &'static str); 4] = [
        ("POST", "/1.0/instances", create, "Stopped"),
        ("PUT", &state, json!({"action": "start"}), "Running"),
        ("PUT", &state, json!({"action": "stop", "force": true}), "Stopped"),
        ("DELETE", &url, Value::Null, ""),
    ];
    loop {
        for (method, path, body, becomes) in &steps {
            // While a step is under way, either state is right.
            acknowledged.lock().unwrap().remove(&name);
            if !followed(daemon, method, path, body) {
                return;
            }
            acknowledged.lock().unwrap().insert(name.clone(), *becomes);
        }
    }
}

/// Sends a request and follows its operation; whether it was acknowledged as a success.
fn followed(daemon: &Daemon, method: &str, path: &str, body: &Value) -> bool {
    let Ok(answer) = request_raw(&daemon.socket(), method, path, &[], body.to_string().as_bytes()) else {
        return false;
    };
    let operation = answer.json()["operation"].as_str().unwrap_or_default().to_owned();
    let Ok(end) = request_raw(&daemon.socket(), "GET", &format!("{operation}/wait?timeout=60"), &[], b"")
    else {
        return false;
    };
    end.json()["metadata"]["status_code"] == 200
}

/// What was acknowledged must be so; then everything must be removable.
fn check(daemon: &Daemon, acknowledged: &BTreeMap<String, &'static str>, round: u32) {
    for (name, wanted) in acknowledged {
        assert_eq!(&daemon.status(name), wanted, "round {round}: {name}");
    }
    for url in daemon.get("/1.0/instances").metadata().as_array().into_iter().flatten() {
        daemon.remove(url.as_str().unwrap().rsplit('/').next().unwrap());
    }
}
