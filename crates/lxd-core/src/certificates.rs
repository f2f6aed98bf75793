//! Trusted certificates (manual 3.4.5).

use std::collections::HashMap;

use lxd_auth::Trusted;
use lxd_db::Db;
use lxd_types::Result;

/// What the trust store holds: the client certificates of the database.
///
/// # Errors
/// A failure of the database.
pub async fn known(db: &Db) -> Result<HashMap<String, Trusted>> {
    let all = db.read(lxd_db::certificates::list).await?;
    let clients = all.into_iter().filter(|certificate| certificate.kind == lxd_db::certificates::CLIENT);
    Ok(clients
        .map(|certificate| {
            let projects = certificate.restricted.then_some(certificate.projects);
            (certificate.fingerprint, Trusted { projects })
        })
        .collect())
}
