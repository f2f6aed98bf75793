//! File formats of images, known by their first bytes.

use std::io::{self, Read, Seek, SeekFrom};

/// Where the magic of a tar archive stands.
const TAR_MAGIC_AT: usize = 257;

/// Bytes that [`Format::detect`] wants to see.
pub(crate) const HEAD: usize = 512;

/// The format of an image file.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Format {
    /// A plain tar archive.
    Tar,
    /// gzip.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// The older lzma container.
    Lzma,
    /// zstd.
    Zstd,
    /// A squashfs file system.
    Squashfs,
    /// A disk image of QEMU.
    Qcow2,
}

impl Format {
    /// The format of a file that begins with these bytes (at least the first 512, or all there are).
    pub fn detect(head: &[u8]) -> Option<Self> {
        const MAGIC: [(&[u8], Format); 7] = [
            (b"\x1f\x8b", Format::Gzip),
            (b"BZh", Format::Bzip2),
            (b"\xfd7zXZ\0", Format::Xz),
            (b"\x5d\0\0", Format::Lzma),
            (b"\x28\xb5\x2f\xfd", Format::Zstd),
            (b"hsqs", Format::Squashfs),
            (b"QFI\xfb", Format::Qcow2),
        ];
        for (magic, format) in MAGIC {
            if head.starts_with(magic) {
                return Some(format);
            }
        }
        let tar = head.get(TAR_MAGIC_AT..TAR_MAGIC_AT + 5) == Some(b"ustar");
        tar.then_some(Self::Tar)
    }

    /// The format of an open file, whose position is at the start before and after.
    ///
    /// # Errors
    /// As reading.
    pub fn of_file(file: &mut (impl Read + Seek)) -> io::Result<Option<Self>> {
        let mut head = Vec::with_capacity(HEAD);
        file.seek(SeekFrom::Start(0))?;
        file.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self::detect(&head))
    }

    /// The ending of file names in exports, with the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Tar => ".tar",
            Self::Gzip => ".tar.gz",
            Self::Bzip2 => ".tar.bz2",
            Self::Xz => ".tar.xz",
            Self::Lzma => ".tar.lzma",
            Self::Zstd => ".tar.zst",
            Self::Squashfs => ".squashfs",
            Self::Qcow2 => ".qcow2",
        }
    }

    /// Whether the content is a tar stream.
    pub fn is_tar(self) -> bool {
        !matches!(self, Self::Squashfs | Self::Qcow2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_decides() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(Format::detect(&tar), Some(Format::Tar));
        assert_eq!(Format::detect(b"\x1f\x8b\x08\0"), Some(Format::Gzip));
        assert_eq!(Format::detect(b"hsqs"), Some(Format::Squashfs));
        assert_eq!(Format::detect(b"garbage\n"), None);
        assert_eq!(Format::detect(b""), None);
    }
}
