//! PKI mode (manual 3.4.5): with `server.ca` in the data directory a client is trusted only when its certificate was
//! signed by that authority and `ca.crl` does not revoke it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use lxd_types::error::Context;
use lxd_types::{Error, Result};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

/// Issuer and serial number of a certificate.
type Serial = (Vec<u8>, Vec<u8>);

/// The authority of client certificates.
#[derive(Clone)]
pub struct Authority {
    verifier: Arc<dyn ClientCertVerifier>,
    revoked: Arc<HashSet<Serial>>,
}

impl Authority {
    /// That of a data directory; `None` without `server.ca`.
    ///
    /// # Errors
    /// The files cannot be read, hold no certificate, or a list of revoked ones that is not the authority's.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let (ca, crl) = (dir.join("server.ca"), dir.join("ca.crl"));
        if !ca.exists() {
            return Ok(None);
        }
        let pem = std::fs::read(&ca).context(format!("Failed to read {}", ca.display()))?;
        let mut roots = RootCertStore::empty();
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
        let (good, _) = roots.add_parsable_certificates(certificates.clone());
        if good == 0 {
            return Err(Error::bad_request(format!("{} holds no certificate", ca.display())));
        }
        let mut revoked = HashSet::new();
        if crl.exists() {
            let bytes = std::fs::read(&crl).context(format!("Failed to read {}", crl.display()))?;
            for list in lists(&bytes) {
                revoked.extend(read(&list, &certificates).ok_or_else(|| {
                    let (crl, ca) = (crl.display(), ca.display());
                    Error::bad_request(format!(
                        "{crl} is no list of revoked certificates that {ca} has signed"
                    ))
                })?);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier =
            verifier.map_err(|error| Error::internal(format!("Failed to use {}: {error}", ca.display())))?;
        Ok(Some(Self { verifier, revoked: Arc::new(revoked) }))
    }

    /// Did the authority sign this certificate (the first of the chain), and is it valid now?
    pub fn vouches_for(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((leaf, intermediates)) = chain.split_first() else { return false };
        // A certificate that cannot be looked up in the list does not stand there for sure, so it is refused.
        let is_revoked = |der: &CertificateDer<'_>| serial(der).is_none_or(|own| self.revoked.contains(&own));
        !chain.iter().any(is_revoked)
            && self.verifier.verify_client_cert(leaf, intermediates, UnixTime::now()).is_ok()
    }
}

fn serial(der: &CertificateDer<'_>) -> Option<Serial> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some((certificate.issuer().as_raw().to_vec(), certificate.tbs_certificate.serial.to_bytes_be()))
}

/// Lists of revoked certificates, PEM or DER.
fn lists(bytes: &[u8]) -> Vec<CertificateRevocationListDer<'static>> {
    let pem: Vec<_> = CertificateRevocationListDer::pem_slice_iter(bytes).filter_map(Result::ok).collect();
    if pem.is_empty() { vec![CertificateRevocationListDer::from(bytes.to_vec())] } else { pem }
}

/// What a list revokes, if one of the authorities signed it. Lists of version 1 are read too: `openssl ca` makes them.
fn read(list: &CertificateRevocationListDer<'_>, authorities: &[CertificateDer<'_>]) -> Option<Vec<Serial>> {
    let (_, list) = CertificateRevocationList::from_der(list).ok()?;
    let signed = authorities.iter().any(|der| {
        X509Certificate::from_der(der).is_ok_and(|(_, authority)| {
            authority.subject().as_raw() == list.issuer().as_raw()
                && list.verify_signature(authority.public_key()).is_ok()
        })
    });
    let issuer = list.issuer().as_raw();
    let revoked = list.iter_revoked_certificates();
    signed.then(|| revoked.map(|one| (issuer.to_vec(), one.user_certificate.to_bytes_be())).collect())
}
