//! This daemon inside a container of this daemon (`security.nesting`).

use lxd_testkit::{Daemon, binary};
use serde_json::json;

/// What is typed inside. Ids are shifted by mounts, which the inside may only do with file systems that it mounted itself.
const INSIDE: &str = r#"
set -e
export PATH=/opt/lxd:/usr/sbin:/usr/bin:/sbin:/bin LXD_DIR=/var/lib/lxd LC_ALL=C.UTF-8
mkdir -p /var/lib/lxd /pool
echo root:200000:65536 > /etc/subuid
cp /etc/subuid /etc/subgid
lxd --logfile /root/lxd.log > /root/out 2>&1 < /dev/null &
lxd waitready --timeout 30
lxc storage create default dir
lxc profile device add default root disk path=/ pool=default
lxc network create ib0 ipv4.address=10.97.1.1/24 ipv6.address=none
lxc profile device add default eth0 nic network=ib0 name=eth0
lxc image import /opt/lxd/test-busybox.tar.gz --alias busybox
lxc launch busybox whole -c security.privileged=true
tries=0
until lxc list -f csv -c4 | grep '10\.97\.1\.'; do
    tries=$((tries + 1))
    [ $tries -lt 100 ]
    sleep 0.3
done
if lxc launch busybox other; then exit 1; fi
mkdir /pool/own
mount -t tmpfs tmpfs /pool/own
lxc storage create own dir source=/pool/own
lxc launch busybox shifted -s own
lxc exec shifted -- cat /proc/self/uid_map
lxc delete -f whole other shifted
lxd shutdown
echo finished
"#;

#[test]
fn a_daemon_in_a_container_runs_containers() {
    let daemon = Daemon::start().with_pool_and_image();
    // The programs and libraries of the host: the image has nothing but busybox.
    let programs = binary("lxd");
    let folders = [("usr", "/usr", "/usr"), ("lib", "/usr/lib", "/lib"), ("lib64", "/usr/lib64", "/lib64")];
    let own = ("lxd", programs.parent().unwrap().to_str().unwrap(), "/opt/lxd");
    let disk = |source: &str, path: &str| json!({"type": "disk", "source": source, "path": path, "readonly": "true"});
    let devices: serde_json::Map<_, _> = folders
        .into_iter()
        .chain([own])
        .map(|(name, source, path)| (name.to_owned(), disk(source, path)))
        .collect();
    daemon.create("outer", &json!({"config": {"security.nesting": "true"}, "devices": devices}));
    daemon.state("outer", "start", "");
    let output = daemon.lxc(&["exec", "outer", "--", "sh", "-c", INSIDE]);
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(text.contains("finished"), "{text}\n{}", daemon.log());
    assert!(text.contains("This file system cannot shift ids by its mounts"), "{text}");
    let map: Vec<&str> =
        text.lines().find(|line| line.contains("200000")).unwrap_or_default().split_whitespace().collect();
    assert_eq!(map, ["0", "200000", "65536"], "{text}");
    daemon.remove("outer");
}
