//! Which image a request means.

use lxd_db::{Tx, image_aliases, images};
use lxd_types::{Error, Kind, Result};

/// The fingerprint of an alias, or of the image whose fingerprint begins with these digits.
///
/// # Errors
/// There is no such image, or several begin so.
pub fn resolve(tx: &Tx<'_>, project_id: i64, name: &str) -> Result<String> {
    if let Some(alias) = image_aliases::find(tx, project_id, name)? {
        return Ok(alias.fingerprint);
    }
    let digits = !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    if !digits {
        return Err(Error::not_found("Image alias not found"));
    }
    match images::get(tx, project_id, name, false) {
        Err(error) if error.kind() == Kind::NotFound => Err(Error::not_found("Image alias not found")),
        found => found.map(|image| image.fingerprint),
    }
}
