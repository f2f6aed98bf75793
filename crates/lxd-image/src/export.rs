//! Handing an image out: the file itself, or both files of a split image as a form.

use std::fs::File;
use std::io;

use lxd_types::names::Fingerprint;

use crate::error::ImageError;
use crate::format::Format;
use crate::store::Store;

/// One file of an export.
#[derive(Debug)]
pub struct ExportPart {
    /// Name of the form's part: `metadata`, `rootfs` or `rootfs.img`.
    pub name: &'static str,
    /// Name for the client's disk, such as `FINGERPRINT.tar.gz`.
    pub filename: String,
    /// The open file, at its beginning.
    pub file: File,
    /// Its bytes.
    pub size: u64,
}

/// The files of an image with the names that clients get: one for a unified image, two for a split one. Blocks.
///
/// # Errors
/// The files are missing or of unknown format.
pub fn export_parts(store: &Store, fingerprint: &Fingerprint) -> Result<Vec<ExportPart>, ImageError> {
    let files = store.files(fingerprint)?;
    let Some(rootfs) = files.rootfs else {
        return Ok(vec![part("metadata", fingerprint.as_str(), files.meta)?.0]);
    };
    let (meta, _) = part("metadata", &format!("meta-{fingerprint}"), files.meta)?;
    let (mut rootfs, format) = part("rootfs", fingerprint.as_str(), rootfs)?;
    if format == Format::Qcow2 {
        rootfs.name = "rootfs.img";
    }
    Ok(vec![meta, rootfs])
}

fn part(name: &'static str, stem: &str, mut file: File) -> Result<(ExportPart, Format), ImageError> {
    let format = Format::of_file(&mut file).map_err(ImageError::io("Failed to read the image"))?;
    let format = format.ok_or(ImageError::UnknownFormat)?;
    let size = file.metadata().map_err(ImageError::io("Failed to read the image"))?.len();
    Ok((ExportPart { name, filename: format!("{stem}{}", format.extension()), file, size }, format))
}

/// What stands before a part's content in a form.
///
/// # Errors
/// A name with a quote or a line end.
pub fn form_head(boundary: &str, first: bool, part: &ExportPart) -> io::Result<String> {
    if part.filename.contains(['"', '\r', '\n', '\0']) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let before = if first { "" } else { "\r\n" };
    Ok(format!(
        "{before}--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n",
        part.name, part.filename
    ))
}

/// What stands behind the last part.
pub fn form_end(boundary: &str) -> String {
    format!("\r\n--{boundary}--\r\n")
}
