//! Aliases of images.

use lxd_types::{Error, Result};
use rusqlite::{Row, params};

use crate::Tx;

/// One alias.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Alias {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Text of the user.
    pub description: String,
    /// The image that it stands for.
    pub image_id: i64,
    /// That image's fingerprint.
    pub fingerprint: String,
    /// That image's type (see [`crate::images`]).
    pub kind: i64,
    /// That image is public.
    pub public: bool,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Alias> {
    Ok(Alias {
        id: row.get(0)?,
        name: row.get(1)?,
        description: row.get(2)?,
        image_id: row.get(3)?,
        fingerprint: row.get(4)?,
        kind: row.get(5)?,
        public: row.get(6)?,
    })
}

/// The columns that [`from_row`] reads.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT a.id, a.name, a.description, a.image_id, i.fingerprint, i.type, i.public ",
            "FROM images_aliases AS a JOIN images AS i ON i.id = a.image_id ",
            $rest
        )
    };
}

/// The aliases of a project, all or only those of public images, sorted by name.
///
/// # Errors
/// A failure of the database.
pub fn list(tx: &Tx<'_>, project_id: i64, public_only: bool) -> Result<Vec<Alias>> {
    tx.all(
        select!("WHERE a.project_id = ?1 AND (NOT ?2 OR i.public) ORDER BY a.name"),
        params![project_id, public_only],
        from_row,
    )
}

/// The aliases of one image, in the order of their making.
///
/// # Errors
/// A failure of the database.
pub fn of_image(tx: &Tx<'_>, image_id: i64) -> Result<Vec<Alias>> {
    tx.all(select!("WHERE a.image_id = ?1 ORDER BY a.id"), [image_id], from_row)
}

/// The aliases of all images of all projects, in the order of their making.
///
/// # Errors
/// A failure of the database.
pub fn all(tx: &Tx<'_>) -> Result<Vec<Alias>> {
    tx.all(select!("ORDER BY a.id"), [], from_row)
}

/// The alias of that name, if there is one.
///
/// # Errors
/// A failure of the database.
pub fn find(tx: &Tx<'_>, project_id: i64, name: &str) -> Result<Option<Alias>> {
    tx.first(select!("WHERE a.project_id = ?1 AND a.name = ?2"), params![project_id, name], from_row)
}

/// One alias.
///
/// # Errors
/// "Image alias not found", or a failure of the database.
pub fn get(tx: &Tx<'_>, project_id: i64, name: &str) -> Result<Alias> {
    find(tx, project_id, name)?.ok_or_else(|| Error::not_found("Image alias not found"))
}

/// Adds an alias; its id.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn insert(tx: &Tx<'_>, project_id: i64, image_id: i64, name: &str, description: &str) -> Result<i64> {
    tx.insert(
        "INSERT INTO images_aliases (project_id, image_id, name, description) VALUES (?1, ?2, ?3, ?4)",
        params![project_id, image_id, name, description],
    )
}

/// Changes image and description of an alias.
///
/// # Errors
/// A failure of the database.
pub fn update(tx: &Tx<'_>, id: i64, image_id: i64, description: &str) -> Result<()> {
    tx.execute(
        "UPDATE images_aliases SET image_id = ?2, description = ?3 WHERE id = ?1",
        params![id, image_id, description],
    )
    .map(drop)
}

/// Lets all aliases of an image stand for another one: when an image is replaced by a newer one.
///
/// # Errors
/// A failure of the database.
pub fn move_all(tx: &Tx<'_>, from_image: i64, to_image: i64) -> Result<()> {
    tx.execute("UPDATE images_aliases SET image_id = ?2 WHERE image_id = ?1", [from_image, to_image])
        .map(drop)
}

/// Gives an alias another name.
///
/// # Errors
/// The name is taken (conflict), or a failure of the database.
pub fn rename(tx: &Tx<'_>, id: i64, name: &str) -> Result<()> {
    tx.execute("UPDATE images_aliases SET name = ?2 WHERE id = ?1", params![id, name]).map(drop)
}

/// Removes an alias.
///
/// # Errors
/// A failure of the database.
pub fn delete(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.execute("DELETE FROM images_aliases WHERE id = ?1", [id]).map(drop)
}
