//! How the properties of a disk go together. Pure.

use std::path::PathBuf;

use lxd_types::names::{PoolName, VolumeName};
use lxd_types::{ConfigExt, Device, DeviceExt, Error, Flag, InstanceKind, Result};

use super::filesystem::Options;
use crate::context::Level;

/// Where the content of a disk comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DiskSource {
    /// The instance's own volume.
    Root,
    /// A file or directory of the host.
    Host(PathBuf),
    /// A custom volume.
    Volume {
        /// Its pool.
        pool: PoolName,
        /// Its name.
        volume: VolumeName,
    },
    /// What later versions will know.
    Later(String),
}

impl DiskSource {
    /// The source that the properties name.
    ///
    /// # Errors
    /// Names that no pool or volume can have.
    pub fn of(device: &Device) -> Result<Self> {
        let source = device.value("source");
        if device.is_root_disk() {
            return Ok(Self::Root);
        }
        if is_special(source) {
            return Ok(Self::Later(format!("source={source}")));
        }
        let Some(pool) = device.set("pool") else { return Ok(Self::Host(source.into())) };
        // "custom/v" is an old way to write "v".
        let volume = source.strip_prefix("custom/").unwrap_or(source);
        Ok(Self::Volume { pool: pool.parse()?, volume: volume.parse()? })
    }
}

fn is_special(source: &str) -> bool {
    is_ceph(source) || source == "cloud-init:config"
}

fn is_ceph(source: &str) -> bool {
    source.starts_with("ceph:") || source.starts_with("cephfs:")
}

/// Checks a disk.
///
/// # Errors
/// The first rule that is broken, in the words of the reference.
pub(super) fn validate(device: &Device, level: Level) -> Result<()> {
    let refuse = |text: &str| Err(Error::bad_request(text));
    let (path, source) = (device.value("path"), device.value("source"));
    let ceph_option = |key| device.set(key).is_some() && !is_ceph(source);
    if ceph_option("ceph.cluster_name") || ceph_option("ceph.user_name") {
        return refuse(&format!("Invalid options ceph.cluster_name/ceph.user_name for source {source:?}"));
    }
    if source.is_empty() && path != "/" || lacks_path(device, level) {
        return refuse("Disk entry is missing the required \"source\" or \"path\" property");
    }
    if path == "/" && !source.is_empty() {
        return refuse("Root disk entry may not have a \"source\" property set");
    }
    if path == "/" && device.set("pool").is_none() {
        return refuse("Root disk entry must have a \"pool\" property set");
    }
    if device.set("size").is_some() && path != "/" {
        return refuse("Only the root disk may have a size quota");
    }
    if device.set("size.state").is_some() && path != "/" {
        return refuse("Only the root disk may have a migration size quota");
    }
    check_combinations(device)?;
    Options::parse(device.value("raw.mount.options"))?;
    if device.set("pool").is_none() && !source.is_empty() && !source.starts_with('/') && !is_special(source) {
        return refuse("Source path must be absolute for local sources");
    }
    if let (Level::Instance(_), DiskSource::Later(what)) = (level, DiskSource::of(device)?) {
        return refuse(&format!("not supported yet: {what}"));
    }
    Ok(())
}

/// A container shows a disk at a path; a virtual machine gets it as a disk, so profiles may leave the path out.
fn lacks_path(device: &Device, level: Level) -> bool {
    level == Level::Instance(InstanceKind::Container) && device.set("path").is_none()
}

fn check_combinations(device: &Device) -> Result<()> {
    let refuse = |text: &str| Err(Error::bad_request(text));
    let on = |key| device.flag(key, Flag::DefaultFalse);
    let pool = device.set("pool").is_some();
    if on("recursive") && on("readonly") {
        return refuse("Recursive read-only bind-mounts aren't currently supported by the kernel");
    }
    if pool && on("recursive") {
        return refuse("The recursive option is only supported for additional bind-mounted paths");
    }
    if pool && on("shift") {
        return refuse(
            "The \"shift\" property cannot be used with custom storage volumes (set \"security.shifted=true\" on the \
             volume instead)",
        );
    }
    if pool && device.value("source").starts_with('/') {
        return refuse("Storage volumes cannot be specified as absolute paths");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTAINER: Level = Level::Instance(InstanceKind::Container);

    fn disk(properties: &[(&str, &str)]) -> Device {
        properties
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .chain([("type".into(), "disk".into())])
            .collect()
    }

    fn text(properties: &[(&str, &str)], level: Level) -> String {
        validate(&disk(properties), level).unwrap_err().chain()
    }

    #[test]
    fn refusals_are_those_of_servers() {
        let missing = "Disk entry is missing the required \"source\" or \"path\" property";
        assert_eq!(text(&[], Level::Profile), missing);
        assert_eq!(text(&[("path", "/mnt"), ("source", "")], CONTAINER), missing);
        assert_eq!(text(&[("path", "//"), ("pool", "default")], CONTAINER), missing);
        assert_eq!(text(&[("source", "/tmp")], CONTAINER), missing);
        let root = "Root disk entry must have a \"pool\" property set";
        assert_eq!(text(&[("path", "/")], Level::Profile), root);
        let both = [("path", "/"), ("pool", "p"), ("source", "/tmp")];
        assert_eq!(text(&both, CONTAINER), "Root disk entry may not have a \"source\" property set");
        let local = "Source path must be absolute for local sources";
        for source in ["relative", "tmpfs:", "nosuch:"] {
            assert_eq!(text(&[("path", "/mnt"), ("source", source)], CONTAINER), local);
        }
        assert_eq!(
            text(&[("path", "/mnt"), ("source", "/tmp"), ("size", "1MB")], CONTAINER),
            "Only the root disk may have a size quota"
        );
        assert_eq!(
            text(&[("path", "/mnt"), ("source", "/tmp"), ("pool", "p")], CONTAINER),
            "Storage volumes cannot be specified as absolute paths"
        );
        assert_eq!(
            text(&[("path", "/mnt"), ("source", "/tmp"), ("ceph.user_name", "x")], CONTAINER),
            "Invalid options ceph.cluster_name/ceph.user_name for source \"/tmp\""
        );
        assert_eq!(
            text(&[("path", "/mnt"), ("source", "ceph:a/b")], CONTAINER),
            "not supported yet: source=ceph:a/b"
        );
    }

    #[test]
    fn sources_are_told_apart() {
        assert_eq!(DiskSource::of(&disk(&[("path", "/"), ("pool", "p")])).unwrap(), DiskSource::Root);
        let volume = DiskSource::Volume { pool: "p".parse().unwrap(), volume: "v".parse().unwrap() };
        assert_eq!(DiskSource::of(&disk(&[("pool", "p"), ("source", "v")])).unwrap(), volume);
        assert_eq!(DiskSource::of(&disk(&[("pool", "p"), ("source", "custom/v")])).unwrap(), volume);
        assert!(DiskSource::of(&disk(&[("pool", "p"), ("source", "../v")])).is_err());
        let host = DiskSource::Host("/tmp".into());
        assert_eq!(DiskSource::of(&disk(&[("path", "/mnt"), ("source", "/tmp")])).unwrap(), host);
        assert!(validate(&disk(&[("source", "cloud-init:config")]), Level::Profile).is_ok());
    }
}
