//! Warnings about what this host lacks, raised at each start and resolved when it is there.

use std::path::Path;

use lxd_db::warnings::Subject;

use crate::Core;
use crate::warnings::WarningType;

/// What may be missing: the look for it, its warning, and what follows from it.
type Missing = (fn() -> bool, WarningType, &'static str);

const NO_APPARMOR: Missing =
    (no_apparmor, WarningType::AppArmorDisabled, "Disabled because of lack of kernel support");

/// In place of the above, where the administrator wants none.
const APPARMOR_SWITCHED_OFF: Missing = (|| true, WarningType::AppArmorDisabled, "Manually disabled");

const MISSING: &[Missing] = &[
    (no_weight, WarningType::MissingBlkioWeight, "disk priority will be ignored"),
    (no_hugetlb, WarningType::MissingHugetlb, "hugepage limits will be ignored"),
    (no_priority, WarningType::MissingNetworkPriority, "network priority will be ignored"),
    (no_machines, WarningType::InstanceTypeNotOperational, "Virtual machines are not supported yet"),
];

impl Core {
    /// Compares the host with what instances may ask for.
    pub async fn check_host(&self) {
        let apparmor = if self.switches.no_apparmor { APPARMOR_SWITCHED_OFF } else { NO_APPARMOR };
        if self.switches.names_firmware {
            tracing::info!("LXD_OVMF_PATH has no effect: virtual machines are not supported yet");
        }
        for (missing, kind, consequence) in MISSING.iter().chain([&apparmor]) {
            if missing() {
                self.warn(*kind, consequence).await;
            } else {
                let subject = Subject { type_code: *kind as i64, node_id: Some(1), ..Subject::default() };
                self.warning_resolved(subject).await;
            }
        }
    }
}

fn no_apparmor() -> bool {
    !Path::new("/sys/kernel/security/apparmor").is_dir()
}

fn no_weight() -> bool {
    let files = ["/sys/fs/cgroup/blkio/blkio.weight", "/sys/fs/cgroup/blkio/blkio.bfq.weight"];
    !files.iter().any(|file| Path::new(file).exists()) && !unified_has("io")
}

fn no_hugetlb() -> bool {
    !Path::new("/sys/fs/cgroup/hugetlb").is_dir() && !unified_has("hugetlb")
}

/// Network priorities are marks of nftables where cgroup 1 has no controller for them; this version
/// supports neither.
fn no_priority() -> bool {
    !Path::new("/sys/fs/cgroup/net_prio").is_dir()
}

fn no_machines() -> bool {
    true
}

/// Has one of the two places of the unified hierarchy this controller?
fn unified_has(controller: &str) -> bool {
    let lists = ["/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/unified/cgroup.controllers"];
    let has = |list: &&str| {
        std::fs::read_to_string(list).is_ok_and(|text| text.split_whitespace().any(|name| name == controller))
    };
    lists.iter().any(has)
}
