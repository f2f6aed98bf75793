//! What can be wrong with an image. Texts are the reference's where it has one.

use std::io;

use lxd_types::Kind;
use lxd_types::error::Classify;

/// An image that cannot be used, or a store that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The first bytes are none of the known formats.
    #[error("Unsupported compression")]
    UnknownFormat,
    /// No `metadata.yaml` among the entries.
    #[error("Metadata tarball is missing metadata.yaml")]
    NoMetadata,
    /// `metadata.yaml` is no YAML, or its fields have wrong types.
    #[error("Could not parse metadata.yaml: {0}")]
    BadMetadata(String),
    /// `metadata.yaml` without `creation_date`.
    #[error("Missing creation date")]
    NoCreationDate,
    /// `metadata.yaml` names no architecture that LXD knows.
    #[error("Architecture isn't supported: {0}")]
    Architecture(String),
    /// Neither `rootfs` nor `rootfs.img` in the image.
    #[error("The image has no rootfs")]
    NoRootfs,
    /// The tar stream breaks its format.
    #[error("Invalid tarball: {0}")]
    BadTar(&'static str),
    /// A limit on foreign input was reached.
    #[error("The image exceeds a limit: {0}")]
    Limit(&'static str),
    /// There is no room for more of it.
    #[error("{0}")]
    NoRoom(String),
    /// The upload ended before anything came.
    #[error("EOF")]
    Empty,
    /// Parts of a form that are no image.
    #[error("Invalid multipart image")]
    BadParts,
    /// The multipart form is not what clients send.
    #[error("Invalid multipart image: {0}")]
    BadForm(&'static str),
    /// The announced fingerprint is another one.
    #[error("fingerprints don't match, got {got} expected {expected}")]
    Fingerprint {
        /// What was computed.
        got: String,
        /// What the client said.
        expected: String,
    },
    /// The image's files are not in the store.
    #[error("The files of image {0} are missing")]
    Missing(String),
    /// The compressed stream is broken.
    #[error("Failed to decompress the image: {0}")]
    Decompress(io::Error),
    /// The host failed.
    #[error("{action}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl ImageError {
    /// An I/O error under what was being done.
    pub(crate) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

impl Classify for ImageError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing(_) => Kind::NotFound,
            Self::Limit(_) | Self::NoRoom(_) => Kind::TooLarge,
            Self::Io { .. } => Kind::Internal,
            Self::UnknownFormat
            | Self::NoMetadata
            | Self::BadMetadata(_)
            | Self::NoCreationDate
            | Self::Architecture(_)
            | Self::NoRootfs
            | Self::BadTar(_)
            | Self::Empty
            | Self::BadParts
            | Self::BadForm(_)
            | Self::Fingerprint { .. }
            | Self::Decompress(_) => Kind::BadRequest,
        }
    }
}
