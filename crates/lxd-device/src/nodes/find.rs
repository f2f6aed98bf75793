//! Which nodes of the host a device means, as the host is now. Reads `/dev`, `/sys` and udev's notes only.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use lxd_types::{ConfigExt, Device, Error, Flag, Result};

/// A node that the instance gets.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Node {
    /// Path inside, absolute.
    pub path: PathBuf,
    /// Whether it is a block device.
    pub block: bool,
    /// Its numbers.
    pub numbers: (u32, u32),
}

/// Where the host shows its devices: a parameter, so that tests bring their own.
#[derive(Clone, Debug)]
pub struct Host {
    /// `/dev`.
    pub dev: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
    /// udev's notes: `/run/udev/data`.
    pub udev: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self { dev: "/dev".into(), sys: "/sys".into(), udev: "/run/udev/data".into() }
    }
}

impl Host {
    /// The node of a `unix-char` or `unix-block` device; none when it is not there and need not be.
    ///
    /// # Errors
    /// It is required and not there, or it is of the other kind.
    pub fn unix(&self, device: &Device, block: bool) -> Result<Vec<Node>> {
        let source = device.set("source").or_else(|| device.set("path")).unwrap_or_default();
        let path = PathBuf::from(device.set("path").unwrap_or(source));
        let number = |key: &str| device.set(key).and_then(|text| text.parse().ok());
        let given: (Option<u32>, Option<u32>) = (number("major"), number("minor"));
        if let (Some(major), Some(minor)) = given {
            return Ok(vec![Node { path, block, numbers: (major, minor) }]);
        }
        let found = source.strip_prefix("/dev/").map(|rest| node_at(&self.dev.join(rest)));
        let (is_block, major, minor) = match found {
            Some(Ok(Some(found))) => found,
            Some(Ok(None)) => {
                return Err(Error::bad_request(format!("Not a device: {source:?} is no device node")));
            }
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::internal(format!("Failed to look at device {source:?}: {error}")));
            }
            _ if !device.flag("required", Flag::DefaultTrue) => return Ok(Vec::new()),
            _ => {
                return Err(Error::bad_request(
                    "The required device path doesn't exist and the major and minor settings are not specified",
                ));
            }
        };
        if is_block != block {
            let wanted = if block { "block" } else { "character" };
            return Err(Error::bad_request(format!("Not a unix {wanted} device: {source:?}")));
        }
        Ok(vec![Node { path, block, numbers: (given.0.unwrap_or(major), given.1.unwrap_or(minor)) }])
    }

    /// The nodes of the USB devices with these ids.
    pub fn usb(&self, device: &Device) -> Vec<Node> {
        let matches = |dir: &Path| {
            same(device, "vendorid", &word(&dir.join("idVendor")))
                && same(device, "productid", &word(&dir.join("idProduct")))
        };
        let found = children(&self.sys.join("bus/usb/devices")).into_iter().filter(|dir| matches(dir));
        let node = |dir: PathBuf| {
            let (bus, number) =
                (word(&dir.join("busnum")).parse::<u32>(), word(&dir.join("devnum")).parse::<u32>());
            let path = format!("/dev/bus/usb/{:03}/{:03}", bus.ok()?, number.ok()?);
            Some(Node { path: path.into(), block: false, numbers: numbers(&word(&dir.join("dev")))? })
        };
        let mut nodes: Vec<Node> = found.filter_map(node).collect();
        nodes.sort();
        nodes
    }

    /// The nodes that udev knows to be of a device with these ids, but for USB devices and PCI devices themselves.
    pub fn by_udev(&self, device: &Device) -> Vec<Node> {
        let mut nodes = Vec::new();
        for file in children(&self.udev) {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            let (block, rest) = match name.split_at_checked(1) {
                Some(("b", rest)) => (true, rest),
                Some(("c", rest)) => (false, rest),
                _ => continue,
            };
            let Some(numbers) = numbers(rest) else { continue };
            let notes = fs::read_to_string(&file).unwrap_or_default();
            let note = |key: &str| {
                let line = notes.lines().find_map(|line| line.strip_prefix("E:")?.strip_prefix(key));
                line.and_then(|line| line.strip_prefix('=')).unwrap_or_default().to_owned()
            };
            if note("ID_VENDOR_ID").is_empty()
                || !same(device, "vendorid", &note("ID_VENDOR_ID"))
                || !same(device, "productid", &note("ID_MODEL_ID"))
            {
                continue;
            }
            let kind = if block { "block" } else { "char" };
            let link = self.sys.join("dev").join(kind).join(format!("{}:{}", numbers.0, numbers.1));
            let event = fs::read_to_string(link.join("uevent")).unwrap_or_default();
            let Some(name) = event.lines().find_map(|line| line.strip_prefix("DEVNAME=")) else { continue };
            nodes.push(Node { path: Path::new("/dev").join(name), block, numbers });
        }
        nodes.sort();
        nodes
    }

    /// The nodes of the graphics cards that the properties choose: all when they choose none.
    pub fn gpu(&self, device: &Device) -> Vec<Node> {
        let chosen = |card: &Path| {
            let (name, hardware) = (file_name(card), card.join("device"));
            let id = |file: &str| word(&hardware.join(file)).trim_start_matches("0x").to_owned();
            let pci = fs::canonicalize(&hardware).map(|path| file_name(&path)).unwrap_or_default();
            let wanted = device.set("pci").is_none_or(|wanted| pci.ends_with(&wanted.to_ascii_lowercase()));
            wanted
                && name.strip_prefix("card").is_some_and(|number| same(device, "id", number))
                && same(device, "vendorid", &id("vendor"))
                && same(device, "productid", &id("device"))
        };
        let is_card = |path: &PathBuf| {
            let name = file_name(path);
            name.strip_prefix("card").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let cards = children(&self.sys.join("class/drm")).into_iter().filter(is_card);
        let mut nodes = Vec::new();
        for card in cards.filter(|card| chosen(card)) {
            // Card, control and render node of one piece of hardware.
            for part in children(&card.join("device/drm")) {
                if let Some(numbers) = numbers(&word(&part.join("dev"))) {
                    let path = Path::new("/dev/dri").join(file_name(&part));
                    nodes.push(Node { path, block: false, numbers });
                }
            }
        }
        nodes.sort();
        nodes
    }
}

/// Kind and numbers of a node; none when it is something else.
fn node_at(path: &Path) -> io::Result<Option<(bool, u32, u32)>> {
    let found = fs::metadata(path)?;
    let kind = found.file_type();
    if !kind.is_block_device() && !kind.is_char_device() {
        return Ok(None);
    }
    let number = found.rdev();
    Ok(Some((kind.is_block_device(), libc::major(number), libc::minor(number))))
}

/// Whether a property is not set or has this value.
fn same(device: &Device, key: &str, value: &str) -> bool {
    device.set(key).is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
}

/// `MAJOR:MINOR`.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The text of a small file without what surrounds it; empty when it cannot be read.
fn word(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn children(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(pairs: &[(&str, &str)]) -> Device {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn fake(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let at = |name: &str| root.path().join(name);
        let host = Host { dev: "/dev".into(), sys: at("sys"), udev: at("udev") };
        (root, host)
    }

    #[test]
    fn a_node_by_its_path() {
        let host = Host::default();
        let found = host.unix(&device(&[("source", "/dev/null"), ("path", "/dev/x")]), false).unwrap();
        assert_eq!(found, [Node { path: "/dev/x".into(), block: false, numbers: (1, 3) }]);
        let text = |pairs: &[(&str, &str)], block| host.unix(&device(pairs), block).unwrap_err().chain();
        assert!(text(&[("source", "/dev/null")], true).contains("Not a unix block device"));
        assert!(
            text(&[("source", "/dev/nosuch")], false).starts_with("The required device path doesn't exist")
        );
        assert!(
            host.unix(&device(&[("source", "/dev/nosuch"), ("required", "false")]), false)
                .unwrap()
                .is_empty()
        );
        let numbered =
            host.unix(&device(&[("path", "/dev/z"), ("major", "1"), ("minor", "5")]), false).unwrap();
        assert_eq!(numbered[0].numbers, (1, 5));
    }

    #[test]
    fn usb_devices_by_their_ids() {
        let (_root, host) = fake(&[
            ("sys/bus/usb/devices/1-1/idVendor", "1d6b\n"),
            ("sys/bus/usb/devices/1-1/idProduct", "0002\n"),
            ("sys/bus/usb/devices/1-1/busnum", "1\n"),
            ("sys/bus/usb/devices/1-1/devnum", "7\n"),
            ("sys/bus/usb/devices/1-1/dev", "189:6\n"),
            ("sys/bus/usb/devices/1-1:1.0/bInterfaceClass", "09\n"),
        ]);
        let wanted = Node { path: "/dev/bus/usb/001/007".into(), block: false, numbers: (189, 6) };
        assert_eq!(host.usb(&device(&[("vendorid", "1d6b")])), [wanted]);
        assert!(host.usb(&device(&[("vendorid", "1d6b"), ("productid", "ffff")])).is_empty());
    }

    #[test]
    fn devices_that_udev_knows() {
        let (_root, host) = fake(&[
            ("udev/c166:0", "E:ID_VENDOR_ID=2341\nE:ID_MODEL_ID=0043\n"),
            ("udev/c1:3", "E:MAJOR=1\n"),
            ("udev/n2", "E:ID_VENDOR_ID=2341\n"),
            ("sys/dev/char/166:0/uevent", "MAJOR=166\nDEVNAME=ttyACM0\n"),
        ]);
        let wanted = Node { path: "/dev/ttyACM0".into(), block: false, numbers: (166, 0) };
        assert_eq!(host.by_udev(&device(&[("vendorid", "2341"), ("productid", "0043")])), [wanted]);
        assert!(host.by_udev(&device(&[("vendorid", "2342")])).is_empty());
    }

    #[test]
    fn graphics_cards_by_what_chooses_them() {
        let (root, host) = fake(&[
            ("sys/devices/pci0/0000:01:00.0/vendor", "0x10de\n"),
            ("sys/devices/pci0/0000:01:00.0/device", "0x1234\n"),
            ("sys/devices/pci0/0000:01:00.0/drm/card0/dev", "226:0\n"),
            ("sys/devices/pci0/0000:01:00.0/drm/renderD128/dev", "226:128\n"),
        ]);
        let card = root.path().join("sys/class/drm/card0");
        fs::create_dir_all(&card).unwrap();
        let hardware = root.path().join("sys/devices/pci0/0000:01:00.0");
        std::os::unix::fs::symlink(hardware, card.join("device")).unwrap();
        let paths = |pairs: &[(&str, &str)]| -> Vec<String> {
            host.gpu(&device(pairs)).iter().map(|node| node.path.display().to_string()).collect()
        };
        let both = ["/dev/dri/card0", "/dev/dri/renderD128"];
        for chosen in
            [&[][..], &[("id", "0")], &[("vendorid", "10de"), ("productid", "1234")], &[("pci", "01:00.0")]]
        {
            assert_eq!(paths(chosen), both, "{chosen:?}");
        }
        assert!(paths(&[("id", "1")]).is_empty() && paths(&[("pci", "02:00.0")]).is_empty());
    }
}
