//! Wire structs of `image` objects (`rest-api.yaml`).

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `Image` represents a LXD image.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Image {
    /// Whether the image should auto-update when a new build is available.
    pub auto_update: bool,
    /// Descriptive properties.
    pub properties: BTreeMap<String, String>,
    /// Whether the image is available to unauthenticated users.
    pub public: bool,
    /// When the image becomes obsolete.
    pub expires_at: Timestamp,
    /// List of profiles to use when creating from this image (if none provided by user).
    pub profiles: Vec<String>,
    /// List of aliases.
    pub aliases: Vec<ImageAlias>,
    /// Architecture.
    pub architecture: String,
    /// Whether the image is an automatically cached remote image.
    pub cached: bool,
    /// Original filename.
    pub filename: String,
    /// Full SHA-256 fingerprint.
    pub fingerprint: String,
    /// Size of the image in bytes.
    pub size: i64,
    /// update_source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_source: Option<ImageSource>,
    /// Type of image (container or virtual-machine).
    #[serde(rename = "type")]
    pub kind: String,
    /// When the image was originally created.
    pub created_at: Timestamp,
    /// Last time the image was used.
    pub last_used_at: Timestamp,
    /// When the image was added to this LXD server.
    pub uploaded_at: Timestamp,
}

/// `ImageAlias` represents an alias from the alias list of a LXD image.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ImageAlias {
    /// Name of the alias.
    pub name: String,
    /// Description of the alias.
    pub description: String,
}

/// `ImageAliasesEntry` represents a LXD image alias.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ImageAliasesEntry {
    /// Alias description.
    pub description: String,
    /// Target fingerprint for the alias.
    pub target: String,
    /// Alias name.
    pub name: String,
    /// Alias type (container or virtual-machine).
    #[serde(rename = "type")]
    pub kind: String,
}

/// `ImageAliasesEntryPost` represents the required fields to rename a LXD image alias.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ImageAliasesEntryPost {
    /// Alias name.
    pub name: String,
}

/// `ImageAliasesEntryPut` represents the modifiable fields of a LXD image alias.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ImageAliasesEntryPut {
    /// Alias description.
    pub description: String,
    /// Target fingerprint for the alias.
    pub target: String,
}

/// `ImageAliasesPost` represents a new LXD image alias.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ImageAliasesPost {
    /// Alias description.
    pub description: String,
    /// Target fingerprint for the alias.
    pub target: String,
    /// Alias name.
    pub name: String,
    /// Alias type (container or virtual-machine).
    #[serde(rename = "type")]
    pub kind: String,
}

/// `ImageExportPost` represents the fields required to export a LXD image.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ImageExportPost {
    /// List of aliases to set on the image.
    pub aliases: Vec<ImageAlias>,
    /// Remote server certificate.
    pub certificate: String,
    /// Image receive secret.
    pub secret: String,
    /// Target server URL.
    pub target: String,
    /// Project on the target server.
    pub project: String,
    /// List of profiles to use on the target server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
}

/// `ImageMetadata` represents LXD image metadata (used in image tarball).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ImageMetadata {
    /// Architecture name.
    pub architecture: String,
    /// Image creation data (as UNIX epoch).
    pub creation_date: i64,
    /// Image expiry data (as UNIX epoch).
    pub expiry_date: i64,
    /// Descriptive properties.
    pub properties: BTreeMap<String, String>,
    /// Template for files in the image.
    pub templates: BTreeMap<String, ImageMetadataTemplate>,
}

/// `ImageMetadataTemplate` represents a template entry in image metadata (used in image tarball).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ImageMetadataTemplate {
    /// When to trigger the template (create, copy or start).
    pub when: Vec<String>,
    /// Whether to trigger only if the file is missing.
    pub create_only: bool,
    /// The template itself as a valid pongo2 template.
    pub template: String,
    /// Key/value properties to pass to the template.
    pub properties: BTreeMap<String, String>,
}

/// `ImagePut` represents the modifiable fields of a LXD image.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ImagePut {
    /// Whether the image should auto-update when a new build is available.
    pub auto_update: bool,
    /// Descriptive properties.
    pub properties: BTreeMap<String, String>,
    /// Whether the image is available to unauthenticated users.
    pub public: bool,
    /// When the image becomes obsolete.
    pub expires_at: Timestamp,
    /// List of profiles to use when creating from this image (if none provided by user).
    pub profiles: Vec<String>,
}

/// `ImageSource` represents the source of a LXD image.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ImageSource {
    /// Source alias to download from.
    pub alias: String,
    /// Source server certificate (if not trusted by system CA).
    pub certificate: String,
    /// Type of image (container or virtual-machine).
    pub image_type: String,
    /// Source server protocol.
    pub protocol: String,
    /// URL of the source server.
    pub server: String,
}

/// `ImagesPost` represents the fields available for a new LXD image.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ImagesPost {
    /// Whether the image should auto-update when a new build is available.
    pub auto_update: bool,
    /// Descriptive properties.
    pub properties: BTreeMap<String, String>,
    /// Whether the image is available to unauthenticated users.
    pub public: bool,
    /// When the image becomes obsolete.
    pub expires_at: Timestamp,
    /// List of profiles to use when creating from this image (if none provided by user).
    pub profiles: Vec<String>,
    /// Original filename of the image.
    pub filename: String,
    /// source.
    pub source: ImagesPostSource,
    /// Compression algorithm to use when turning an instance into an image.
    pub compression_algorithm: String,
    /// Aliases to add to the image.
    pub aliases: Vec<ImageAlias>,
}

/// `ImagesPostSource` represents the source of a new LXD image.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ImagesPostSource {
    /// Source alias to download from.
    pub alias: String,
    /// Source server certificate (if not trusted by system CA).
    pub certificate: String,
    /// Source image fingerprint (for type "image").
    pub fingerprint: String,
    /// Type of image (container or virtual-machine).
    pub image_type: String,
    /// Transfer mode (push or pull).
    pub mode: String,
    /// Instance name (for type "instance" or "snapshot").
    pub name: String,
    /// Source server protocol.
    pub protocol: String,
    /// Source image server secret token (when downloading private images).
    pub secret: String,
    /// URL of the source server.
    pub server: String,
    /// Type of image source (instance, snapshot, image or url).
    #[serde(rename = "type")]
    pub kind: String,
    /// Source URL (for type "url").
    pub url: String,
    /// Source project name.
    pub project: String,
}
