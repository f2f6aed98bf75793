//! The name of a volume: type, project and name, and what they are called on disk.

use std::fmt;
use std::str::FromStr;

use lxd_types::names::{Fingerprint, InstanceName, ProjectName, SnapshotName, VolumeName};
use lxd_types::{Error, Result};
use serde::{Deserialize, Serialize};

/// The type of a volume (manual 3.2.8; field `type` of the API).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeKind {
    /// Root file system of a container.
    Container,
    /// Root disk of a virtual machine.
    VirtualMachine,
    /// An unpacked image, kept by drivers that can clone.
    Image,
    /// A volume made by a user.
    Custom,
}

impl VolumeKind {
    /// All types, in the order of the directories on disk.
    pub const ALL: [Self; 4] = [Self::Container, Self::VirtualMachine, Self::Image, Self::Custom];

    /// The word of the API: `container`, `virtual-machine`, `image`, `custom`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::VirtualMachine => "virtual-machine",
            Self::Image => "image",
            Self::Custom => "custom",
        }
    }

    /// The number in the database column `storage_volumes.type`.
    pub fn number(self) -> i64 {
        match self {
            Self::Container => 0,
            Self::Image => 1,
            Self::Custom => 2,
            Self::VirtualMachine => 3,
        }
    }

    /// The type with this number in the database.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The directory below the pool that holds volumes of this type.
    pub fn directory(self) -> &'static str {
        match self {
            Self::Container => "containers",
            Self::VirtualMachine => "virtual-machines",
            Self::Image => "images",
            Self::Custom => "custom",
        }
    }
}

impl fmt::Display for VolumeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for VolumeKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| Error::bad_request("Invalid storage volume type name"))
    }
}

/// What a volume holds (manual 3.2.8).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// A file system tree.
    #[default]
    Filesystem,
    /// A disk image, for virtual machines.
    Block,
}

impl Content {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filesystem => "filesystem",
            Self::Block => "block",
        }
    }

    /// The number in the database column `content_type`.
    pub fn number(self) -> i64 {
        match self {
            Self::Filesystem => 0,
            Self::Block => 1,
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Content {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "filesystem" => Ok(Self::Filesystem),
            "block" => Ok(Self::Block),
            _ => Err(Error::bad_request("Invalid volume content type name")),
        }
    }
}

/// Names one volume of a pool. All parts are checked names, so that [`VolumeRef::path`] stays in the pool.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct VolumeRef {
    /// The type.
    pub kind: VolumeKind,
    /// What it holds.
    pub content: Content,
    /// The project that owns it (images: always `default`).
    pub project: ProjectName,
    /// The name as users see it.
    pub name: VolumeName,
}

impl VolumeRef {
    /// The root volume of a container.
    pub fn container(project: &ProjectName, name: &InstanceName) -> Self {
        Self::new(VolumeKind::Container, project.clone(), same_name(name.as_str()))
    }

    /// A custom file system volume.
    pub fn custom(project: &ProjectName, name: &VolumeName) -> Self {
        Self::new(VolumeKind::Custom, project.clone(), name.clone())
    }

    /// The unpacked image of a fingerprint.
    pub fn image(fingerprint: &Fingerprint) -> Self {
        Self::new(VolumeKind::Image, ProjectName::default_project(), same_name(fingerprint.as_str()))
    }

    /// A file system volume of any type.
    pub fn new(kind: VolumeKind, project: ProjectName, name: VolumeName) -> Self {
        Self { kind, content: Content::Filesystem, project, name }
    }

    /// The same volume with other content.
    #[must_use]
    pub fn with_content(mut self, content: Content) -> Self {
        self.content = content;
        self
    }

    /// The same volume under another name.
    #[must_use]
    pub fn renamed(&self, name: &VolumeName) -> Self {
        Self { name: name.clone(), ..self.clone() }
    }

    /// The name on disk: custom volumes carry their project always, instances only outside `default`.
    pub fn storage_name(&self) -> String {
        match self.kind {
            VolumeKind::Image => self.name.to_string(),
            VolumeKind::Custom => format!("{}_{}", self.project, self.name),
            _ => instance_storage_name(&self.project, self.name.as_str()),
        }
    }

    /// The path below the pool, such as `containers/c1`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.kind.directory(), self.storage_name())
    }

    /// The path of the directory of its snapshots below the pool, such as `custom-snapshots/default_v1`.
    pub fn snapshots_path(&self) -> String {
        format!("{}-snapshots/{}", self.kind.directory(), self.storage_name())
    }

    /// One of its snapshots.
    pub fn snapshot(&self, name: &SnapshotName) -> SnapshotRef {
        SnapshotRef { volume: self.clone(), name: name.clone() }
    }

    /// The mode of the volume's directory: only root enters those of instances; custom volumes are bind mounted
    /// into user namespaces and need search permission for all (their parent is 0700).
    pub fn mode(&self) -> u32 {
        match self.kind {
            VolumeKind::Custom => 0o711,
            _ => 0o100,
        }
    }
}

/// Names one snapshot of a volume.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct SnapshotRef {
    /// The volume.
    pub volume: VolumeRef,
    /// The snapshot's own name.
    pub name: SnapshotName,
}

impl SnapshotRef {
    /// The path below the pool, such as `containers-snapshots/c1/snap0`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.volume.snapshots_path(), self.name)
    }
}

impl fmt::Display for SnapshotRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.volume, self.name)
    }
}

/// What a copy is made of.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A volume as it is now.
    Volume(VolumeRef),
    /// A snapshot of a volume.
    Snapshot(SnapshotRef),
}

impl Origin {
    /// The volume, or that of the snapshot.
    pub fn volume(&self) -> &VolumeRef {
        match self {
            Self::Volume(volume) => volume,
            Self::Snapshot(snapshot) => &snapshot.volume,
        }
    }
}

impl From<&VolumeRef> for Origin {
    fn from(volume: &VolumeRef) -> Self {
        Self::Volume(volume.clone())
    }
}

impl From<&SnapshotRef> for Origin {
    fn from(snapshot: &SnapshotRef) -> Self {
        Self::Snapshot(snapshot.clone())
    }
}

impl fmt::Display for VolumeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.storage_name())
    }
}

/// The name of an instance in `storage-pools`, `logs`, `devices` …: `NAME`, or `PROJECT_NAME` outside `default`.
fn instance_storage_name(project: &ProjectName, name: &str) -> String {
    if project.as_str() == "default" { name.to_owned() } else { format!("{project}_{name}") }
}

/// Instance names and fingerprints obey narrower rules than volume names.
fn same_name(name: &str) -> VolumeName {
    name.parse().expect("an instance name or a fingerprint is a valid volume name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_names_are_those_of_the_manual() {
        let default = ProjectName::default_project();
        let other: ProjectName = "proj".parse().unwrap();
        let c1: InstanceName = "c1".parse().unwrap();
        let v1: VolumeName = "v1".parse().unwrap();
        assert_eq!(VolumeRef::container(&default, &c1).path(), "containers/c1");
        assert_eq!(VolumeRef::container(&other, &c1).path(), "containers/proj_c1");
        assert_eq!(VolumeRef::custom(&default, &v1).path(), "custom/default_v1");
        assert_eq!(VolumeRef::custom(&other, &v1).path(), "custom/proj_v1");
        let snapshot = VolumeRef::custom(&other, &v1).snapshot(&"s0".parse().unwrap());
        assert_eq!(snapshot.path(), "custom-snapshots/proj_v1/s0");
        let image: Fingerprint = "ab".repeat(32).parse().unwrap();
        assert_eq!(VolumeRef::image(&image).path(), format!("images/{image}"));
    }

    #[test]
    fn words_and_numbers_round_trip() {
        for kind in VolumeKind::ALL {
            assert_eq!(kind.as_str().parse::<VolumeKind>().unwrap(), kind);
            assert_eq!(VolumeKind::from_number(kind.number()), Some(kind));
        }
        assert!("nosuch".parse::<VolumeKind>().is_err());
        assert!("foo".parse::<Content>().is_err());
    }
}
