//! From the instance model to the container that liblxc starts. Pure, but for paths of this server.

use std::collections::BTreeMap;

use lxd_container::seccomp::{self, Intercept, Policy};
use lxd_container::spec::personality;
use lxd_container::spec::{CgroupItem, CgroupVersion, HostFacts};
use lxd_container::{HookSpec, Mount, Nic, Rootfs, Spec};
use lxd_device::{CgroupRule, DeviceNode, MountEntry, NicEntry};
use lxd_storage::Mounted;
use lxd_types::{Architecture, Config, ConfigExt, Flag, IdMap, Result};

use super::Model;
use super::devices::AllStarted;
use super::limits::{HostSize, limits};
use super::nvidia;
use crate::SharedCore;

/// The container of an instance whose devices were started and whose root volume is mounted.
///
/// # Errors
/// A stored value cannot be read.
pub fn container_spec(
    core: &SharedCore,
    model: &Model,
    idmap: &IdMap,
    root: &Mounted,
    idmapped: bool,
    devices: &AllStarted,
) -> Result<Spec> {
    let config = &model.config;
    let name = model.key.storage_name();
    let architecture = Architecture::from_id(model.row.architecture).map_or("", Architecture::name);
    let mut cgroup = Vec::new();
    let containers = core.containers()?;
    for limit in limits(config, &HostSize::of_this_host(containers))? {
        limit.require(containers)?;
        // liblxc refuses entries of a hierarchy that is not there.
        let is_beside = limit.is_beside(containers);
        cgroup.extend(limit.items().filter(|item| !is_beside || item.version == CgroupVersion::V2));
    }
    let nvidia = nvidia::runtime(config)?;
    if idmap.is_empty() {
        cgroup.extend(device_rules(devices));
    }
    Ok(Spec {
        hostname: model.key.name.to_string(),
        lxcpath: core.paths.containers(),
        log_dir: core.paths.logs().join(&name),
        log_level: "warn".to_owned(),
        rootfs: Rootfs { path: root.path.join("rootfs"), idmapped, read_only: false },
        idmap: idmap.clone(),
        personality: personality(architecture).to_owned(),
        nesting: config.flag("security.nesting", Flag::DefaultFalse),
        environment: environment(config).into_iter().chain(nvidia.environment).collect(),
        mount_hook: nvidia.hook,
        rlimits: with_prefix(config, "limits.kernel."),
        sysctls: with_prefix(config, "linux.sysctl."),
        shmounts: Some(core.paths.shmounts().join(&name)),
        devlxd: super::guest::is_on(config).then(|| core.paths.devlxd()),
        cgroup,
        mounts: devices.started.iter().flat_map(|(_, started)| started.mounts.iter().map(mount)).collect(),
        nics: devices.started.iter().flat_map(|(_, started)| started.nics.iter().map(nic)).collect(),
        hook: core.helper.as_ref().ok().map(|helper| HookSpec {
            helper: helper.path().to_owned(),
            lxd_dir: core.paths.root().to_owned(),
            project: model.key.project.to_string(),
            instance: model.key.name.to_string(),
        }),
        raw: config.value("raw.lxc").to_owned(),
        name,
        ..Spec::default()
    })
}

/// What a privileged container may use beside the standard nodes; others the kernel keeps from making any.
fn device_rules(devices: &AllStarted) -> Vec<CgroupItem> {
    let version = if HostFacts::collect().devices_v1 { CgroupVersion::V1 } else { CgroupVersion::V2 };
    let rules = devices.started.iter().flat_map(|(_, started)| &started.cgroup);
    let values = rules.map(|CgroupRule::AllowDevice(node)| device_rule(node));
    values.map(|value| CgroupItem { version, file: "devices.allow".to_owned(), value }).collect()
}

/// A rule of the control group's list of devices: `c 1:3 rwm`.
pub(super) fn device_rule(node: &DeviceNode) -> String {
    let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
    let kind = if node.block { "b" } else { "c" };
    format!("{kind} {}:{} rwm", number(node.major), number(node.minor))
}

/// The text of the seccomp profile; `None` when the container gets none.
///
/// # Errors
/// A key holds what no profile can say.
pub fn seccomp_profile(config: &Config, architecture: i64, intercept: Intercept) -> Result<Option<String>> {
    let either = |new: &str, old: &str| {
        let value = config.value(new);
        if value.is_empty() { config.value(old) } else { value }.to_owned()
    };
    let deny_default = match config.value("security.syscalls.deny_default") {
        "" => config.flag("security.syscalls.blacklist_default", Flag::DefaultTrue),
        _ => config.flag("security.syscalls.deny_default", Flag::DefaultTrue),
    };
    let policy = Policy {
        deny_default,
        deny_compat: config.flag("security.syscalls.deny_compat", Flag::DefaultFalse)
            || config.flag("security.syscalls.blacklist_compat", Flag::DefaultFalse),
        deny: either("security.syscalls.deny", "security.syscalls.blacklist"),
        allow: either("security.syscalls.allow", "security.syscalls.whitelist"),
        raw: config.value("raw.seccomp").to_owned(),
        intercept,
    };
    seccomp::profile(&policy, Architecture::from_id(architecture) == Some(Architecture::X86_64))
}

/// The `environment.*` keys without their beginning.
pub fn environment(config: &Config) -> BTreeMap<String, String> {
    with_prefix(config, "environment.")
}

/// The keys with a common beginning, without it.
fn with_prefix(config: &Config, prefix: &str) -> BTreeMap<String, String> {
    let own = |(key, value): (&String, &String)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone()));
    config.iter().filter_map(own).collect()
}

fn mount(entry: &MountEntry) -> Mount {
    let create = match entry.kind {
        lxd_device::MountKind::Directory => "create=dir",
        lxd_device::MountKind::File => "create=file",
    };
    let mut options = vec![if entry.recursive { "rbind" } else { "bind" }.to_owned(), create.to_owned()];
    if entry.readonly {
        options.push("ro".to_owned());
    }
    if entry.propagation != lxd_device::Propagation::Private {
        options.push(entry.propagation.word().to_owned());
    }
    Mount {
        source: entry.source.to_string_lossy().into_owned(),
        target: entry.target.to_string_lossy().into_owned(),
        fs_type: "none".to_owned(),
        options,
    }
}

fn nic(entry: &NicEntry) -> Nic {
    Nic {
        link: entry.link.clone(),
        pair: entry.pair.clone(),
        name: entry.name.clone().unwrap_or_default(),
        hwaddr: entry.hwaddr.map(|mac| mac.to_string()),
        mtu: entry.mtu,
        addresses: entry.addresses.iter().map(ToString::to_string).collect(),
        gateways: entry.gateways.iter().map(ToString::to_string).collect(),
    }
}
