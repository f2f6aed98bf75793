//! PKI mode (manual 3.4.5): with `server.ca` in the data directory a client is trusted only when its certificate was
//! signed by that authority and `ca.crl` does not revoke it.

use std::path::Path;
use std::sync::Arc;

use lxd_types::error::Context;
use lxd_types::{Error, Result};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

/// The authority of client certificates.
#[derive(Clone)]
pub struct Authority {
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Authority {
    /// That of a data directory; `None` without `server.ca`.
    ///
    /// # Errors
    /// The files cannot be read or hold no certificate.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let (ca, crl) = (dir.join("server.ca"), dir.join("ca.crl"));
        if !ca.exists() {
            return Ok(None);
        }
        let pem = std::fs::read(&ca).context(format!("Failed to read {}", ca.display()))?;
        let mut roots = RootCertStore::empty();
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
        let (good, _) = roots.add_parsable_certificates(certificates);
        if good == 0 {
            return Err(Error::bad_request(format!("{} holds no certificate", ca.display())));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        if crl.exists() {
            let bytes = std::fs::read(&crl).context(format!("Failed to read {}", crl.display()))?;
            builder = builder.with_crls(revocations(&bytes)).allow_unknown_revocation_status();
        }
        let unusable = |error| Error::internal(format!("Failed to use {}: {error}", ca.display()));
        Ok(Some(Self { verifier: builder.build().map_err(unusable)? }))
    }

    /// Did the authority sign this certificate (the first of the chain), and is it valid now?
    pub fn vouches_for(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((leaf, intermediates)) = chain.split_first() else { return false };
        self.verifier.verify_client_cert(leaf, intermediates, UnixTime::now()).is_ok()
    }
}

/// Lists of revoked certificates, PEM or DER.
fn revocations(bytes: &[u8]) -> Vec<CertificateRevocationListDer<'static>> {
    let pem: Vec<_> = CertificateRevocationListDer::pem_slice_iter(bytes).filter_map(Result::ok).collect();
    if pem.is_empty() { vec![CertificateRevocationListDer::from(bytes.to_vec())] } else { pem }
}
