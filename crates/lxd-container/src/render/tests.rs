//! Golden tests of the renderer.

use lxd_types::IdMap;

use super::*;
use crate::spec::{CgroupItem, HookSpec, Rootfs};

fn spec() -> Spec {
    Spec {
        name: "c1".into(),
        hostname: "c1".into(),
        lxcpath: "/lxd/containers".into(),
        log_dir: "/lxd/logs/c1".into(),
        log_level: "warn".into(),
        rootfs: Rootfs {
            path: "/lxd/storage-pools/p/containers/c1/rootfs".into(),
            idmapped: true,
            read_only: false,
        },
        idmap: IdMap::range(100_000, 65_536).unwrap(),
        personality: "linux64".into(),
        ..Spec::default()
    }
}

#[test]
fn unprivileged() {
    let mut spec = spec();
    spec.nesting = true;
    spec.environment.insert("FOO".into(), "bar".into());
    spec.rlimits.insert("nofile".into(), "4096".into());
    spec.sysctls.insert("net.ipv4.ip_forward".into(), "1".into());
    spec.cgroup.push(CgroupItem { version: CgroupVersion::V1, file: "pids.max".into(), value: "100".into() });
    spec.devlxd = Some("/lxd/devlxd".into());
    spec.shmounts = Some("/lxd/shmounts/c1".into());
    spec.seccomp_profile = Some("/lxd/security/seccomp/c1".into());
    spec.apparmor_profile = Some("unconfined".into());
    spec.hook = Some(HookSpec {
        helper: "/usr/lib/lxd/lxd-helper".into(),
        lxd_dir: "/lxd".into(),
        project: "my project".into(),
        instance: "c1".into(),
    });
    spec.mounts.push(Mount {
        source: "/srv/a b".into(),
        target: "/mnt/x".into(),
        fs_type: "none".into(),
        options: vec!["bind".into(), "create=dir".into()],
    });
    spec.nics.push(Nic {
        link: "veth0".into(),
        pair: None,
        name: "eth0".into(),
        hwaddr: Some("00:16:3e:00:00:01".into()),
        mtu: Some(1400),
        addresses: vec!["fd00::2/64".into()],
        gateways: vec!["10.0.0.1".into()],
    });
    spec.raw = "lxc.cap.drop = sys_nice\n".into();
    let host = HostFacts {
        lxcfs: Some("/var/lib/lxcfs".into()),
        lxcfs_files: vec!["proc/meminfo".into()],
        mounts: vec!["/sys/kernel/debug".into()],
        devices_v1: true,
    };
    insta::assert_snapshot!(render(&spec, &host).unwrap());
}

#[test]
fn privileged_v2() {
    let mut spec = spec();
    spec.idmap = IdMap::default();
    spec.rootfs.idmapped = false;
    spec.rootfs.read_only = true;
    insta::assert_snapshot!(render(&spec, &HostFacts::default()).unwrap());
}

#[test]
fn a_value_with_a_newline_is_refused() {
    let mut spec = spec();
    spec.environment.insert("A".into(), "x\nlxc.hook.pre-start = /bin/sh".into());
    assert!(render(&spec, &HostFacts::default()).is_err());
}
