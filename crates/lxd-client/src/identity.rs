//! The client's certificate and key: read, or made on first use.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chrono::Datelike;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Days of validity of a new certificate.
const VALID_DAYS: i64 = 3650;

/// A certificate with its key, both PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Certificate chain, PEM.
    pub certificate: String,
    /// Private key, PEM (PKCS#8, SEC1 or PKCS#1).
    pub key: String,
}

impl Identity {
    /// Reads `client.crt` and `client.key` of a configuration directory; `None` when either is missing.
    ///
    /// # Errors
    /// The files exist but cannot be read.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let (crt, key) = (dir.join("client.crt"), dir.join("client.key"));
        if !crt.exists() || !key.exists() {
            return Ok(None);
        }
        let read = |path: &Path| fs::read_to_string(path).map_err(|e| file_error("open", path, &e));
        Ok(Some(Self { certificate: read(&crt)?, key: read(&key)? }))
    }

    /// Makes an EC P-384 certificate for this user, good for ten years, and writes it to `dir`.
    ///
    /// # Errors
    /// The directory or files cannot be written.
    pub fn generate(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).map_err(|e| file_error("mkdir", dir, &e))?;
        let identity = Self::make()?;
        write_private(&dir.join("client.crt"), &identity.certificate, 0o644)?;
        write_private(&dir.join("client.key"), &identity.key, 0o600)?;
        Ok(identity)
    }

    fn make() -> Result<Self> {
        let failed = |error| Error::Local(format!("Failed to generate the client certificate: {error}"));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(failed)?;
        let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = host.trim();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "linuxcontainers.org");
        params
            .distinguished_name
            .push(DnType::CommonName, format!("{user}@{}", if host.is_empty() { "UNKNOWN" } else { host }));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let now = chrono::Utc::now();
        let day = |date: chrono::DateTime<chrono::Utc>| {
            rcgen::date_time_ymd(date.year(), date.month() as u8, date.day() as u8)
        };
        params.not_before = day(now);
        params.not_after = day(now + chrono::Duration::days(VALID_DAYS));
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Self { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    pub(crate) fn parts(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect();
        let chain = chain.map_err(|e| Error::Local(format!("Failed to read the client certificate: {e}")))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|e| Error::Local(format!("Failed to read the client key: {e}")))?;
        Ok((chain, key))
    }
}

fn write_private(path: &Path, text: &str, mode: u32) -> Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .map_err(|e| file_error("open", path, &e))?;
    file.write_all(text.as_bytes()).map_err(|e| file_error("write", path, &e))
}

fn file_error(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::Local(format!("{what} {}: {}", path.display(), crate::connect::reason(error)))
}

/// The first certificate of a PEM text, as DER.
///
/// # Errors
/// The text holds no certificate.
pub fn pem_to_der(pem: &str) -> Result<Vec<u8>> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map(|der| der.to_vec())
        .map_err(|_| Error::Local("Invalid certificate".into()))
}

/// SHA-256 of a certificate's DER as hexadecimal digits.
pub fn fingerprint(der: &[u8]) -> String {
    hex::encode(Sha256::digest(der))
}
