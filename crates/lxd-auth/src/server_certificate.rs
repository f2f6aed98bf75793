//! The server's certificate and key: read, or made at the first start (manual 3.4.5).

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chrono::{DateTime, Datelike, Duration, Utc};
use lxd_types::error::Context;
use lxd_types::{Error, Result};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384, SanType,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::fingerprint;

/// Days that a new certificate is valid.
const VALID_DAYS: i64 = 3650;

/// The certificate that TLS clients see, and its key.
#[derive(Debug)]
pub struct ServerCertificate {
    /// The certificate (and those of its issuers, if the file has them), PEM.
    pub pem: String,
    /// SHA-256 of the certificate, hexadecimal.
    pub fingerprint: String,
    /// The chain.
    pub chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ServerCertificate {
    /// Reads `server.crt` and `server.key`; makes both when either is missing. Blocks.
    ///
    /// # Errors
    /// The files cannot be read, written, or make no sense.
    pub fn load_or_make(crt: &Path, key: &Path, host: &str, now: DateTime<Utc>) -> Result<Self> {
        if !crt.exists() || !key.exists() {
            let (certificate, private) = make(host, now)?;
            write(key, &private, 0o600)?;
            write(crt, &certificate, 0o644)?;
        }
        let read =
            |path: &Path| fs::read_to_string(path).context(format!("Failed to read {}", path.display()));
        Self::parse(read(crt)?, &read(key)?)
    }

    fn parse(pem: String, key: &str) -> Result<Self> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| Error::internal(format!("Failed to read the server certificate: {error}")))?;
        let own = chain.first().ok_or_else(|| Error::internal("The server certificate file is empty"))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| Error::internal(format!("Failed to read the server key: {error}")))?;
        Ok(Self { fingerprint: fingerprint(own), pem, chain, key })
    }

    /// The private key.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

/// A new certificate and key, both PEM. The curve is P-384, as that of the original's; a new connection costs server and client
/// half a millisecond each for it.
fn make(host: &str, now: DateTime<Utc>) -> Result<(String, String)> {
    let failed =
        |error: rcgen::Error| Error::internal(format!("Failed to make the server certificate: {error}"));
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "linuxcontainers.org");
    params.distinguished_name.push(DnType::CommonName, format!("root@{host}"));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.subject_alt_names = [std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()]
        .map(SanType::IpAddress)
        .to_vec();
    // A host name that no certificate may hold is left out.
    if let Ok(name) = host.to_owned().try_into() {
        params.subject_alt_names.insert(0, SanType::DnsName(name));
    }
    let day = |time: DateTime<Utc>| {
        let part = |number: u32| u8::try_from(number).unwrap_or(1);
        rcgen::date_time_ymd(time.year(), part(time.month()), part(time.day()))
    };
    (params.not_before, params.not_after) = (day(now), day(now + Duration::days(VALID_DAYS)));
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let failed = format!("Failed to write {}", path.display());
    // A temporary file first: a half written key would be found at the next start.
    let temporary = path.with_extension("new");
    let mut file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&temporary)
        .context(failed.as_str())?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).context(failed.as_str())?;
    fs::rename(&temporary, path).context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn is_made_once_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let (crt, key) = (dir.path().join("server.crt"), dir.path().join("server.key"));
        let made = ServerCertificate::load_or_make(&crt, &key, "host", Utc::now()).unwrap();
        let read = ServerCertificate::load_or_make(&crt, &key, "other", Utc::now()).unwrap();
        assert_eq!((made.pem, made.fingerprint), (read.pem, read.fingerprint));
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
