//! Looking into an image file: its `metadata.yaml`, and whether it is for containers or virtual machines.

use std::fs::File;
use std::io::{Read, Seek};

use crate::error::ImageError;
use crate::format::Format;
use crate::metadata::{METADATA_LIMIT, Metadata};
use crate::reader::decoder;
use crate::tar;

/// Bytes of unpacked archive that are read to find `metadata.yaml`; builders put it first or last.
const LOOK_LIMIT: u64 = 64 << 30;

/// What an image is for (field `type` of the API).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ImageKind {
    /// A root file system.
    Container,
    /// A disk image.
    VirtualMachine,
}

impl ImageKind {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::VirtualMachine => "virtual-machine",
        }
    }
}

/// What was found in an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspected {
    /// The parsed `metadata.yaml`, with an architecture and a creation date.
    pub metadata: Metadata,
    /// What it is for.
    pub kind: ImageKind,
}

/// Looks into a unified image.
///
/// # Errors
/// The format is unknown, `metadata.yaml` is missing or wrong.
pub fn inspect(file: &mut File) -> Result<Inspected, ImageError> {
    let seen = look(file, true)?;
    Ok(Inspected { metadata: check(seen.metadata)?, kind: seen.kind.ok_or(ImageError::NoRootfs)? })
}

/// Looks into the two files of a split image.
///
/// # Errors
/// As [`inspect`]; the root file system must be a tarball or squashfs (containers) or qcow2 (virtual machines).
pub fn inspect_split(meta: &mut File, rootfs: &mut File) -> Result<Inspected, ImageError> {
    let metadata = check(look(meta, false)?.metadata)?;
    let kind = match Format::of_file(rootfs).map_err(ImageError::io("Failed to read the image"))? {
        Some(Format::Qcow2) => ImageKind::VirtualMachine,
        Some(_) => ImageKind::Container,
        None => return Err(ImageError::UnknownFormat),
    };
    Ok(Inspected { metadata, kind })
}

#[derive(Default)]
struct Seen {
    metadata: Option<Metadata>,
    kind: Option<ImageKind>,
}

/// Reads entries until all that is wanted was seen.
fn look(file: &mut (impl Read + Seek + Send), want_rootfs: bool) -> Result<Seen, ImageError> {
    let format = Format::of_file(file).map_err(ImageError::io("Failed to read the image"))?;
    let format = format.filter(|format| format.is_tar()).ok_or(ImageError::UnknownFormat)?;
    let stream = decoder(format, file).map_err(ImageError::Decompress)?;
    let mut archive = tar::Reader::new(stream.take(LOOK_LIMIT));
    let mut seen = Seen::default();
    while let Some(entry) = archive.next()? {
        match &*entry.name {
            b"metadata.yaml" if entry.is_file() && seen.metadata.is_none() => {
                seen.metadata = Some(Metadata::parse(&archive.content(METADATA_LIMIT)?)?);
            }
            // Anything but a file is refused: a link here would lead out of the image (A11).
            b"metadata.yaml" => return Err(ImageError::NoMetadata),
            b"rootfs.img" if entry.is_file() => seen.kind = Some(ImageKind::VirtualMachine),
            name if seen.kind.is_none() && in_rootfs(name) => {
                if entry.name == b"rootfs" && entry.kind != b'5' {
                    return Err(ImageError::NoRootfs);
                }
                seen.kind = Some(ImageKind::Container);
            }
            _ => {}
        }
        if seen.metadata.is_some() && (seen.kind.is_some() || !want_rootfs) {
            break;
        }
    }
    Ok(seen)
}

fn in_rootfs(name: &[u8]) -> bool {
    name == b"rootfs" || name.starts_with(b"rootfs/")
}

fn check(metadata: Option<Metadata>) -> Result<Metadata, ImageError> {
    let metadata = metadata.ok_or(ImageError::NoMetadata)?;
    if lxd_types::arch::Architecture::from_alias(&metadata.architecture).is_none() {
        return Err(ImageError::Architecture(metadata.architecture));
    }
    if metadata.creation_date == 0 {
        return Err(ImageError::NoCreationDate);
    }
    Ok(metadata)
}

/// One regular file of an archive, however it is compressed; nothing when it is not there.
///
/// # Errors
/// The format is unknown, the archive is damaged, the file is larger than `limit`.
pub fn read_member(file: &mut File, name: &str, limit: u64) -> Result<Option<Vec<u8>>, ImageError> {
    let format = Format::of_file(file).map_err(ImageError::io("Failed to read the archive"))?;
    let format = format.filter(|format| format.is_tar()).ok_or(ImageError::UnknownFormat)?;
    file.rewind().map_err(ImageError::io("Failed to read the archive"))?;
    let input = decoder(format, file).map_err(ImageError::io("Failed to read the archive"))?;
    let mut reader = tar::Reader::new(input.take(LOOK_LIMIT));
    while let Some(entry) = reader.next()? {
        if entry.is_file() && entry.name == name.as_bytes() {
            return reader.content(limit).map(Some);
        }
    }
    Ok(None)
}
