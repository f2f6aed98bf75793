//! Wire structs of `certificate` objects (`rest-api.yaml`).

use serde::{Deserialize, Serialize};

/// `Certificate` represents a LXD certificate.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Certificate {
    /// Name associated with the certificate.
    pub name: String,
    /// Usage type for the certificate (only client currently).
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether to limit the certificate to listed projects.
    pub restricted: bool,
    /// List of allowed projects (applies when restricted).
    pub projects: Vec<String>,
    /// The certificate itself, as PEM encoded X509.
    pub certificate: String,
    /// SHA256 fingerprint of the certificate.
    pub fingerprint: String,
}

/// `CertificatePut` represents the modifiable fields of a LXD certificate.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CertificatePut {
    /// Name associated with the certificate.
    pub name: String,
    /// Usage type for the certificate (only client currently).
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether to limit the certificate to listed projects.
    pub restricted: bool,
    /// List of allowed projects (applies when restricted).
    pub projects: Vec<String>,
    /// The certificate itself, as PEM encoded X509.
    pub certificate: String,
}

/// `CertificatesPost` represents the fields of a new LXD certificate.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CertificatesPost {
    /// Name associated with the certificate.
    pub name: String,
    /// Usage type for the certificate (only client currently).
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether to limit the certificate to listed projects.
    pub restricted: bool,
    /// List of allowed projects (applies when restricted).
    pub projects: Vec<String>,
    /// The certificate itself, as PEM encoded X509.
    pub certificate: String,
    /// Server trust password (used to add an untrusted client).
    pub password: String,
    /// Whether to create a certificate add token.
    pub token: bool,
}

/// `CertificateAddToken` represents the fields contained within an encoded certificate add token.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CertificateAddToken {
    /// The name of the new client.
    pub client_name: String,
    /// The fingerprint of the network certificate.
    pub fingerprint: String,
    /// The addresses of the server.
    pub addresses: Vec<String>,
    /// The random join secret.
    pub secret: String,
}
