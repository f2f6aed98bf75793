//! Resources: `limits.*` and `linux.*`.

use lxd_config::{Condition, Key, keys};
use lxd_types::{ByteSize, CpuAllowance, CpuLimit, MemoryLimit, ValueError};

const LOW_LEVEL: &str = "restricted.containers.lowlevel";

keys! {
    /// `limits.*`
    LIMITS = [
        /// Number or range of CPUs to expose to the instance (1 CPU for virtual machines when not set).
        LIMITS_CPU: CpuLimit = Key::new("limits.cpu").live().safe(),
        /// How much of the CPU can be used: a percentage (e.g. 50%) for a soft limit, or a chunk of time (25ms/100ms)
        /// for a hard one.
        LIMITS_CPU_ALLOWANCE: CpuAllowance =
            Key::new("limits.cpu.allowance").default("100%").live().only(Condition::Container).safe(),
        /// CPU scheduling priority compared to other instances that share the same CPUs (0 to 10).
        LIMITS_CPU_PRIORITY: u8 =
            Key::new("limits.cpu.priority").default("10").live().only(Condition::Container).safe(),
        /// How much priority to give to the instance's I/O requests when under load (0 to 10).
        LIMITS_DISK_PRIORITY: u8 = Key::new("limits.disk.priority").default("5").live().safe(),
        /// Limit of 64 KB huge pages, in bytes (various suffixes supported).
        LIMITS_HUGEPAGES_64KB: ByteSize = hugepages("limits.hugepages.64KB"),
        /// Limit of 1 MB huge pages, in bytes (various suffixes supported).
        LIMITS_HUGEPAGES_1MB: ByteSize = hugepages("limits.hugepages.1MB"),
        /// Limit of 2 MB huge pages, in bytes (various suffixes supported).
        LIMITS_HUGEPAGES_2MB: ByteSize = hugepages("limits.hugepages.2MB"),
        /// Limit of 1 GB huge pages, in bytes (various suffixes supported).
        LIMITS_HUGEPAGES_1GB: ByteSize = hugepages("limits.hugepages.1GB"),
        /// Limits kernel resources of the instance (e.g. nofile for the number of open files).
        LIMITS_KERNEL: String = Key::new("limits.kernel.*")
            .only(Condition::Container).restricted_by(LOW_LEVEL).since("kernel_limits").check(kernel_limit),
        /// Percentage of the host's memory or fixed value in bytes (1GiB for virtual machines when not set).
        LIMITS_MEMORY: MemoryLimit = Key::new("limits.memory").live().safe(),
        /// If hard, the instance cannot exceed its memory limit; if soft, it can when extra memory is available.
        LIMITS_MEMORY_ENFORCE: String = Key::new("limits.memory.enforce")
            .default("hard").one_of(&["soft", "hard"]).live().only(Condition::Container).safe(),
        /// Whether to back the instance by huge pages rather than by regular memory.
        LIMITS_MEMORY_HUGEPAGES: bool = Key::new("limits.memory.hugepages")
            .default("false").only(Condition::VirtualMachine).safe().not_yet(),
        /// Whether to encourage or discourage swapping of less used pages of this instance.
        LIMITS_MEMORY_SWAP: bool =
            Key::new("limits.memory.swap").default("true").live().only(Condition::Container).safe(),
        /// The higher this is, the least likely the instance is swapped to disk (0 to 10).
        LIMITS_MEMORY_SWAP_PRIORITY: u8 =
            Key::new("limits.memory.swap.priority").default("10").live().only(Condition::Container).safe(),
        /// How much priority to give to the instance's network requests when under load (0 to 10).
        LIMITS_NETWORK_PRIORITY: u8 = Key::new("limits.network.priority").default("0").live().safe().not_yet(),
        /// Maximum number of processes that can run in the instance.
        LIMITS_PROCESSES: i64 = Key::new("limits.processes").live().only(Condition::Container).safe(),
    ]
}

keys! {
    /// `linux.*`
    LINUX = [
        /// Comma-separated list of kernel modules to load before the instance starts.
        LINUX_KERNEL_MODULES: String =
            Key::new("linux.kernel_modules").live().only(Condition::Container).restricted_by(LOW_LEVEL).check(modules),
    ]
}

/// Names of kernel modules, with commas between; they become arguments of a program.
fn modules(value: &str) -> Result<(), ValueError> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with('-')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    match value.split(',').map(str::trim).find(|name| !is_name(name)) {
        Some(name) if !value.is_empty() => Err(ValueError(format!("Invalid kernel module name {name:?}"))),
        _ => Ok(()),
    }
}

const fn hugepages(name: &'static str) -> Key<ByteSize> {
    Key::new(name).live().only(Condition::Container).safe().since("limits_hugepages")
}

/// A number or `unlimited`; or two of them, soft and hard limit, with a colon between.
fn kernel_limit(value: &str) -> Result<(), ValueError> {
    let is_limit = |part: &str| {
        part == "unlimited" || (part.bytes().all(|b| b.is_ascii_digit()) && part.parse::<u64>().is_ok())
    };
    let (soft, hard) = value.split_once(':').unwrap_or((value, value));
    if value.is_empty() || (is_limit(soft) && is_limit(hard)) {
        return Ok(());
    }
    Err(ValueError(format!("Invalid kernel limit {value:?}: wanted is a number, unlimited, or SOFT:HARD")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_limits() {
        for good in ["", "0", "4096", "unlimited", "100:200", "100:unlimited"] {
            assert!(kernel_limit(good).is_ok(), "{good}");
        }
        for bad in ["x", "-1", "+1", "1:", ":1", "1:2:3", "1 ", "1\n2", "99999999999999999999"] {
            assert!(kernel_limit(bad).is_err(), "{bad}");
        }
    }
}
