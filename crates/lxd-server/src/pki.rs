//! PKI mode (manual 3.4.5): with `server.ca` in the data directory a client is trusted only when its certificate was
//! signed by that authority and `ca.crl` does not revoke it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use lxd_core::server::ClientAuthority;
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
        let Some(pem) = content(&ca)? else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        let certificates: Vec<CertificateDer<'_>> = items(&pem, &ca)?;
        for certificate in &certificates {
            let failed = format!("{} holds a certificate that is of no use", ca.display());
            roots
                .add(certificate.clone())
                .map_err(|error| Error::bad_request(error.to_string()).context(failed))?;
        }
        if certificates.is_empty() {
            return Err(Error::bad_request(format!("{} holds no certificate", ca.display())));
        }
        let mut revoked = HashSet::new();
        if let Some(bytes) = content(&crl)? {
            for list in lists(&bytes, &crl)? {
                revoked.extend(read(&list, &certificates).ok_or_else(|| {
                    let (crl, ca) = (crl.display(), ca.display());
                    Error::bad_request(format!(
                        "{crl} is no list of revoked certificates that {ca} has signed"
                    ))
                })?);
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier =
            verifier.map_err(|error| Error::internal(format!("Failed to use {}: {error}", ca.display())))?;
        Ok(Some(Self { verifier, revoked: Arc::new(revoked) }))
    }

    /// Could somebody be let in with this certificate because the authority signed it? Its chain is not at hand, so one that
    /// another authority signed may be.
    pub fn may_vouch_for(&self, leaf: &CertificateDer<'_>) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(leaf) else { return false };
        let own = certificate.issuer().as_raw() == certificate.subject().as_raw();
        let revoked = serial(leaf).is_none_or(|own| self.revoked.contains(&own));
        let over = certificate.validity().not_after.timestamp() < chrono::Utc::now().timestamp();
        !own && !revoked && !over
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

impl ClientAuthority for Authority {
    fn may_vouch_for(&self, pem: &str) -> bool {
        CertificateDer::from_pem_slice(pem.as_bytes()).is_ok_and(|der| Self::may_vouch_for(self, &der))
    }
}

fn serial(der: &CertificateDer<'_>) -> Option<Serial> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some((certificate.issuer().as_raw().to_vec(), certificate.tbs_certificate.serial.to_bytes_be()))
}

/// Lists of revoked certificates, PEM or DER.
fn lists(bytes: &[u8], path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    if sections(bytes) == 0 {
        return Ok(vec![CertificateRevocationListDer::from(bytes.to_vec())]);
    }
    items(bytes, path)
}

/// The content of a file; `None` only when there is none: who cannot look does not know that nothing is forbidden.
fn content(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(format!("Failed to read {}", path.display())),
    }
}

/// All items of a PEM file. A damaged one, and one of another kind, is an error: what it would have said is not known.
fn items<T: PemObject>(pem: &[u8], path: &Path) -> Result<Vec<T>> {
    let found = T::pem_slice_iter(pem).collect::<std::result::Result<Vec<_>, _>>();
    let bad = |why: &str| Error::bad_request(format!("{} is damaged: {why}", path.display()));
    let found = found.map_err(|error| bad(&error.to_string()))?;
    match found.len() == sections(pem) {
        true => Ok(found),
        false => Err(bad("it holds something else, or a part of something")),
    }
}

/// How many items a PEM file begins.
fn sections(pem: &[u8]) -> usize {
    const BEGIN: &[u8] = b"-----BEGIN";
    pem.windows(BEGIN.len()).filter(|at| *at == BEGIN).count()
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

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    const LIST: &str = "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";

    #[test]
    fn only_absence_is_absence() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(content(&dir.path().join("nosuch")).unwrap(), None);
        assert!(content(dir.path()).is_err(), "a directory is there");
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
        assert!(content(&dir.path().join("loop")).is_err());
        std::fs::create_dir(dir.path().join("server.ca")).unwrap();
        assert!(Authority::load(dir.path()).is_err());
    }

    #[test]
    fn nothing_of_a_file_is_passed_over() {
        let path = Path::new("server.ca");
        let count = |text: &str| items::<CertificateDer<'_>>(text.as_bytes(), path).map(|found| found.len());
        assert_eq!(count(ONE).unwrap(), 1);
        assert_eq!(count(&format!("# ours\n{ONE}{ONE}")).unwrap(), 2);
        assert_eq!(count("").unwrap(), 0);
        let damaged = ONE.replace("MAA=", "M!!=");
        let torn = ONE.replace("-----END CERTIFICATE-----\n", "");
        for bad in
            [format!("{ONE}{damaged}"), format!("{ONE}{torn}"), format!("{ONE}{LIST}"), LIST.to_owned()]
        {
            assert!(count(&bad).is_err(), "{bad}");
        }
        assert_eq!(lists(LIST.as_bytes(), path).unwrap().len(), 1);
        assert!(lists(format!("{LIST}{}", LIST.replace("MAA=", "M!!=")).as_bytes(), path).is_err());
        assert!(lists(ONE.as_bytes(), path).is_err());
        assert_eq!(lists(&[0x30, 0], path).unwrap().len(), 1, "the other form");
    }
}
