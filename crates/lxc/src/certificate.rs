//! What lists show of a certificate.

use anyhow::Result;
use lxd_api::Timestamp;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Subject and validity.
pub struct Facts {
    /// Common name of the subject.
    pub common_name: String,
    /// Beginning of its validity.
    pub from: Timestamp,
    /// End of its validity.
    pub to: Timestamp,
}

/// Reads a PEM certificate.
///
/// # Errors
/// It is none.
pub fn facts(pem: &str) -> Result<Facts> {
    let der = lxd_client::pem_to_der(pem)?;
    let (_, certificate) =
        X509Certificate::from_der(&der).map_err(|_| anyhow::anyhow!("Invalid certificate"))?;
    let name = certificate.subject().iter_common_name().next();
    let validity = certificate.validity();
    Ok(Facts {
        common_name: name.and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned(),
        from: Timestamp::from_unix(validity.not_before.timestamp()),
        to: Timestamp::from_unix(validity.not_after.timestamp()),
    })
}
