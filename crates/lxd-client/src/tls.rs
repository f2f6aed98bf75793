//! TLS 1.2 and 1.3 to a server: its certificate is pinned byte for byte, or signed by a known CA.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{Egress, Error, Identity, Result};

/// Bundles of the system's certificate authorities; the first that exists is read.
const CA_BUNDLES: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Part of the text of an error: the server has another certificate than the pinned one.
pub const CHANGED: &str = "the server's certificate is another one than the one that was accepted";

/// How to trust a server and who we are.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// The only certificate (DER) that is accepted; else the system's authorities decide.
    pub pinned: Option<Vec<u8>>,
    /// Our certificate.
    pub identity: Option<Identity>,
    /// An authority of our own (`client.ca`, PKI mode) that is accepted as well.
    pub authority: Option<PathBuf>,
    /// Take any certificate. Only for finding out a fingerprint.
    pub accept_any: bool,
}

impl TlsSettings {
    pub(crate) async fn handshake(&self, host: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>> {
        let config = self.config()?;
        let name = ServerName::try_from(host.to_owned()).map_err(Error::protocol)?;
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|e| tls_error(&e))
    }

    fn config(&self) -> Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Arc::new(self.verifier(&provider)?);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::protocol)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some(identity) => {
                let (chain, key) = identity.parts()?;
                builder.with_client_auth_cert(chain, key).map_err(Error::protocol)
            }
        }
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Verifier> {
        let mut verifier = Verifier {
            provider: provider.clone(),
            pinned: self.pinned.clone(),
            roots: None,
            any: self.accept_any,
        };
        if !self.accept_any && (self.pinned.is_none() || self.authority.is_some()) {
            let roots = self.roots()?;
            verifier.roots =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().ok();
        }
        Ok(verifier)
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let mut add = |pem: &[u8]| {
            roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).filter_map(Result::ok));
        };
        if let Some(path) = &self.authority {
            add(&fs::read(path).map_err(|e| Error::Local(format!("open {}: {e}", path.display())))?);
        }
        if self.pinned.is_none()
            && let Some(pem) = CA_BUNDLES.iter().find_map(|path| fs::read(path).ok())
        {
            add(&pem);
        }
        Ok(roots)
    }
}

/// Connects without trust and returns the server's certificate (DER), for the fingerprint question.
///
/// # Errors
/// No connection, or no TLS server.
pub async fn fetch_certificate(host: &str, port: u16) -> Result<Vec<u8>> {
    let settings = TlsSettings { accept_any: true, ..TlsSettings::default() };
    let egress = Egress::from_env();
    let tcp = egress.proxies.connect_tls(host, port, egress.reach).await?;
    let stream = settings.handshake(host, tcp).await?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    chain
        .first()
        .map(|der| der.to_vec())
        .ok_or_else(|| Error::Protocol("Unable to read remote TLS certificate".into()))
}

fn tls_error(error: &std::io::Error) -> Error {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    let text = match inner {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "x509: certificate signed by unknown authority".to_owned()
        }
        Some(rustls::Error::InvalidCertificate(why)) => format!("x509: {why}"),
        Some(rustls::Error::InvalidMessage(_)) => {
            "tls: first record does not look like a TLS handshake".to_owned()
        }
        Some(rustls::Error::General(why)) => why.clone(),
        Some(other) => format!("tls: {other}"),
        None => crate::connect::reason(error),
    };
    Error::Connect(text)
}

/// Accepts the pinned certificate, or what the authorities have signed.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    pinned: Option<Vec<u8>>,
    roots: Option<Arc<WebPkiServerVerifier>>,
    /// Any certificate is taken.
    any: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.any || self.pinned.as_deref() == Some(end_entity.as_ref()) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.roots {
            Some(roots) => {
                roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(rustls::Error::General(format!(
                "x509: {CHANGED}, its fingerprint is now {}",
                crate::fingerprint(end_entity)
            ))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
