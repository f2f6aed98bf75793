//! What the administrator of the host switches off by environment variables (manual 3.6.6), read once at the start.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lxd_types::words;

/// The switches. [`Default`] is a host where nothing is switched off.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Switches {
    /// AppArmor counts as missing (`LXD_SECURITY_APPARMOR=false`, or `off`).
    pub no_apparmor: bool,
    /// Mounts do not shift ids (`LXD_IDMAPPED_MOUNTS_DISABLE`, any value).
    pub no_idmapped_mounts: bool,
    /// Device nodes that come and go are noticed below this directory only (`LXD_DEVMONITOR_DIR`).
    pub device_directory: Option<PathBuf>,
    /// Firmware of virtual machines was named (`LXD_OVMF_PATH`), of which there are none yet.
    pub names_firmware: bool,
}

impl Switches {
    /// What a variable says is asked of `variable`.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let is_false = |value: OsString| value.to_str().is_some_and(words::is_false);
        Self {
            no_apparmor: set("LXD_SECURITY_APPARMOR").is_some_and(is_false),
            no_idmapped_mounts: set("LXD_IDMAPPED_MOUNTS_DISABLE").is_some(),
            device_directory: set("LXD_DEVMONITOR_DIR").map(PathBuf::from),
            names_firmware: set("LXD_OVMF_PATH").is_some(),
        }
    }

    /// Whether nodes that come and go in this directory are noticed.
    pub fn watches(&self, directory: &Path) -> bool {
        self.device_directory.as_ref().is_none_or(|only| directory.starts_with(only))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &'static str) -> Switches {
        Switches::read(|wanted| (wanted == name).then(|| value.into()))
    }

    #[test]
    fn the_printed_and_the_real_spellings_count() {
        assert_eq!(Switches::read(|_| None), Switches::default());
        assert_eq!(Switches::read(|_| Some(OsString::new())), Switches::default());
        assert!(with("LXD_SECURITY_APPARMOR", "false").no_apparmor);
        assert!(with("LXD_SECURITY_APPARMOR", "off").no_apparmor);
        assert!(!with("LXD_SECURITY_APPARMOR", "true").no_apparmor);
        assert!(with("LXD_IDMAPPED_MOUNTS_DISABLE", "1").no_idmapped_mounts);
        let one = with("LXD_DEVMONITOR_DIR", "/x");
        assert!(one.watches(Path::new("/x/y")) && !one.watches(Path::new("/dev")));
        assert!(Switches::default().watches(Path::new("/dev")));
        assert!(with("LXD_OVMF_PATH", "/y").names_firmware);
    }
}
