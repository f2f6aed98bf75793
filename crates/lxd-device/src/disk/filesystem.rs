//! File systems of block devices, and `raw.mount.options`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use lxd_sys::mount::{self, AccessTimes, Attributes};
use lxd_types::{Error, Result};

/// What `raw.mount.options` says: what holds for every mount, and what only the file system understands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Options {
    pub attributes: Attributes,
    /// Names with their values.
    pub own: Vec<(String, Option<String>)>,
}

impl Options {
    /// Parts a list with commas, as mount(8) has it.
    ///
    /// # Errors
    /// An option that would lead elsewhere, or a name without text.
    pub fn parse(text: &str) -> Result<Self> {
        let mut found = Self::default();
        for option in text.split(',').map(str::trim).filter(|option| !option.is_empty()) {
            let at = &mut found.attributes;
            match option {
                "defaults" | "rw" | "suid" | "dev" | "exec" => {}
                "ro" => at.read_only = true,
                "nosuid" => at.no_suid = true,
                "nodev" => at.no_dev = true,
                "noexec" => at.no_exec = true,
                "noatime" => at.access_times = Some(AccessTimes::Never),
                "relatime" => at.access_times = Some(AccessTimes::Relative),
                "strictatime" => at.access_times = Some(AccessTimes::Strict),
                "nodiratime" => at.no_dir_access_times = true,
                _ => {
                    let (name, value) = match option.split_once('=') {
                        Some((name, value)) => (name, Some(value.to_owned())),
                        None => (option, None),
                    };
                    if name.is_empty() || matches!(name, "source" | "bind" | "rbind" | "remount" | "move") {
                        let text =
                            format!("The mount option {option:?} is not allowed in \"raw.mount.options\"");
                        return Err(Error::bad_request(text));
                    }
                    found.own.push((name.to_owned(), value));
                }
            }
        }
        Ok(found)
    }

    /// Refuses what only a file system that is mounted for this disk could understand.
    ///
    /// # Errors
    /// The first of these.
    pub fn require_general(&self) -> Result<()> {
        match self.own.first() {
            None => Ok(()),
            Some((name, _)) => Err(Error::bad_request(format!(
                "The mount option {name:?} is of a file system: the source must be a block device"
            ))),
        }
    }
}

/// Mounts the file system of a block device, whichever of the kernel's it is; the mount is not yet anywhere.
pub(super) fn mount_device(device: impl AsFd, options: &Options) -> io::Result<OwnedFd> {
    let known = std::fs::read_to_string("/proc/filesystems")?;
    for kind in known.lines().filter_map(|line| line.strip_prefix('\t')) {
        match mount::filesystem(&device, kind, options.attributes.read_only, &options.own) {
            // It is of another kind.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            other => return other,
        }
    }
    Err(io::Error::other("it holds no file system that this kernel and \"raw.mount.options\" fit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_parted() {
        let found = Options::parse("ro, noexec,noatime,compress=zstd,discard,").unwrap();
        assert!(found.attributes.read_only && found.attributes.no_exec && !found.attributes.no_suid);
        assert_eq!(found.attributes.access_times, Some(AccessTimes::Never));
        let own = [("compress".to_owned(), Some("zstd".to_owned())), ("discard".to_owned(), None)];
        assert_eq!(found.own, own);
        assert!(found.require_general().unwrap_err().chain().contains("\"compress\""));
        assert!(Options::parse("nosuid,nodev").unwrap().require_general().is_ok());
        for wrong in ["source=/dev/sda", "bind", "=x", "remount"] {
            assert!(Options::parse(wrong).is_err(), "{wrong}");
        }
    }
}
