//! Types `unix-char`, `unix-block`, `unix-hotplug`, `usb` and `gpu` (manual 3.2.2): nodes of the host's `/dev` that an
//! instance gets.
//!
//! For each node one of ours is made below the instance's directory for devices, with the owner and mode that the
//! instance shall see, and shown inside. What is there says what was given: [`NodesDevice::given`].

mod find;
pub mod keys;

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use lxd_config::Table;
use lxd_sys::Dir;
use lxd_types::error::Context as _;
use lxd_types::{ConfigExt, Device, Error, Flag, IdKind, InstanceKind, Result};

use crate::context::{Context, DeviceType, Facts, Level};
use crate::started::{CgroupRule, DeviceNode, MountEntry, MountKind, Propagation, Started, Volatile};
pub use find::{Host, Node};

/// Which of the types.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NodesKind {
    /// `unix-char`.
    UnixChar,
    /// `unix-block`.
    UnixBlock,
    /// `unix-hotplug`.
    UnixHotplug,
    /// `usb`.
    Usb,
    /// `gpu` with `gputype=physical`.
    Gpu,
}

/// A type whose devices are nodes of the host.
#[derive(Clone, Debug)]
pub struct NodesDevice {
    kind: NodesKind,
    host: Host,
}

impl NodesDevice {
    /// The type `kind`, on this host.
    pub fn new(kind: NodesKind) -> Self {
        Self { kind, host: Host::default() }
    }

    /// Whether the nodes may come and go while the instance runs.
    pub fn comes_and_goes(device: &Device) -> bool {
        match device.value("type") {
            "unix-char" | "unix-block" => {
                !device.flag("required", Flag::DefaultTrue) && device.set("major").is_none()
            }
            "unix-hotplug" | "usb" => true,
            _ => false,
        }
    }

    /// The nodes that the device means now.
    ///
    /// # Errors
    /// A required one is not there.
    pub fn wanted(&self, device: &Device) -> Result<Vec<Node>> {
        let (nodes, missing) = match self.kind {
            NodesKind::UnixChar => return self.host.unix(device, false),
            NodesKind::UnixBlock => return self.host.unix(device, true),
            NodesKind::UnixHotplug => (self.host.by_udev(device), "Required Unix Hotplug device not found"),
            NodesKind::Usb => (self.host.usb(device), "Required USB device not found"),
            NodesKind::Gpu => (self.host.gpu(device), "Failed to detect requested GPU device"),
        };
        let required = self.kind == NodesKind::Gpu || device.flag("required", Flag::DefaultFalse);
        if nodes.is_empty() && required {
            return Err(Error::not_found(missing));
        }
        Ok(nodes)
    }

    /// The paths inside of the nodes that were given.
    ///
    /// # Errors
    /// The instance's directory for devices cannot be read.
    pub fn given(context: &Context) -> io::Result<Vec<PathBuf>> {
        let start = beginning(context);
        let names = match Dir::open(&context.devices_dir).and_then(|dir| dir.read_dir(".")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names?,
        };
        let names = names.into_iter().filter_map(|entry| entry.name.to_str().map(str::to_owned));
        Ok(names.filter_map(|name| Some(decode(name.strip_prefix(&start)?))).collect())
    }

    /// The block devices of an instance whose directory for devices this is, by their numbers.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn blocks(devices_dir: &Path) -> io::Result<Vec<u64>> {
        let dir = match Dir::open(devices_dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            dir => dir?,
        };
        let mut found = Vec::new();
        for entry in dir.read_dir(".")? {
            let node = dir.stat(&entry.name)?;
            if node.st_mode & libc::S_IFMT == libc::S_IFBLK {
                found.push(node.st_rdev);
            }
        }
        Ok(found)
    }

    /// Makes our own nodes; what was made stays when one fails.
    fn make(context: &Context, device: &Device, nodes: &[Node]) -> Result<()> {
        let dir = Dir::open(&context.devices_dir).context("Failed to open the directory of devices")?;
        let owner = |kind, key: &str| -> Result<u32> {
            let inside = device.value(key).parse().unwrap_or(0);
            if context.idmap.is_empty() {
                return Ok(inside);
            }
            let mapped = context.idmap.to_host(kind, inside);
            mapped.ok_or_else(|| Error::bad_request(format!("The instance's id map has no {key} {inside}")))
        };
        let (uid, gid) = (owner(IdKind::Uid, "uid")?, owner(IdKind::Gid, "gid")?);
        let mode = device.set("mode").and_then(|mode| u32::from_str_radix(mode, 8).ok()).unwrap_or(0o660);
        for node in nodes {
            let name = file_name(context, &node.path);
            let made = match dir.make_node(&name, node.block, node.numbers) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    dir.remove_file(&name).and_then(|()| dir.make_node(&name, node.block, node.numbers))
                }
                made => made,
            };
            made.and_then(|()| dir.chown(&name, uid, gid))
                .and_then(|()| dir.chmod(&name, mode))
                .context(format!("Failed to make the device node {:?}", node.path))?;
        }
        Ok(())
    }
}

#[async_trait]
impl DeviceType for NodesDevice {
    fn table(&self) -> &'static Table {
        match self.kind {
            NodesKind::UnixChar | NodesKind::UnixBlock => &keys::UNIX,
            NodesKind::UnixHotplug => &keys::UNIX_HOTPLUG,
            NodesKind::Usb => &keys::USB,
            NodesKind::Gpu => &keys::GPU,
        }
    }

    fn supports(&self, kind: InstanceKind) -> bool {
        kind == InstanceKind::Container
    }

    fn validate(&self, device: &Device, _level: Level, _facts: &Facts) -> Result<()> {
        let refuse = |text: &str| Err(Error::bad_request(text));
        match self.kind {
            NodesKind::UnixChar | NodesKind::UnixBlock => place(device),
            NodesKind::UnixHotplug
                if device.set("vendorid").is_none() && device.set("productid").is_none() =>
            {
                refuse("Unix hotplug devices require a vendorid or a productid")
            }
            NodesKind::Gpu if device.set("pci").is_some() => {
                let others = ["id", "vendorid", "productid"];
                match others.iter().find(|key| device.set(key).is_some()) {
                    Some(key) => refuse(&format!("Cannot use {key:?} when \"pci\" is set")),
                    None => Ok(()),
                }
            }
            NodesKind::Gpu if device.set("id").is_some() => {
                match ["vendorid", "productid"].iter().find(|key| device.set(key).is_some()) {
                    Some(key) => refuse(&format!("Cannot use {key:?} when \"id\" is set")),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    async fn start(&self, context: &Context, device: &Device) -> Result<Started> {
        let (this, context, device) = (self.clone(), context.clone(), device.clone());
        blocking(move || {
            let nodes = this.wanted(&device)?;
            if let Err(error) = Self::make(&context, &device, &nodes) {
                forget(&context)?;
                return Err(error);
            }
            Ok(Started {
                mounts: nodes.iter().map(|node| mount(&context, node)).collect(),
                cgroup: nodes.iter().map(rule).collect(),
                ..Started::default()
            })
        })
        .await
    }

    async fn stop(&self, context: &Context, _device: &Device) -> Result<Volatile> {
        let context = context.clone();
        blocking(move || forget(&context)).await?;
        Ok(Volatile::new())
    }

    async fn is_current(&self, context: &Context, device: &Device) -> Result<bool> {
        let (this, context, device) = (self.clone(), context.clone(), device.clone());
        blocking(move || {
            // What is required and gone stays as it is while the instance runs.
            let Ok(wanted) = this.wanted(&device) else { return Ok(true) };
            let given = Self::given(&context).context("Failed to list the nodes of a device")?;
            Ok(wanted.len() == given.len() && wanted.iter().all(|node| given.contains(&node.path)))
        })
        .await
    }

    fn mounted(&self, context: &Context) -> Vec<PathBuf> {
        Self::given(context).unwrap_or_default()
    }
}

/// Rules of the paths of a `unix-char` or `unix-block` device.
fn place(device: &Device) -> Result<()> {
    let (source, path) = (device.set("source"), device.set("path"));
    if source.is_none() && path.is_none() {
        let text = "Unix device entry is missing the required \"source\" or \"path\" property";
        return Err(Error::bad_request(text));
    }
    if let Some(path) = path {
        let plain = path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
        if !path.starts_with('/') || !plain {
            let text = format!("Invalid value for device option \"path\": {path:?} must be an absolute path");
            return Err(Error::bad_request(text));
        }
        let numbered = device.set("major").is_some() && device.set("minor").is_some();
        if source.is_none() && !numbered && !path.starts_with("/dev/") {
            let text =
                "Invalid value for device option \"path\": Path needs to be in /dev unless \"source\" is set";
            return Err(Error::bad_request(text));
        }
    }
    Ok(())
}

fn mount(context: &Context, node: &Node) -> MountEntry {
    MountEntry {
        source: context.devices_dir.join(file_name(context, &node.path)),
        target: node.path.strip_prefix("/").unwrap_or(&node.path).to_owned(),
        kind: MountKind::File,
        readonly: false,
        recursive: false,
        propagation: Propagation::Private,
    }
}

fn rule(node: &Node) -> CgroupRule {
    let (major, minor) = node.numbers;
    CgroupRule::AllowDevice(DeviceNode { block: node.block, major: Some(major), minor: Some(minor) })
}

/// Removes our nodes of a device.
fn forget(context: &Context) -> Result<()> {
    let given = NodesDevice::given(context).context("Failed to list the nodes of a device")?;
    if given.is_empty() {
        return Ok(());
    }
    let dir = Dir::open(&context.devices_dir).context("Failed to open the directory of devices")?;
    for path in given {
        match dir.remove_file(file_name(context, &path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).context(format!("Failed to remove the device node {path:?}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The beginning of the names of a device's nodes.
fn beginning(context: &Context) -> String {
    format!("unix.{}.", encode(context.device.as_str()))
}

fn file_name(context: &Context, path: &Path) -> String {
    beginning(context) + &encode(path.to_string_lossy().trim_start_matches('/'))
}

/// A text as part of a file's name, so that it reads back.
fn encode(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '/' => "-".to_owned(),
            '-' => "%2d".to_owned(),
            '%' => "%25".to_owned(),
            '.' => "%2e".to_owned(),
            other => other.to_string(),
        })
        .collect()
}

fn decode(name: &str) -> PathBuf {
    let plain = name.replace('-', "/").replace("%2d", "-").replace("%2e", ".").replace("%25", "%");
    Path::new("/").join(plain)
}

/// Runs short accesses to files where they may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|panic| Error::internal(panic.to_string()))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use lxd_types::{Config, IdMap};

    fn context(dir: &Path) -> Context {
        Context {
            project: lxd_types::names::ProjectName::default_project(),
            instance: "c1".parse().unwrap(),
            kind: InstanceKind::Container,
            device: "d-1".parse().unwrap(),
            volatile: Volatile::new(),
            devices_dir: dir.to_owned(),
            idmap: IdMap::range(100_000, 65_536).unwrap(),
            config: Config::new(),
            siblings: lxd_types::Devices::new(),
            network: None,
            shares_parent: false,
            starts: false,
            disk_paths: None,
        }
    }

    #[tokio::test]
    async fn nodes_are_made_for_the_instance_and_removed() {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        let temp = tempfile::tempdir().unwrap();
        let context = context(temp.path());
        let device: Device = [
            ("type", "unix-char"),
            ("source", "/dev/zero"),
            ("path", "/dev/my-x%2d.y"),
            ("uid", "5"),
            ("mode", "0600"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
        let kind = NodesDevice::new(NodesKind::UnixChar);
        kind.validate(&device, Level::Instance(InstanceKind::Container), &Facts::default()).unwrap();
        let started = kind.start(&context, &device).await.unwrap();
        let node = std::fs::metadata(&started.mounts[0].source).unwrap();
        assert!(node.file_type().is_char_device() && node.rdev() == libc::makedev(1, 5));
        assert_eq!((node.uid(), node.gid(), node.mode() & 0o7777), (100_005, 100_000, 0o600));
        assert_eq!(started.mounts[0].target, Path::new("dev/my-x%2d.y"));
        assert_eq!(kind.mounted(&context), [PathBuf::from("/dev/my-x%2d.y")]);
        kind.stop(&context, &device).await.unwrap();
        kind.stop(&context, &device).await.unwrap();
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn refusals_are_those_of_the_reference() {
        let text = |pairs: &[(&str, &str)]| {
            place(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
                .map_or_else(|error| error.chain(), |()| "ok".to_owned())
        };
        assert_eq!(text(&[]), "Unix device entry is missing the required \"source\" or \"path\" property");
        assert_eq!(text(&[("source", "/dev/null"), ("path", "/x/y")]), "ok");
        assert!(text(&[("source", "/dev/null"), ("path", "/x/../y")]).contains("absolute path"));
        assert!(text(&[("path", "/etc/x")]).contains("Path needs to be in /dev"));
    }
}
