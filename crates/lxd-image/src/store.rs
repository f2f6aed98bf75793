//! The directory of image files.

use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lxd_sys::Dir;
use lxd_types::names::Fingerprint;

use crate::error::ImageError;
use crate::occupancy::Occupancy;

/// Names of files that are being received begin so.
const INCOMING: &str = ".incoming-";

/// `LXD_DIR/images`: a directory, or a symbolic link to a volume. It is opened for each use: where it leads to changes with
/// `storage.images_volume`, and may be out of reach.
#[derive(Clone, Debug)]
pub struct Store {
    path: Arc<Path>,
    /// Who works in it.
    pub occupancy: Occupancy,
}

/// The open files of an image.
#[derive(Debug)]
pub struct ImageFiles {
    /// The unified image, or the metadata tarball of a split one.
    pub meta: File,
    /// The root file system of a split image.
    pub rootfs: Option<File>,
}

impl Store {
    /// The store at a path; the directory is made when it is missing. Blocks.
    ///
    /// # Errors
    /// I/O errors.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, ImageError> {
        let path = path.into();
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(ImageError::Io { action: "Failed to create the image store", source: error });
            }
            _ => {}
        }
        Ok(Self { path: path.into(), occupancy: Occupancy::default() })
    }

    /// The directory itself.
    fn dir(&self) -> Result<Dir, ImageError> {
        // With the point: the path may be a symbolic link.
        Dir::open(self.path.join(".")).map_err(ImageError::io("Failed to open the image store"))
    }

    /// Bytes that the file system of the store has left. Blocks.
    ///
    /// # Errors
    /// I/O errors.
    pub fn free(&self) -> Result<u64, ImageError> {
        Ok(self.dir()?.space().map_err(ImageError::io("Failed to look at the image store"))?.free)
    }

    /// The store's path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what uploads of an earlier run left behind; call it before uploads are accepted. Blocks.
    ///
    /// # Errors
    /// I/O errors.
    pub fn sweep(&self) -> Result<usize, ImageError> {
        let mut removed = 0;
        let dir = self.dir()?;
        let entries = dir.read_dir(".").map_err(ImageError::io("Failed to read the image store"))?;
        for entry in entries {
            if entry.name.to_str().is_some_and(|name| name.starts_with(INCOMING)) {
                dir.remove_file(&entry.name).map_err(ImageError::io("Failed to remove an upload"))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Whether the image's file is here. Blocks.
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.dir().is_ok_and(|dir| dir.exists(fingerprint.as_str()).unwrap_or(false))
    }

    /// Opens the files of an image. Blocks.
    ///
    /// # Errors
    /// [`ImageError::Missing`].
    pub fn files(&self, fingerprint: &Fingerprint) -> Result<ImageFiles, ImageError> {
        let dir = self.dir()?;
        let open = |name: &str| match dir.open_file(name) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ImageError::Io { action: "Failed to open the image", source: error }),
        };
        let meta = open(fingerprint.as_str())?.ok_or_else(|| ImageError::Missing(fingerprint.to_string()))?;
        Ok(ImageFiles { meta, rootfs: open(&rootfs_name(fingerprint))? })
    }

    /// Removes the files of an image; missing ones are no error. Blocks.
    ///
    /// # Errors
    /// I/O errors.
    pub fn remove(&self, fingerprint: &Fingerprint) -> Result<(), ImageError> {
        let dir = self.dir()?;
        for name in [fingerprint.to_string(), rootfs_name(fingerprint)] {
            match dir.remove_file(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(ImageError::Io { action: "Failed to remove the image", source: error });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A file without a name, for what is needed only meanwhile. Blocks.
    ///
    /// # Errors
    /// I/O errors.
    pub fn scratch(&self) -> Result<File, ImageError> {
        let (name, file) = self.incoming()?;
        self.discard(&name);
        Ok(file)
    }

    /// A new file for an upload, with its name.
    pub(crate) fn incoming(&self) -> Result<(String, File), ImageError> {
        let name = format!("{INCOMING}{}", uuid::Uuid::new_v4());
        let file = self
            .dir()?
            .create_new(&name, 0o600)
            .map_err(ImageError::io("Failed to create the image file"))?;
        Ok((name, file))
    }

    /// Opens a file that was received.
    pub(crate) fn open_incoming(&self, name: &str) -> Result<File, ImageError> {
        self.dir()?.open_file(name).map_err(ImageError::io("Failed to open the image"))
    }

    /// Gives a received file its final name.
    pub(crate) fn keep(
        &self,
        incoming: &str,
        fingerprint: &Fingerprint,
        rootfs: bool,
    ) -> Result<(), ImageError> {
        let name = if rootfs { rootfs_name(fingerprint) } else { fingerprint.to_string() };
        self.dir()?.rename(incoming, &name).map_err(ImageError::io("Failed to store the image"))
    }

    /// Removes a received file that is not wanted.
    pub(crate) fn discard(&self, incoming: &str) {
        let remove =
            |dir: Dir| dir.remove_file(incoming).map_err(ImageError::io("Failed to remove an upload"));
        if let Err(error) = self.dir().and_then(remove) {
            tracing::warn!(file = incoming, %error, "failed to remove an upload");
        }
    }
}

fn rootfs_name(fingerprint: &Fingerprint) -> String {
    format!("{fingerprint}.rootfs")
}
