//! Direct access to what is below: `raw.*` and `nvidia.*`.

use lxd_config::{Blob, Condition, Key, keys};
use lxd_types::{RawIdMap, ValueError};

const LOW_LEVEL: &str = "restricted.containers.lowlevel";
const LOW_LEVEL_VM: &str = "restricted.virtual-machines.lowlevel";

keys! {
    /// `nvidia.*`
    NVIDIA = [
        /// What driver capabilities the instance needs.
        NVIDIA_DRIVER_CAPABILITIES: String = Key::new("nvidia.driver.capabilities")
            .default("compute,utility").only(Condition::Container).since("nvidia_runtime_config"),
        /// Pass the host's NVIDIA and CUDA runtime libraries into the instance.
        NVIDIA_RUNTIME: bool =
            Key::new("nvidia.runtime").default("false").only(Condition::Container).since("nvidia_runtime"),
        /// Version expression for the required CUDA version.
        NVIDIA_REQUIRE_CUDA: String =
            Key::new("nvidia.require.cuda").only(Condition::Container).since("nvidia_runtime_config"),
        /// Version expression for the required driver version.
        NVIDIA_REQUIRE_DRIVER: String =
            Key::new("nvidia.require.driver").only(Condition::Container).since("nvidia_runtime_config"),
    ]
}

keys! {
    /// `raw.*`
    RAW = [
        /// AppArmor profile entries to be appended to the generated profile.
        RAW_APPARMOR: Blob = Key::new("raw.apparmor").live().restricted_by(LOW_LEVEL).not_yet(),
        /// Raw idmap configuration (e.g. "both 1000 1000").
        RAW_IDMAP: RawIdMap =
            Key::new("raw.idmap").only(Condition::UnprivilegedContainer).restricted_by(LOW_LEVEL).since("id_map"),
        /// Raw LXC configuration to be appended to the generated one.
        RAW_LXC: Blob = Key::new("raw.lxc").only(Condition::Container).restricted_by(LOW_LEVEL).check(raw_lxc),
        /// Raw QEMU configuration to be appended to the generated command line.
        RAW_QEMU: Blob =
            Key::new("raw.qemu").only(Condition::VirtualMachine).restricted_by(LOW_LEVEL_VM).not_yet(),
        /// Overrides of the generated QEMU configuration file.
        RAW_QEMU_CONF: Blob =
            Key::new("raw.qemu.conf").only(Condition::VirtualMachine).restricted_by(LOW_LEVEL_VM).not_yet(),
        /// Raw seccomp configuration.
        RAW_SECCOMP: Blob = Key::new("raw.seccomp").only(Condition::Container).restricted_by(LOW_LEVEL),
    ]
}

/// Lines of `key = value`; what the server sets itself and would break without is refused.
fn raw_lxc(text: &str) -> Result<(), ValueError> {
    for (key, line) in text.lines().filter_map(|line| lxc_key(line).transpose().map(|key| (key, line))) {
        let key = key.map_err(|()| ValueError(format!("Invalid raw.lxc line: {line}")))?;
        match key.as_str() {
            "lxc.logfile" | "lxc.log.file" => {
                return Err(ValueError::new("Setting lxc.logfile is not allowed"));
            }
            "lxc.syslog" | "lxc.log.syslog" => {
                return Err(ValueError::new("Setting lxc.log.syslog is not allowed"));
            }
            "lxc.ephemeral" => return Err(ValueError::new("Setting lxc.ephemeral is not allowed")),
            key if key.starts_with("lxc.net.") && !is_address(key) => {
                return Err(ValueError::new("Only interface-specific ipv4/ipv6 lxc.net. keys are allowed"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The key of a line in lower case; none for empty lines and comments.
fn lxc_key(line: &str) -> Result<Option<String>, ()> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (key, _) = line.split_once('=').ok_or(())?;
    Ok(Some(key.trim().to_ascii_lowercase()))
}

/// Whether a key `lxc.net.N.REST` is about addresses.
fn is_address(key: &str) -> bool {
    matches!(key.split('.').nth(3), Some("ipv4" | "ipv6"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_lxc_must_not_touch_what_the_server_owns() {
        let good =
            "lxc.no.such.key = 1\n\n # comment\nlxc.net.0.ipv4.address=1.1.1.1/24\nlxc.mount.entry = a b c";
        assert_eq!(raw_lxc(good), Ok(()));
        for (text, reason) in [
            ("garbage", "Invalid raw.lxc line: garbage"),
            ("LXC.log.file=/x", "Setting lxc.logfile is not allowed"),
            ("lxc.syslog=x", "Setting lxc.log.syslog is not allowed"),
            ("a=b\nlxc.ephemeral = 1", "Setting lxc.ephemeral is not allowed"),
            ("lxc.net.0.type = veth", "Only interface-specific ipv4/ipv6 lxc.net. keys are allowed"),
            ("lxc.net.0.script.up=/x", "Only interface-specific ipv4/ipv6 lxc.net. keys are allowed"),
        ] {
            assert_eq!(raw_lxc(text), Err(ValueError::new(reason)));
        }
    }
}
