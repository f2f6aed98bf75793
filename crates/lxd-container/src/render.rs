//! From a [`Spec`] to the text of `lxc.conf`. Pure: same input, same text.
//!
//! Nothing is included from the host: lxcfs's mounts, for which distributions ship an include directory with hooks, are
//! written here.

use lxd_types::{IdKind, Result};

use crate::conf::{Conf, hook_word, mount_field};
use crate::raw;
use crate::spec::{CgroupVersion, HookSpec, HostFacts, Mount, Nic, Spec};

/// Device nodes that a privileged container may use, beside making any node (`m`).
const DEVICES: &[&str] = &[
    "b *:* m",
    "c *:* m",
    "c 136:* rwm",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 10:229 rwm",
    "c 10:200 rwm",
];

/// The text of `lxc.conf`.
///
/// # Errors
/// A value with a line break, or a `raw.lxc` that is refused.
pub fn render(spec: &Spec, host: &HostFacts) -> Result<String> {
    let mut conf = Conf::new();
    basics(&mut conf, spec)?;
    standard_mounts(&mut conf, spec, host)?;
    devices(&mut conf, spec, host)?;
    lxcfs(&mut conf, host)?;
    identity(&mut conf, spec)?;
    security(&mut conf, spec)?;
    limits(&mut conf, spec)?;
    for mount in &spec.mounts {
        mount_entry(&mut conf, mount)?;
    }
    for (index, nic) in spec.nics.iter().enumerate() {
        network(&mut conf, index, nic)?;
    }
    rootfs(&mut conf, spec)?;
    // Last, so that the administrator's lines win over ours where both may set a key.
    for (key, value) in raw::parse(&spec.raw)? {
        conf.set(&key, value)?;
    }
    Ok(conf.into_text())
}

fn basics(conf: &mut Conf, spec: &Spec) -> Result<()> {
    let log = |name: &str| spec.log_dir.join(name).to_string_lossy().into_owned();
    conf.set("lxc.log.file", log("lxc.log"))?;
    conf.set("lxc.log.level", &spec.log_level)?;
    conf.set("lxc.console.buffer.size", "auto")?;
    conf.set("lxc.console.size", "auto")?;
    conf.set("lxc.console.logfile", log("console.log"))?;
    if spec.privileged() {
        conf.set("lxc.cap.drop", "sys_time sys_module sys_rawio mac_admin mac_override")?;
        conf.set("lxc.mount.auto", "proc:mixed sys:mixed cgroup:mixed")?;
    } else {
        conf.set("lxc.mount.auto", "proc:rw sys:rw cgroup:mixed")?;
    }
    conf.set("lxc.autodev", "1")?;
    conf.set("lxc.pty.max", "1024")?;
    conf.set("lxc.tty.max", "0")
}

fn standard_mounts(conf: &mut Conf, spec: &Spec, host: &HostFacts) -> Result<()> {
    conf.set("lxc.mount.entry", "mqueue dev/mqueue mqueue rw,relatime,create=dir,optional 0 0")?;
    for node in ["/dev/fuse", "/dev/net/tun"] {
        bind(conf, node, "bind,create=file,optional")?;
    }
    for path in &host.mounts {
        bind(conf, path, "rbind,create=dir,optional")?;
    }
    if spec.nesting {
        conf.set("lxc.mount.entry", "proc dev/.lxc/proc proc create=dir,optional 0 0")?;
        conf.set("lxc.mount.entry", "sys dev/.lxc/sys sysfs create=dir,optional 0 0")?;
    }
    Ok(())
}

/// The same path inside as on the host.
fn bind(conf: &mut Conf, path: &str, options: &str) -> Result<()> {
    conf.set("lxc.mount.entry", format!("{path} {} none {options} 0 0", path.trim_start_matches('/')))
}

fn devices(conf: &mut Conf, spec: &Spec, host: &HostFacts) -> Result<()> {
    // In a user namespace the kernel itself lets nobody make device nodes.
    if !spec.privileged() {
        return Ok(());
    }
    let key =
        |what: &str| format!("lxc.{}.devices.{what}", if host.devices_v1 { "cgroup" } else { "cgroup2" });
    conf.set(&key("deny"), "a")?;
    for device in DEVICES {
        conf.set(&key("allow"), device)?;
    }
    Ok(())
}

fn lxcfs(conf: &mut Conf, host: &HostFacts) -> Result<()> {
    let Some(lxcfs) = &host.lxcfs else { return Ok(()) };
    for file in &host.lxcfs_files {
        let source = mount_field(&lxcfs.join(file).to_string_lossy());
        conf.set("lxc.mount.entry", format!("{source} {file} none bind,optional 0 0"))?;
    }
    Ok(())
}

fn identity(conf: &mut Conf, spec: &Spec) -> Result<()> {
    conf.set("lxc.arch", &spec.personality)?;
    if let Some(hook) = &spec.hook {
        conf.set("lxc.hook.version", "1")?;
        conf.set("lxc.hook.post-stop", hook_line(hook)?)?;
    }
    if let Some(hook) = &spec.mount_hook {
        conf.set("lxc.hook.version", "1")?;
        conf.set("lxc.hook.mount", hook_word(&hook.to_string_lossy())?)?;
    }
    conf.set("lxc.uts.name", &spec.hostname)?;
    if let Some(devlxd) = &spec.devlxd {
        let source = mount_field(&devlxd.to_string_lossy());
        conf.set(
            "lxc.mount.entry",
            format!("{source} dev/lxd none bind,create=dir,ro,nosuid,nodev,noexec 0 0"),
        )?;
    }
    Ok(())
}

fn hook_line(hook: &HookSpec) -> Result<String> {
    let words = [
        hook.helper.to_string_lossy().into_owned(),
        "hook".to_owned(),
        hook.lxd_dir.to_string_lossy().into_owned(),
        hook.project.clone(),
        hook.instance.clone(),
        "stop".to_owned(),
    ];
    let words: Vec<String> = words.iter().map(|word| hook_word(word)).collect::<Result<_>>()?;
    Ok(words.join(" "))
}

fn security(conf: &mut Conf, spec: &Spec) -> Result<()> {
    if let Some(profile) = &spec.apparmor_profile {
        conf.set("lxc.apparmor.profile", profile)?;
    }
    if let Some(profile) = &spec.seccomp_profile {
        conf.set("lxc.seccomp.profile", profile.to_string_lossy())?;
    }
    if let Some((socket, cookie)) = &spec.seccomp_notify {
        conf.set("lxc.seccomp.notify.proxy", format!("unix:{}", socket.to_string_lossy()))?;
        conf.set("lxc.seccomp.notify.cookie", cookie)?;
    }
    for entry in spec.idmap.entries() {
        let kind = if entry.kind == IdKind::Uid { 'u' } else { 'g' };
        conf.set("lxc.idmap", format!("{kind} {} {} {}", entry.inside, entry.host, entry.count))?;
    }
    Ok(())
}

fn limits(conf: &mut Conf, spec: &Spec) -> Result<()> {
    for (name, value) in &spec.environment {
        conf.set("lxc.environment", format!("{name}={value}"))?;
    }
    for item in &spec.cgroup {
        let prefix = if item.version == CgroupVersion::V1 { "cgroup" } else { "cgroup2" };
        conf.set(&format!("lxc.{prefix}.{}", item.file), &item.value)?;
    }
    for (name, value) in &spec.rlimits {
        conf.set(&format!("lxc.prlimit.{name}"), value)?;
    }
    for (name, value) in &spec.sysctls {
        conf.set(&format!("lxc.sysctl.{name}"), value)?;
    }
    if let Some(shmounts) = &spec.shmounts {
        conf.set("lxc.mount.auto", format!("shmounts:{}:/dev/.lxd-mounts", shmounts.to_string_lossy()))?;
    }
    Ok(())
}

fn mount_entry(conf: &mut Conf, mount: &Mount) -> Result<()> {
    let (source, target) = (mount_field(&mount.source), mount_field(mount.target.trim_start_matches('/')));
    let options = mount.options.iter().map(|option| mount_field(option)).collect::<Vec<_>>().join(",");
    conf.set("lxc.mount.entry", format!("{source} {target} {} {options} 0 0", mount_field(&mount.fs_type)))
}

fn network(conf: &mut Conf, index: usize, nic: &Nic) -> Result<()> {
    let mut set = |key: &str, value: &str| conf.set(&format!("lxc.net.{index}.{key}"), value);
    set("type", if nic.pair.is_some() { "veth" } else { "phys" })?;
    if let Some(pair) = &nic.pair {
        set("veth.pair", pair)?;
    }
    set("name", &nic.name)?;
    set("flags", "up")?;
    set("link", &nic.link)?;
    if let Some(hwaddr) = &nic.hwaddr {
        set("hwaddr", hwaddr)?;
    }
    if let Some(mtu) = nic.mtu {
        set("mtu", &mtu.to_string())?;
    }
    for address in &nic.addresses {
        set(if address.contains(':') { "ipv6.address" } else { "ipv4.address" }, address)?;
    }
    for gateway in &nic.gateways {
        set(if gateway.contains(':') { "ipv6.gateway" } else { "ipv4.gateway" }, gateway)?;
    }
    Ok(())
}

fn rootfs(conf: &mut Conf, spec: &Spec) -> Result<()> {
    conf.set("lxc.rootfs.path", format!("dir:{}", spec.rootfs.path.to_string_lossy()))?;
    let mut options = Vec::new();
    if spec.rootfs.idmapped {
        options.push("idmap=container");
    }
    if spec.rootfs.read_only {
        options.push("ro");
    }
    if options.is_empty() { Ok(()) } else { conf.set("lxc.rootfs.options", options.join(",")) }
}

#[cfg(test)]
mod tests;
