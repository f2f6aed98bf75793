//! `limits.*` of running containers, seen in the host's control groups, and by loads that hit them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

/// The control group of an instance in a hierarchy (`cpu`; empty: the unified one). `None` when the host has it elsewhere.
fn group(daemon: &Daemon, name: &str, controller: &str) -> Option<PathBuf> {
    let pid = daemon.get(&format!("/1.0/instances/{name}/state")).metadata()["pid"].as_i64().unwrap();
    let all = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let line =
        all.lines().find(|line| line.split(':').nth(1).unwrap().split(',').any(|c| c == controller))?;
    let path = line.splitn(3, ':').nth(2).unwrap();
    // The container's own group: its init may be further down.
    let own = path.split('/').find(|part| part.starts_with("lxc.payload."))?;
    let root = if controller.is_empty() { "unified" } else { controller };
    Some(Path::new("/sys/fs/cgroup").join(root).join(own))
}

/// What a file of the group says; `None` when this host has no such hierarchy.
fn value(daemon: &Daemon, name: &str, controller: &str, file: &str) -> Option<String> {
    let path = group(daemon, name, controller)?.join(file);
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}

fn set(daemon: &Daemon, name: &str, pairs: &[(&str, &str)]) {
    let config: serde_json::Map<String, Value> =
        pairs.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    daemon.ok("PATCH", &format!("/1.0/instances/{name}"), &json!({"config": config}));
}

/// Whether version 1 has these controllers; says so when not.
fn version_1(controllers: &[&str]) -> bool {
    let all = controllers.iter().all(|name| Path::new("/sys/fs/cgroup").join(name).join("tasks").exists());
    if !all {
        println!("skipped: {controllers:?} are not those of version 1 on this host");
    }
    all
}

fn inside(daemon: &Daemon, name: &str, command: &str) -> (bool, String) {
    let output = daemon.lxc(&["exec", name, "--", "sh", "-c", command]);
    (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn processor_time_is_shared_and_rationed() {
    if !version_1(&["cpu"]) {
        return;
    }
    let daemon = Daemon::start().with_pool_and_image();
    let config = json!({"limits.cpu.allowance": "50%", "limits.cpu.priority": "3"});
    daemon.create("c1", &json!({"config": config}));
    daemon.state("c1", "start", "");
    let has = |file: &str| value(&daemon, "c1", "cpu", file).unwrap();
    assert_eq!((&*has("cpu.shares"), &*has("cpu.cfs_quota_us")), ("505", "-1"));
    set(&daemon, "c1", &[("limits.cpu.allowance", "100ms/200ms")]);
    assert_eq!(
        (&*has("cpu.shares"), &*has("cpu.cfs_quota_us"), &*has("cpu.cfs_period_us")),
        ("1017", "100000", "200000")
    );
    set(&daemon, "c1", &[("limits.cpu.allowance", "10ms/100ms"), ("limits.cpu.priority", "")]);
    assert_eq!(
        (&*has("cpu.shares"), &*has("cpu.cfs_quota_us"), &*has("cpu.cfs_period_us")),
        ("1024", "10000", "100000")
    );
    inside(&daemon, "c1", "timeout 1 sh -c 'while :; do :; done'");
    let stat = has("cpu.stat");
    let throttled = stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")).unwrap();
    assert!(throttled.parse::<u32>().unwrap() > 2, "{stat}");
    set(&daemon, "c1", &[("limits.cpu.allowance", "")]);
    assert_eq!((&*has("cpu.cfs_quota_us"), &*has("cpu.cfs_period_us")), ("-1", "100000"));
    let refused = json!({"config": {"limits.cpu.allowance": "x"}});
    assert_eq!(daemon.fails("PATCH", "/1.0/instances/c1", &refused), "Invalid config: Invalid allowance: x");
}

#[test]
fn memory_is_limited_hard_and_softly() {
    if !version_1(&["memory"]) {
        return;
    }
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({"config": {"limits.memory": "64MiB", "limits.memory.swap.priority": "3"}}));
    daemon.state("c1", "start", "");
    let has = |file: &str| value(&daemon, "c1", "memory", file).unwrap_or_default();
    let both = |bytes: u64| {
        assert_eq!(has("memory.limit_in_bytes"), bytes.to_string());
        let swap = has("memory.memsw.limit_in_bytes");
        assert!(swap.is_empty() || swap == bytes.to_string(), "{swap}");
    };
    both(64 << 20);
    assert_eq!((&*has("memory.soft_limit_in_bytes"), &*has("memory.swappiness")), ("60395520", "67"));
    // A load that hits it, and one that does not.
    let load = "head -c 150000000 /dev/zero | tail -c 140000000 | wc -c";
    assert_ne!(inside(&daemon, "c1", load).1, "140000000");
    // Up and down again.
    set(&daemon, "c1", &[("limits.memory", "512MiB")]);
    both(512 << 20);
    assert_eq!(inside(&daemon, "c1", load).1, "140000000");
    set(&daemon, "c1", &[("limits.memory", "128MiB"), ("limits.memory.swap", "false")]);
    both(128 << 20);
    assert_eq!(has("memory.swappiness"), "0");
    set(&daemon, "c1", &[("limits.memory.enforce", "soft")]);
    let unlimited = has("memory.limit_in_bytes");
    assert!(unlimited.parse::<u64>().unwrap() > 1 << 60, "{unlimited}");
    assert_eq!(has("memory.soft_limit_in_bytes"), (128 << 20).to_string());
    assert_eq!(inside(&daemon, "c1", load).1, "140000000");
    set(
        &daemon,
        "c1",
        &[("limits.memory", ""), ("limits.memory.swap", ""), ("limits.memory.swap.priority", "")],
    );
    assert_eq!((has("memory.soft_limit_in_bytes"), &*has("memory.swappiness")), (unlimited, "60"));
}

#[test]
fn numbers_of_processors_are_balanced() {
    if !version_1(&["cpuset"]) {
        return;
    }
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    if !online.trim().starts_with("0-") {
        println!("skipped: one processor cannot be balanced");
        return;
    }
    let mut daemon = Daemon::start().with_pool_and_image();
    for name in ["c1", "c2"] {
        daemon.create(name, &json!({"config": {"limits.cpu": "1"}}));
        daemon.state(name, "start", "");
    }
    let has = |daemon: &Daemon, name: &str| value(daemon, name, "cpuset", "cpuset.cpus").unwrap();
    assert_eq!((&*has(&daemon, "c1"), &*has(&daemon, "c2")), ("0", "1"));
    assert_eq!(inside(&daemon, "c2", "nproc").1, "1");
    // Who names a processor is not moved; the other makes room.
    set(&daemon, "c1", &[("limits.cpu", "1-1")]);
    assert_eq!((&*has(&daemon, "c1"), &*has(&daemon, "c2")), ("1", "0"));
    daemon.restart();
    set(&daemon, "c1", &[("limits.cpu", "0-0")]);
    assert_eq!((&*has(&daemon, "c1"), &*has(&daemon, "c2")), ("0", "1"));
    // Nobody moves because another is gone.
    daemon.state("c1", "stop", "force");
    assert_eq!(has(&daemon, "c2"), "1");
    set(&daemon, "c2", &[("limits.cpu", "")]);
    assert_eq!(has(&daemon, "c2"), online.trim());
    let refused = json!({"config": {"limits.cpu": "8000-8001"}});
    let error = daemon.fails("PATCH", "/1.0/instances/c2", &refused);
    assert_eq!(error, "limits.cpu: this host has none of the processors 8000-8001");
}

#[test]
fn huge_pages_are_limited_in_whichever_tree_has_them() {
    let pages =
        |size: &str| Path::new("/sys/kernel/mm/hugepages").join(format!("hugepages-{size}kB")).exists();
    let unified = std::fs::read_to_string("/sys/fs/cgroup/unified/cgroup.controllers").unwrap_or_default();
    if !pages("2048") || !unified.contains("hugetlb") {
        println!("skipped: this host has no huge pages of 2 MB in its unified tree");
        return;
    }
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({"config": {"limits.hugepages.2MB": "4MiB"}}));
    daemon.state("c1", "start", "");
    let has = || value(&daemon, "c1", "", "hugetlb.2MB.max").unwrap();
    assert_eq!(has(), "4194304");
    set(&daemon, "c1", &[("limits.hugepages.2MB", "2MiB")]);
    assert_eq!(has(), "2097152");
    set(&daemon, "c1", &[("limits.hugepages.2MB", "")]);
    assert_eq!(has(), "max");
    if !pages("64") {
        let refused = json!({"config": {"limits.hugepages.64KB": "1MiB"}});
        let error = daemon.fails("PATCH", "/1.0/instances/c1", &refused);
        assert_eq!(error, "limits.hugepages.64KB: this host has no huge pages of that size");
    }
}

#[test]
fn what_the_host_cannot_do_is_refused_by_name() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    daemon.state("c1", "start", "");
    let fails =
        |key: &str, value: &str| daemon.fails("PATCH", "/1.0/instances/c1", &json!({"config": {key: value}}));
    let weights =
        ["blkio.weight", "blkio.bfq.weight"].map(|file| Path::new("/sys/fs/cgroup/blkio").join(file));
    if version_1(&["blkio"]) && !weights.iter().any(|file| file.exists()) {
        let error = "Cannot apply limits.disk.priority as blkio.weight cgroup controller is missing";
        assert_eq!(fails("limits.disk.priority", "3"), error);
    }
    let error = fails("linux.kernel_modules", "no-such-module");
    assert!(
        error.starts_with(
            "Failed to load kernel module 'no-such-module': Failed to run: modprobe -b -- no-such-module:"
        ),
        "{error}"
    );
    assert_eq!(fails("linux.kernel_modules", "-r"), "Invalid config: Invalid kernel module name \"-r\"");
    // Nothing of it stays.
    assert_eq!(daemon.get("/1.0/instances/c1").metadata()["config"]["linux.kernel_modules"], Value::Null);
    let module = std::fs::read_dir("/sys/module").unwrap().flatten().next().unwrap().file_name();
    set(&daemon, "c1", &[("linux.kernel_modules", module.to_str().unwrap())]);
}

#[test]
fn the_libraries_of_a_graphics_driver_come_by_their_hook() {
    // A stand-in for the program and the hook: it notes what it is told.
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    std::fs::create_dir_all(folder.path().join("hooks")).unwrap();
    std::fs::create_dir_all(folder.path().join("config")).unwrap();
    std::fs::create_dir_all(&told).unwrap();
    let script = |path: &Path, text: &str| {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    for path in [folder.path(), &told] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let config = folder.path().join("config").to_string_lossy().into_owned();
    let env = [("PATH", &*path), ("LXD_LXC_TEMPLATE_CONFIG", &*config)];
    let daemon = Daemon::start_with(&env).with_pool_and_image();
    let keys = json!({"nvidia.runtime": "true", "nvidia.driver.capabilities": "all", "nvidia.require.driver": ">=1"});
    daemon.create("c1", &json!({"config": keys}));
    let start = json!({"action": "start"});
    let error = daemon.fails("PUT", "/1.0/instances/c1/state", &start);
    assert!(
        error.ends_with("nvidia.runtime needs nvidia-container-cli, which this host does not have"),
        "{error}"
    );
    script(&folder.path().join("nvidia-container-cli"), "#!/bin/sh\n");
    script(
        &folder.path().join("hooks/nvidia"),
        &format!("#!/bin/sh\nenv > {}/environment\n", told.display()),
    );
    daemon.state("c1", "start", "");
    let text = wait_for("the hook", 10, || std::fs::read_to_string(told.join("environment")).ok());
    for line in ["NVIDIA_VISIBLE_DEVICES=none", "NVIDIA_DRIVER_CAPABILITIES=all", "NVIDIA_REQUIRE_DRIVER=>=1"]
    {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

/// A directory for `PATH` whose `modprobe` waits for the file `go`, and tells by `asked` that it does.
fn slow_modprobe(folder: &Path) -> String {
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let at = folder.display();
    let text = format!("#!/bin/sh\ntouch {at}/asked\nwhile [ ! -e {at}/go ]; do sleep 0.05; done\n");
    let program = bin.join("modprobe");
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

#[test]
fn what_is_recorded_last_is_applied_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = slow_modprobe(folder.path());
    let daemon = Daemon::start_with(&[("PATH", &path)]).with_pool_and_image();
    daemon.create("c1", &json!({}));
    daemon.state("c1", "start", "");
    let daemon = &daemon;
    std::thread::scope(|scope| {
        let slow = [("linux.kernel_modules", "nosuchmodule"), ("limits.processes", "100")];
        scope.spawn(move || set(daemon, "c1", &slow));
        wait_for("the first change", 20, || folder.path().join("asked").exists().then_some(()));
        let second = scope.spawn(|| set(daemon, "c1", &[("limits.processes", "200")]));
        // The second either waits for the first, or is over by now.
        let recorded = || daemon.get("/1.0/instances/c1").metadata()["config"]["limits.processes"] == "200";
        let deadline = std::time::Instant::now() + std::time::Duration::from_millis(500);
        while !second.is_finished() && !recorded() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        std::fs::write(folder.path().join("go"), "").unwrap();
    });
    assert_eq!(daemon.get("/1.0/instances/c1").metadata()["config"]["limits.processes"], "200");
    assert_eq!(value(daemon, "c1", "pids", "pids.max").as_deref(), Some("200"));
}

#[test]
fn what_changes_during_a_start_holds_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = slow_modprobe(folder.path());
    let daemon = Daemon::start_with(&[("PATH", &path)]).with_pool_and_image();
    daemon.create("c1", &json!({"config": {"linux.kernel_modules": "nosuchmodule"}}));
    let daemon = &daemon;
    std::thread::scope(|scope| {
        scope.spawn(move || daemon.state("c1", "start", ""));
        wait_for("the start", 20, || folder.path().join("asked").exists().then_some(()));
        let device = json!({"null": {"type": "unix-char", "source": "/dev/null", "path": "/dev/mine"}});
        let config = json!({"limits.processes": "150", "limits.cpu": "1"});
        daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": config, "devices": device}));
        daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": {"limits.processes": "151"}}));
        std::fs::write(folder.path().join("go"), "").unwrap();
    });
    assert_eq!(value(daemon, "c1", "pids", "pids.max").as_deref(), Some("151"));
    assert_eq!(value(daemon, "c1", "cpuset", "cpuset.cpus").as_deref(), Some("0"));
    assert!(inside(daemon, "c1", "test -c /dev/mine").0);
}
