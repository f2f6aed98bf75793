//! Reading of small files and links.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::ids::Ids;

/// The host to look at.
pub struct Host {
    root: PathBuf,
    pci_ids: OnceCell<Ids>,
    usb_ids: OnceCell<Ids>,
}

impl Host {
    /// The host whose `/sys` and `/proc` are below a directory.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), pci_ids: OnceCell::new(), usb_ids: OnceCell::new() }
    }

    /// True when it is the machine that runs us: drivers can be asked.
    pub fn is_running(&self) -> bool {
        self.root == Path::new("/")
    }

    /// A path below `/sys`.
    pub fn sys(&self, path: &str) -> PathBuf {
        self.root.join("sys").join(path)
    }

    /// A path below `/`.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Names of vendors and products on PCI.
    pub fn pci_ids(&self) -> &Ids {
        self.pci_ids.get_or_init(|| Ids::load(&self.root, "pci.ids"))
    }

    /// Names of vendors and products on USB.
    pub fn usb_ids(&self) -> &Ids {
        self.usb_ids.get_or_init(|| Ids::load(&self.root, "usb.ids"))
    }

    /// The kernel's release.
    pub fn release(&self) -> String {
        text(&self.path("proc/sys/kernel/osrelease"))
    }

    /// Name and version of a device's driver; a driver of the kernel itself has the kernel's version.
    pub fn driver(&self, device: &Path) -> (String, String) {
        let name = link_name(&device.join("driver"));
        if name.is_empty() {
            return (name, String::new());
        }
        let version = text(&device.join("driver/module/version"));
        let version = if version.is_empty() { self.release() } else { version };
        (name, version)
    }
}

/// The content of a file without blanks at its ends; empty when it cannot be read.
pub fn text(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().trim_end_matches('\0').to_owned()
}

/// A file that holds a number.
pub fn number<T: FromStr>(path: &Path) -> Option<T> {
    text(path).parse().ok()
}

/// A file that holds a hexadecimal number with `0x`; the digits alone.
pub fn hex(path: &Path) -> String {
    let text = text(path);
    text.strip_prefix("0x").unwrap_or(&text).to_owned()
}

/// A size as the kernel writes it: `48K`, `1M`; in bytes.
pub fn size(text: &str) -> u64 {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<u64>().unwrap_or(0).saturating_mul(factor)
}

/// The last part of what a link points at; empty when it is none.
pub fn link_name(path: &Path) -> String {
    let target = fs::read_link(path).unwrap_or_default();
    target.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The names in a directory, sorted; none when it cannot be read.
pub fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Where a device hangs: its PCI address, and its USB address as `bus:device`.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Place {
    /// `0000:00:03.0`
    pub pci: String,
    /// `1:4`
    pub usb: String,
    /// The NUMA node; 0 where there is none.
    pub numa: u64,
}

/// Looks upwards from a device for the nearest PCI and USB devices.
pub fn place(device: &Path) -> Place {
    let mut found = Place::default();
    let mut numa = None;
    let Ok(real) = fs::canonicalize(device) else { return found };
    for part in real.ancestors() {
        let name = part.file_name().unwrap_or_default().to_string_lossy();
        if found.usb.is_empty() && part.join("busnum").exists() && part.join("devnum").exists() {
            found.usb = format!("{}:{}", text(&part.join("busnum")), text(&part.join("devnum")));
        }
        numa = numa.or_else(|| number::<i64>(&part.join("numa_node")));
        if is_pci_address(&name) {
            found.pci = name.into_owned();
            break;
        }
    }
    found.numa = u64::try_from(numa.unwrap_or(0)).unwrap_or(0);
    found
}

/// True for `0000:00:03.0`.
fn is_pci_address(name: &str) -> bool {
    let hex = |text: &str, digits: usize| text.len() >= digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    let mut parts = name.split(':');
    let (domain, bus, rest) = (parts.next(), parts.next(), parts.next());
    let (Some(domain), Some(bus), Some((slot, function)), None) =
        (domain, bus, rest.and_then(|rest| rest.split_once('.')), parts.next())
    else {
        return false;
    };
    hex(domain, 4) && hex(bus, 2) && hex(slot, 2) && hex(function, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_the_kernel_writes_is_read(any: String, near in "[0-9]{1,20}[KMG]", kilobytes in 0u64..1 << 40) {
            let _ = (size(&any), size(&near), is_pci_address(&any));
            prop_assert_eq!(size(&format!("{kilobytes}K")), kilobytes << 10);
        }
    }
}
