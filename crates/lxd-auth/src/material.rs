//! Certificates as clients send them: base64 of the DER form, or PEM.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lxd_types::{Error, Result};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// The shortest RSA key that is trusted, in bits. The TLS library takes no shorter one either.
const SHORTEST_RSA: usize = 2048;
/// Signatures that can be forged: RSA with MD5, RSA with SHA-1, ECDSA with SHA-1.
const WEAK_SIGNATURES: &[&str] = &["1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.10045.4.1"];

/// A certificate that was looked into.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Material {
    /// SHA-256 in hexadecimal.
    pub fingerprint: String,
    /// The certificate as PEM.
    pub pem: String,
    /// The common name of its subject; empty when it has none.
    pub common_name: String,
}

impl Material {
    /// Reads what a request holds: base64, or PEM.
    ///
    /// # Errors
    /// Bad request: neither, or no certificate.
    pub fn parse(text: &str) -> Result<Self> {
        if text.trim_start().starts_with("-----BEGIN") {
            let der = CertificateDer::from_pem_slice(text.as_bytes())
                .map_err(|error| invalid(&error.to_string()))?;
            return Self::from_der(&der);
        }
        let der = STANDARD
            .decode(text.trim())
            .map_err(|error| Error::bad_request(base64_text(text.trim(), &error)))?;
        Self::from_der(&der)
    }

    /// Looks into a certificate.
    ///
    /// # Errors
    /// Bad request: it is none.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| invalid("x509: malformed certificate"))?;
        if !rest.is_empty() {
            return Err(invalid("x509: trailing data"));
        }
        let common_name = certificate.subject().iter_common_name().next();
        let common_name = common_name.and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned();
        Ok(Self { fingerprint: crate::fingerprint(der), pem: pem(der), common_name })
    }
}

/// Refuses certificates that prove too little to be trusted (manual 3.4.5): short RSA keys, signatures with broken
/// hashes, those that are not for clients, and those that are not valid now (`now` in seconds since 1970).
///
/// # Errors
/// Bad request: what is wrong with it.
pub fn check_client(pem: &str, now: i64) -> Result<()> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| invalid(&error.to_string()))?;
    let (_, certificate) =
        X509Certificate::from_der(&der).map_err(|_| invalid("x509: malformed certificate"))?;
    if let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed()
        && key.key_size() < SHORTEST_RSA
    {
        return Err(Error::bad_request("RSA key is too weak (minimum of 2048bit)"));
    }
    let validity = certificate.validity();
    if now > validity.not_after.timestamp() {
        return Err(Error::bad_request("The provided certificate is expired"));
    }
    if now < validity.not_before.timestamp() {
        return Err(Error::bad_request("The provided certificate isn't valid yet"));
    }
    let signed = certificate.signature_algorithm.algorithm.to_id_string();
    if WEAK_SIGNATURES.contains(&signed.as_str()) {
        return Err(invalid("it has a weak signature (MD5 or SHA-1)"));
    }
    let usage = certificate.extended_key_usage().map_err(|_| invalid("x509: malformed extensions"))?;
    if usage.is_some_and(|usage| !usage.value.any && !usage.value.client_auth) {
        return Err(invalid("it is not for clients (extended key usage)"));
    }
    Ok(())
}

/// From when to when a certificate (DER) is valid, in seconds since 1970.
pub fn validity(der: &[u8]) -> Option<(i64, i64)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

fn invalid(reason: &str) -> Error {
    Error::bad_request(format!("Invalid certificate material: {reason}"))
}

fn base64_text(text: &str, error: &base64::DecodeError) -> String {
    let at = match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        // The begin of the incomplete group of four.
        base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => text.len() / 4 * 4,
    };
    format!("illegal base64 data at input byte {at}")
}

/// DER as PEM.
fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_and_pem_are_the_same() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "a@host");
        let certificate = params.self_signed(&key).unwrap();
        let from_pem = Material::parse(&certificate.pem()).unwrap();
        let from_base64 = Material::parse(&STANDARD.encode(certificate.der())).unwrap();
        assert_eq!(from_pem, from_base64);
        assert_eq!(from_pem.common_name, "a@host");
        assert_eq!(from_pem.pem.replace('\r', ""), certificate.pem().replace('\r', ""));
    }

    #[test]
    fn nonsense_is_refused() {
        for (text, reason) in [
            ("!!", "illegal base64 data at input byte 0"),
            ("aGVsbG8", "illegal base64 data at input byte 4"),
            ("aGVsbG8=", "Invalid certificate material: x509: malformed certificate"),
        ] {
            assert_eq!(Material::parse(text).unwrap_err().chain(), reason);
        }
    }
}
