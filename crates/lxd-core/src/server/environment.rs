//! What a server says of its host: found once, at the start, and never again.

use std::collections::BTreeMap;
use std::path::Path;

use liblxc::Lxc;
use lxd_types::Architecture;

use super::features;
use crate::switches::Switches;

/// Facts about the host that do not change while the daemon runs.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Architectures that instances may have.
    pub architectures: Vec<String>,
    /// Version of liblxc; empty when there is none.
    pub lxc_version: String,
    /// `Linux`.
    pub kernel: String,
    /// As `uname -m` says it.
    pub kernel_architecture: String,
    /// As `uname -r` says it.
    pub kernel_version: String,
    /// What the kernel can do.
    pub kernel_features: BTreeMap<String, String>,
    /// What liblxc can do.
    pub lxc_features: BTreeMap<String, String>,
    /// Name of the distribution.
    pub os_name: String,
    /// Its version.
    pub os_version: String,
    /// Name of the host.
    pub host_name: String,
}

impl Facts {
    /// Finds them. Blocks; `dir` is the data directory.
    pub fn find(dir: &Path, switches: &Switches) -> Self {
        let uname = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let release = text(uname.release());
        let lxc = Lxc::open().ok();
        let os = os_release();
        Self {
            architectures: architectures(),
            lxc_version: lxc.map(Lxc::version).unwrap_or_default(),
            kernel: text(uname.sysname()),
            kernel_architecture: text(uname.machine()),
            kernel_features: features::kernel(dir, &release, switches),
            kernel_version: release,
            lxc_features: lxc.map(features::lxc).unwrap_or_default(),
            os_name: os.get("NAME").cloned().unwrap_or_default(),
            os_version: os.get("VERSION_ID").cloned().unwrap_or_default(),
            host_name: text(uname.nodename()),
        }
    }
}

fn architectures() -> Vec<String> {
    let Some(native) = Architecture::native() else { return Vec::new() };
    let all = std::iter::once(native).chain(native.personalities().iter().copied());
    all.map(|architecture| architecture.name().to_owned()).collect()
}

/// The values of `/etc/os-release`, without their quotes.
fn os_release() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string("/etc/os-release")
        .or_else(|_| std::fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.trim_matches(['"', '\'']).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_facts() {
        let facts = Facts::find(&std::env::temp_dir(), &Switches::default());
        assert_eq!(facts.kernel, "Linux");
        assert!(!facts.kernel_version.is_empty() && !facts.host_name.is_empty());
        assert_eq!(facts.kernel_features.len(), 7);
    }
}
