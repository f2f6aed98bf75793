//! What the kernel and liblxc can do, found once (`kernel_features`, `lxc_features` of `GET /1.0`).

use std::collections::BTreeMap;
use std::path::Path;

use liblxc::Lxc;
use lxd_sys::Dir;

use crate::switches::Switches;

/// Extensions of liblxc that servers report.
const LXC: &[&str] = &[
    "mount_injection_file",
    "seccomp_notify",
    "network_ipvlan",
    "network_l2proxy",
    "network_gateway_device_route",
    "network_phys_macvlan_mtu",
    "network_veth_router",
    "cgroup2",
    "pidfd",
    "seccomp_allow_deny_syntax",
    "devpts_fd",
    "seccomp_proxy_send_notify_fd",
    "idmapped_mounts_v2",
    "core_scheduling",
];

/// `lxc_features`: name to `true` or `false`.
pub fn lxc(lxc: Lxc) -> BTreeMap<String, String> {
    LXC.iter().map(|name| ((*name).to_owned(), lxc.has_api_extension(name).to_string())).collect()
}

/// `kernel_features`: name to `true` or `false`. `dir` is the data directory.
pub fn kernel(dir: &Path, release: &str, switches: &Switches) -> BTreeMap<String, String> {
    let since = |major, minor| version(release) >= (major, minor);
    let contains = |path: &str, word: &str| {
        std::fs::read_to_string(path).is_ok_and(|text| text.split_whitespace().any(|found| found == word))
    };
    let notify = contains("/proc/sys/kernel/seccomp/actions_avail", "user_notif");
    let features = [
        ("idmapped_mounts", !switches.no_idmapped_mounts && shifts(dir)),
        ("netnsid_getifaddrs", since(4, 20)),
        ("seccomp_listener", notify),
        ("seccomp_listener_continue", notify && since(5, 5)),
        ("shiftfs", contains("/proc/filesystems", "shiftfs")),
        ("uevent_injection", since(4, 18)),
        ("unpriv_fscaps", since(4, 14)),
    ];
    features.into_iter().map(|(name, there)| (name.to_owned(), there.to_string())).collect()
}

/// Whether the mounts of the data directory's file system can shift ids.
fn shifts(dir: &Path) -> bool {
    Dir::open(dir).is_ok_and(|dir| lxd_sys::mount::idmap_supported(&dir))
}

/// Major and minor number of a kernel release such as `6.1.0-13-amd64`.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        assert_eq!(version("6.1.0-13-amd64"), (6, 1));
        assert_eq!(version("6.18.44-x"), (6, 18));
        assert_eq!(version(""), (0, 0));
    }
}
