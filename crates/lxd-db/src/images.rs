//! Images: rows, properties, profiles, where they came from.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use lxd_types::{Error, Result};
use rusqlite::{Row, params};

use crate::image_aliases::Alias;
use crate::{Config, Tx, image_aliases, time};

/// Type number of a container's image.
pub const CONTAINER: i64 = 0;
/// Type number of a virtual machine's image.
pub const VIRTUAL_MACHINE: i64 = 1;

/// One image of a project.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Image {
    /// Its id.
    pub id: i64,
    /// The project that it belongs to.
    pub project_id: i64,
    /// The name of that project.
    pub project: String,
    /// SHA-256 of its files, in hexadecimal.
    pub fingerprint: String,
    /// The name of the file that it came as.
    pub filename: String,
    /// Bytes of its files.
    pub size: i64,
    /// Everybody may have it.
    pub public: bool,
    /// Its architecture's number.
    pub architecture: i64,
    /// When it was built.
    pub created: Option<DateTime<Utc>>,
    /// When it expires.
    pub expiry: Option<DateTime<Utc>>,
    /// When it came to this server.
    pub uploaded: DateTime<Utc>,
    /// It was fetched for an instance and goes when it is not used for long.
    pub cached: bool,
    /// When an instance was made of it last.
    pub last_used: Option<DateTime<Utc>>,
    /// It is replaced when its source has a newer one.
    pub auto_update: bool,
    /// [`CONTAINER`] or [`VIRTUAL_MACHINE`].
    pub kind: i64,
    /// Its properties.
    pub properties: Config,
    /// The names of the profiles for new instances, sorted.
    pub profiles: Vec<String>,
    /// Its aliases, sorted by name.
    pub aliases: Vec<Alias>,
    /// Where it was fetched from.
    pub source: Option<Source>,
}

/// Where an image was fetched from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Source {
    /// URL of the server.
    pub server: String,
    /// 0 lxd, 1 direct, 2 simplestreams.
    pub protocol: i64,
    /// The server's certificate, or empty.
    pub certificate: String,
    /// The alias there, or a fingerprint.
    pub alias: String,
    /// The image's project there; empty: `default`.
    pub project: String,
    /// Only addresses of other machines are asked: it was fetched for a restricted project.
    pub outside: bool,
}

/// Sources with what [`source`] reads. Where nothing is said of the way, it is the narrow one.
macro_rules! sources {
    ($rest:literal) => {
        concat!(
            "SELECT s.image_id, s.server, s.protocol, s.certificate, s.alias, IFNULL(w.project, ''), ",
            "IFNULL(w.outside, 1) FROM images_source AS s ",
            "LEFT JOIN images_source_ways AS w ON w.image_id = s.image_id ",
            $rest
        )
    };
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Image> {
    Ok(Image {
        id: row.get(0)?,
        project_id: row.get(1)?,
        project: row.get(2)?,
        fingerprint: row.get(3)?,
        filename: row.get(4)?,
        size: row.get(5)?,
        public: row.get(6)?,
        architecture: row.get(7)?,
        created: time::read_opt(row, 8)?,
        expiry: time::read_opt(row, 9)?,
        uploaded: time::read(row, 10)?,
        cached: row.get(11)?,
        last_used: time::read_opt(row, 12)?,
        auto_update: row.get(13)?,
        kind: row.get(14)?,
        ..Image::default()
    })
}

/// The columns that [`from_row`] reads.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT i.id, i.project_id, j.name, i.fingerprint, i.filename, i.size, i.public, i.architecture, ",
            "i.creation_date, i.expiry_date, i.upload_date, i.cached, i.last_use_date, i.auto_update, i.type ",
            "FROM images AS i JOIN projects AS j ON j.id = i.project_id ",
            $rest
        )
    };
}

/// The images of a project (or, `None`, of all), all or only the public ones, in the order of their coming.
///
/// # Errors
/// A failure of the database.
pub fn list(tx: &Tx<'_>, project_id: Option<i64>, public_only: bool) -> Result<Vec<Image>> {
    let mut images = tx.all(
        select!("WHERE (?1 IS NULL OR i.project_id = ?1) AND (NOT ?2 OR i.public) ORDER BY i.id"),
        params![project_id, public_only],
        from_row,
    )?;
    let places: HashMap<i64, usize> = images.iter().enumerate().map(|(at, i)| (i.id, at)).collect();
    tx.each("SELECT image_id, key, IFNULL(value, '') FROM images_properties WHERE type = 0", [], |row| {
        if let Some(at) = places.get(&row.get(0)?) {
            images[*at].properties.insert(row.get(1)?, row.get(2)?);
        }
        Ok(())
    })?;
    complete_all(tx, &mut images, &places)?;
    Ok(images)
}

/// Profiles, aliases and sources of many images: one query for each, however many images there are.
fn complete_all(tx: &Tx<'_>, images: &mut [Image], places: &HashMap<i64, usize>) -> Result<()> {
    tx.each(
        "SELECT i.image_id, p.name FROM images_profiles AS i JOIN profiles AS p ON p.id = i.profile_id
         ORDER BY p.name",
        [],
        |row| {
            if let Some(at) = places.get(&row.get(0)?) {
                images[*at].profiles.push(row.get(1)?);
            }
            Ok(())
        },
    )?;
    for alias in image_aliases::all(tx)? {
        if let Some(at) = places.get(&alias.image_id) {
            images[*at].aliases.push(alias);
        }
    }
    // The first of an image comes last here, and stays.
    tx.each(sources!("ORDER BY s.id DESC"), [], |row| {
        if let Some(at) = places.get(&row.get(0)?) {
            images[*at].source = Some(source(row)?);
        }
        Ok(())
    })
}

fn source(row: &Row<'_>) -> rusqlite::Result<Source> {
    Ok(Source {
        server: row.get(1)?,
        protocol: row.get(2)?,
        certificate: row.get(3)?,
        alias: row.get(4)?,
        project: row.get(5)?,
        outside: row.get(6)?,
    })
}

/// The fingerprints of a project's images, all or only the public ones, in the order of their coming.
///
/// # Errors
/// A failure of the database.
pub fn fingerprints(tx: &Tx<'_>, project_id: i64, public_only: bool) -> Result<Vec<String>> {
    tx.all(
        "SELECT fingerprint FROM images WHERE project_id = ?1 AND (NOT ?2 OR public) ORDER BY id",
        params![project_id, public_only],
        |row| row.get(0),
    )
}

/// The image of a project whose fingerprint begins with `prefix`.
///
/// # Errors
/// "Image not found", "More than one image matches", or a failure of the database.
pub fn get(tx: &Tx<'_>, project_id: i64, prefix: &str, public_only: bool) -> Result<Image> {
    // Fingerprints are hexadecimal: all that begin with the prefix sort before the prefix and a "g".
    let mut found = tx.all(
        select!(
            "WHERE i.project_id = ?1 AND i.fingerprint >= ?2 AND i.fingerprint < ?2 || 'g'
             AND (NOT ?3 OR i.public) LIMIT 2"
        ),
        params![project_id, prefix, public_only],
        from_row,
    )?;
    match (prefix.is_empty(), found.pop(), found.pop()) {
        (false, Some(image), None) => complete(tx, image),
        (false, Some(_), Some(_)) => Err(Error::internal("More than one image matches")),
        _ => Err(Error::not_found("Image not found")),
    }
}

/// One image by id.
///
/// # Errors
/// "Image not found", or a failure of the database.
pub fn by_id(tx: &Tx<'_>, id: i64) -> Result<Image> {
    let image = tx.first(select!("WHERE i.id = ?1"), [id], from_row)?;
    complete(tx, image.ok_or_else(|| Error::not_found("Image not found"))?)
}

fn complete(tx: &Tx<'_>, mut image: Image) -> Result<Image> {
    tx.each(
        "SELECT key, IFNULL(value, '') FROM images_properties WHERE image_id = ?1 AND type = 0",
        [image.id],
        |row| {
            image.properties.insert(row.get(0)?, row.get(1)?);
            Ok(())
        },
    )?;
    complete_lists(tx, &mut image)?;
    Ok(image)
}

fn complete_lists(tx: &Tx<'_>, image: &mut Image) -> Result<()> {
    image.profiles = tx.all(
        "SELECT p.name FROM images_profiles AS i JOIN profiles AS p ON p.id = i.profile_id
         WHERE i.image_id = ?1 ORDER BY p.name",
        [image.id],
        |row| row.get(0),
    )?;
    image.aliases = image_aliases::of_image(tx, image.id)?;
    image.source = tx.first(sources!("WHERE s.image_id = ?1 ORDER BY s.id"), [image.id], source)?;
    Ok(())
}

/// The projects that have an image of exactly this fingerprint: its files go with the last of them.
///
/// # Errors
/// A failure of the database.
pub fn projects_of(tx: &Tx<'_>, fingerprint: &str) -> Result<Vec<(i64, String)>> {
    tx.all(
        "SELECT j.id, j.name FROM images AS i JOIN projects AS j ON j.id = i.project_id
         WHERE i.fingerprint = ?1 ORDER BY j.id",
        [fingerprint],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// Adds an image of a member with properties and source; its id. `id`, `project`, `profiles` and `aliases` of `new`
/// are not looked at; `profiles` are ids.
///
/// # Errors
/// The project has it already (conflict), or a failure of the database.
pub fn insert(tx: &Tx<'_>, node_id: i64, new: &Image, profiles: &[i64]) -> Result<i64> {
    let id = tx.insert(
        "INSERT INTO images (project_id, fingerprint, filename, size, public, architecture, creation_date,
           expiry_date, upload_date, cached, last_use_date, auto_update, type)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        params![
            new.project_id,
            new.fingerprint,
            new.filename,
            new.size,
            new.public,
            new.architecture,
            time::store_opt(new.created),
            time::store_opt(new.expiry),
            time::store(new.uploaded),
            new.cached,
            time::store_opt(new.last_used),
            new.auto_update,
            new.kind,
        ],
    )?;
    tx.execute("INSERT INTO images_nodes (image_id, node_id) VALUES (?1, ?2)", params![id, node_id])?;
    set_properties(tx, id, &new.properties)?;
    set_profiles(tx, id, profiles)?;
    if let Some(source) = &new.source {
        set_source(tx, id, source)?;
    }
    Ok(id)
}

/// Changes what a user can change of an image.
///
/// # Errors
/// A failure of the database.
pub fn update(
    tx: &Tx<'_>,
    id: i64,
    public: bool,
    auto_update: bool,
    expiry: Option<DateTime<Utc>>,
    properties: &Config,
    profiles: &[i64],
) -> Result<()> {
    tx.execute(
        "UPDATE images SET public = ?2, auto_update = ?3, expiry_date = ?4 WHERE id = ?1",
        params![id, public, auto_update, time::store_opt(expiry)],
    )?;
    set_properties(tx, id, properties)?;
    set_profiles(tx, id, profiles)
}

fn set_properties(tx: &Tx<'_>, id: i64, properties: &Config) -> Result<()> {
    tx.execute("DELETE FROM images_properties WHERE image_id = ?1", [id])?;
    for (key, value) in properties.iter().filter(|(_, value)| !value.is_empty()) {
        tx.execute(
            "INSERT INTO images_properties (image_id, type, key, value) VALUES (?1, 0, ?2, ?3)",
            params![id, key, value],
        )?;
    }
    Ok(())
}

fn set_profiles(tx: &Tx<'_>, id: i64, profiles: &[i64]) -> Result<()> {
    tx.execute("DELETE FROM images_profiles WHERE image_id = ?1", [id])?;
    for profile in profiles {
        tx.execute(
            "INSERT OR IGNORE INTO images_profiles (image_id, profile_id) VALUES (?1, ?2)",
            params![id, profile],
        )?;
    }
    Ok(())
}

/// Records where an image was fetched from.
///
/// # Errors
/// A failure of the database.
pub fn set_source(tx: &Tx<'_>, id: i64, source: &Source) -> Result<()> {
    tx.execute("DELETE FROM images_source WHERE image_id = ?1", [id])?;
    tx.execute(
        "INSERT INTO images_source (image_id, server, protocol, certificate, alias) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![id, source.server, source.protocol, source.certificate, source.alias],
    )?;
    tx.execute(
        "INSERT OR REPLACE INTO images_source_ways (image_id, project, outside) VALUES (?1, ?2, ?3)",
        params![id, source.project, source.outside],
    )
    .map(drop)
}

/// The cached image that was fetched from this source, if there is one: of the same project of the same server, as its
/// certificate proves it.
///
/// # Errors
/// A failure of the database.
pub fn cached_from(tx: &Tx<'_>, project_id: i64, source: &Source, kind: i64) -> Result<Option<String>> {
    tx.first(
        "SELECT i.fingerprint FROM images AS i JOIN images_source AS s ON s.image_id = i.id
         LEFT JOIN images_source_ways AS w ON w.image_id = i.id
         WHERE i.project_id = ?1 AND i.cached AND i.auto_update AND i.type = ?5
           AND s.server = ?2 AND s.protocol = ?3 AND s.alias = ?4 AND s.certificate = ?6
           AND IFNULL(w.project, '') = ?7 ORDER BY i.upload_date DESC",
        params![
            project_id,
            source.server,
            source.protocol,
            source.alias,
            kind,
            source.certificate,
            source.project
        ],
        |row| row.get(0),
    )
}

/// Records that an instance was made of an image.
///
/// # Errors
/// A failure of the database.
pub fn set_last_used(tx: &Tx<'_>, id: i64, now: DateTime<Utc>) -> Result<()> {
    tx.execute("UPDATE images SET last_use_date = ?2 WHERE id = ?1", params![id, time::store(now)]).map(drop)
}

/// Records whether an image goes when it is not used for long.
///
/// # Errors
/// A failure of the database.
pub fn set_cached(tx: &Tx<'_>, id: i64, cached: bool) -> Result<()> {
    tx.execute("UPDATE images SET cached = ?2 WHERE id = ?1", params![id, cached]).map(drop)
}

/// The ids of cached images that were not used (or, if never used, not fetched) after `limit`.
///
/// # Errors
/// A failure of the database.
pub fn unused_since(tx: &Tx<'_>, limit: DateTime<Utc>) -> Result<Vec<i64>> {
    let cached = tx.all("SELECT id, last_use_date, upload_date FROM images WHERE cached", [], |row| {
        Ok((row.get::<_, i64>(0)?, time::read_opt(row, 1)?, time::read(row, 2)?))
    })?;
    Ok(cached
        .into_iter()
        .filter(|(_, used, uploaded)| used.unwrap_or(*uploaded) <= limit)
        .map(|(id, ..)| id)
        .collect())
}

/// The size of all images of a project, in bytes.
///
/// # Errors
/// A failure of the database.
pub fn total_size(tx: &Tx<'_>, project_id: i64) -> Result<u64> {
    let sum = "SELECT IFNULL(SUM(size), 0) FROM images WHERE project_id = ?1";
    let sum: Option<i64> = tx.first(sum, [project_id], |row| row.get(0))?;
    Ok(sum.and_then(|sum| u64::try_from(sum).ok()).unwrap_or(0))
}

/// Removes an image of one project, with its aliases.
///
/// # Errors
/// A failure of the database.
pub fn delete(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.execute("DELETE FROM images WHERE id = ?1", [id]).map(drop)
}

#[cfg(test)]
#[path = "images_tests.rs"]
mod tests;
