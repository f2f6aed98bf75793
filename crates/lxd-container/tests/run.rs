//! Real containers: start, stop, shut down, freeze, exec. Skipped without root or liblxc.

mod common;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use common::World;
use lxd_container::exec::environment;
use lxd_container::{ExecSpec, Running, Spec};

fn with_init(mut spec: Spec) -> Spec {
    spec.raw = "lxc.init.cmd = /init\n".into();
    spec
}

async fn run(world: &World, running: &Running, command: &[&str]) -> (i32, String) {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let null: OwnedFd = File::open("/dev/null").unwrap().into();
    let none = BTreeMap::new();
    let spec = ExecSpec {
        command: command.iter().map(ToString::to_string).collect(),
        environment: environment(&none, &none, 0, false, false),
        uid: 0,
        gid: 0,
        cwd: "/root".into(),
        stdin: null,
        stderr: write.try_clone().unwrap(),
        stdout: write,
        terminal: false,
    };
    let process = world.containers.exec(running, spec).await.unwrap();
    let status = process.wait().await.unwrap();
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    (status, text)
}

#[tokio::test]
async fn start_exec_stop() {
    let Some(world) = World::new() else { return };
    let spec = with_init(world.spec("rt-exec"));
    let begin = Instant::now();
    let running = world.start(&spec).await;
    println!("start to booted: {:?}", begin.elapsed());

    let (status, text) =
        run(&world, &running, &["sh", "-c", "id -u; pwd; cat /proc/self/uid_map; exit 3"]).await;
    assert_eq!(status, 3, "{text}");
    assert!(text.starts_with("0\n/root\n"), "{text}");
    assert!(text.contains("100000"), "{text}");
    assert_eq!(run(&world, &running, &["nosuch"]).await.0, 127);
    assert_eq!(run(&world, &running, &["/etc/passwd"]).await.0, 126);
    // What it writes belongs to its root on disk: the mount shifts.
    assert_eq!(run(&world, &running, &["touch", "/root/f"]).await.0, 0);
    let owner =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(spec.rootfs.path.join("root/f")).unwrap());
    assert_eq!(owner, 0);

    let mut times = Vec::new();
    for _ in 0..20 {
        let begin = Instant::now();
        assert_eq!(run(&world, &running, &["true"]).await.0, 0);
        times.push(begin.elapsed());
    }
    times.sort();
    println!("exec true: {:?}", times[10]);

    let found = world.containers.find(running.container()).await.unwrap().unwrap();
    assert_eq!((found.init(), found.monitor()), (running.init(), running.monitor()));
    let pss = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", running.monitor())).unwrap();
    println!("monitor: {}", pss.lines().find(|line| line.starts_with("Pss:")).unwrap());

    world.containers.freeze(&running).await.unwrap();
    assert!(world.containers.frozen(&running));
    let begin = Instant::now();
    world.containers.stop(&running).await.unwrap();
    println!("stop of a frozen one: {:?}", begin.elapsed());
    assert!(running.gone() && !running.alive());
    assert!(world.containers.find(running.container()).await.unwrap().is_none());
}

#[tokio::test]
async fn clean_shutdown_and_speed() {
    let Some(world) = World::new() else { return };
    let spec = with_init(world.spec("rt-stop"));
    let running = world.start(&spec).await;
    let begin = Instant::now();
    world.containers.shutdown(&running, Some(Duration::from_secs(10))).await.unwrap();
    println!("shutdown: {:?}", begin.elapsed());
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let begin = Instant::now();
        let running = world.containers.start(&spec).await.unwrap();
        starts.push(begin.elapsed());
        let begin = Instant::now();
        world.containers.stop(&running).await.unwrap();
        stops.push(begin.elapsed());
    }
    starts.sort();
    stops.sort();
    println!("start {:?}..{:?}, stop {:?}..{:?}", starts[0], starts[5], stops[0], stops[5]);
}

#[tokio::test]
async fn a_start_that_fails_says_so() {
    let Some(world) = World::new() else { return };
    let mut spec = world.spec("rt-fail");
    spec.raw = "lxc.init.cmd = /nosuch\n".into();
    let error = world.containers.start(&spec).await.unwrap_err();
    assert!(error.chain().starts_with("Failed to run: "), "{}", error.chain());
    spec.raw = "lxc.nosuch = 1\n".into();
    assert!(world.containers.start(&spec).await.is_err());
}
