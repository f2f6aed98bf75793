//! Trusted certificates.

use std::collections::HashMap;

use lxd_types::{Error, Result};
use rusqlite::{Row, params};

use crate::Tx;

/// Type number of a client's certificate.
pub const CLIENT: i64 = 1;
/// Type number of a cluster member's certificate.
pub const SERVER: i64 = 2;
/// Type number of a certificate that may only read metrics.
pub const METRICS: i64 = 3;

/// One trusted certificate.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Certificate {
    /// Its id.
    pub id: i64,
    /// SHA-256 of it, in hexadecimal.
    pub fingerprint: String,
    /// [`CLIENT`], [`SERVER`] or [`METRICS`].
    pub kind: i64,
    /// Its name.
    pub name: String,
    /// The certificate as PEM.
    pub certificate: String,
    /// It may only see `projects`.
    pub restricted: bool,
    /// The names of these projects, sorted.
    pub projects: Vec<String>,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Certificate> {
    Ok(Certificate {
        id: row.get(0)?,
        fingerprint: row.get(1)?,
        kind: row.get(2)?,
        name: row.get(3)?,
        certificate: row.get(4)?,
        restricted: row.get(5)?,
        projects: Vec::new(),
    })
}

/// All certificates, in the order of their coming.
///
/// # Errors
/// A failure of the database.
pub fn list(tx: &Tx<'_>) -> Result<Vec<Certificate>> {
    let mut all = tx.all(
        "SELECT id, fingerprint, type, name, certificate, restricted FROM certificates ORDER BY id",
        [],
        from_row,
    )?;
    let mut projects: HashMap<i64, Vec<String>> = HashMap::new();
    tx.each(
        "SELECT c.certificate_id, j.name FROM certificates_projects AS c JOIN projects AS j ON j.id = c.project_id
         ORDER BY j.name",
        [],
        |row| {
            projects.entry(row.get(0)?).or_default().push(row.get(1)?);
            Ok(())
        },
    )?;
    for certificate in &mut all {
        certificate.projects = projects.remove(&certificate.id).unwrap_or_default();
    }
    Ok(all)
}

/// The certificate whose fingerprint begins with `prefix`.
///
/// # Errors
/// "Certificate not found", "More than one certificate matches", or a failure of the database.
pub fn get(tx: &Tx<'_>, prefix: &str) -> Result<Certificate> {
    // Fingerprints are hexadecimal: all that begin with the prefix sort before the prefix and a "g".
    let mut found = tx.all(
        "SELECT id, fingerprint, type, name, certificate, restricted FROM certificates
         WHERE fingerprint >= ?1 AND fingerprint < ?1 || 'g' LIMIT 2",
        [prefix],
        from_row,
    )?;
    let mut certificate = match (prefix.is_empty(), found.pop(), found.pop()) {
        (false, Some(certificate), None) => certificate,
        (false, Some(_), Some(_)) => return Err(Error::internal("More than one certificate matches")),
        _ => return Err(Error::not_found("Certificate not found")),
    };
    certificate.projects = tx.all(
        "SELECT j.name FROM certificates_projects AS c JOIN projects AS j ON j.id = c.project_id
         WHERE c.certificate_id = ?1 ORDER BY j.name",
        [certificate.id],
        |row| row.get(0),
    )?;
    Ok(certificate)
}

/// True when a certificate of exactly this fingerprint is trusted.
///
/// # Errors
/// A failure of the database.
pub fn exists(tx: &Tx<'_>, fingerprint: &str) -> Result<bool> {
    let found = tx.first("SELECT 1 FROM certificates WHERE fingerprint = ?1", [fingerprint], |_| Ok(()))?;
    Ok(found.is_some())
}

/// Adds a certificate (its `id` is not looked at); its id.
///
/// # Errors
/// It is there already (conflict), a project does not exist (not found), or a failure of the database.
pub fn insert(tx: &Tx<'_>, new: &Certificate) -> Result<i64> {
    let id = tx.insert(
        "INSERT INTO certificates (fingerprint, type, name, certificate, restricted) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![new.fingerprint, new.kind, new.name, new.certificate, new.restricted],
    )?;
    set_projects(tx, id, &new.projects)?;
    Ok(id)
}

/// Gives the certificate of this id the other values, the certificate itself included.
///
/// # Errors
/// A project does not exist (not found), or a failure of the database.
pub fn update(tx: &Tx<'_>, wanted: &Certificate) -> Result<()> {
    tx.execute(
        "UPDATE certificates SET fingerprint = ?2, type = ?3, name = ?4, certificate = ?5, restricted = ?6
         WHERE id = ?1",
        params![
            wanted.id,
            wanted.fingerprint,
            wanted.kind,
            wanted.name,
            wanted.certificate,
            wanted.restricted
        ],
    )?;
    set_projects(tx, wanted.id, &wanted.projects)
}

fn set_projects(tx: &Tx<'_>, id: i64, projects: &[String]) -> Result<()> {
    tx.execute("DELETE FROM certificates_projects WHERE certificate_id = ?1", [id])?;
    for name in projects {
        let project = crate::projects::require(tx, name)?;
        tx.execute(
            "INSERT OR IGNORE INTO certificates_projects (certificate_id, project_id) VALUES (?1, ?2)",
            params![id, project],
        )?;
    }
    Ok(())
}

/// Removes a certificate.
///
/// # Errors
/// A failure of the database.
pub fn delete(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.execute("DELETE FROM certificates WHERE id = ?1", [id]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::temporary;
    use lxd_types::Kind;

    fn new(fingerprint: &str) -> Certificate {
        Certificate {
            fingerprint: fingerprint.into(),
            kind: CLIENT,
            name: "n".into(),
            certificate: "PEM".into(),
            ..Certificate::default()
        }
    }

    #[tokio::test]
    async fn prefixes() {
        let (db, _dir) = temporary();
        db.write(|tx| insert(tx, &new("abc1")).and(insert(tx, &new("abd2")))).await.unwrap();
        assert_eq!(db.read(|tx| get(tx, "abc")).await.unwrap().fingerprint, "abc1");
        let many = db.read(|tx| get(tx, "ab")).await.unwrap_err();
        assert_eq!(many.chain(), "More than one certificate matches");
        for missing in ["", "%", "abc12"] {
            assert_eq!(
                db.read(move |tx| get(tx, missing)).await.unwrap_err().chain(),
                "Certificate not found"
            );
        }
        assert!(db.read(|tx| exists(tx, "abc1")).await.unwrap());
        assert!(!db.read(|tx| exists(tx, "abc")).await.unwrap());
    }

    #[tokio::test]
    async fn whole_life() {
        let (db, _dir) = temporary();
        let id = db.write(|tx| insert(tx, &new("abc1"))).await.unwrap();
        assert_eq!(db.write(|tx| insert(tx, &new("abc1"))).await.unwrap_err().kind(), Kind::Conflict);
        let wanted = Certificate { id, restricted: true, projects: vec!["default".into()], ..new("abc1") };
        let copy = wanted.clone();
        db.write(move |tx| update(tx, &copy)).await.unwrap();
        assert_eq!(db.read(list).await.unwrap(), std::slice::from_ref(&wanted));
        assert_eq!(db.read(|tx| get(tx, "abc1")).await.unwrap(), wanted);
        let lost = Certificate { id, projects: vec!["nope".into()], ..new("abc1") };
        assert_eq!(db.write(move |tx| update(tx, &lost)).await.unwrap_err().kind(), Kind::NotFound);
        db.write(move |tx| delete(tx, id)).await.unwrap();
        assert!(db.read(list).await.unwrap().is_empty());
    }
}
