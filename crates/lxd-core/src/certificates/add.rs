//! `POST /1.0/certificates`: a trusted client adds any certificate, a stranger its own with the trust
//! password or a token.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use lxd_api::certificate::CertificatesPost;
use lxd_auth::material::{Material, check_client};
use lxd_auth::{Caller, Peer, password};
use lxd_config::server::CORE_REMOTE_TOKEN_EXPIRY;
use lxd_db::certificates::{self, Certificate};
use lxd_db::warnings::Subject;
use lxd_task::OperationSpec;
use lxd_task::operation::{Class, Operation};
use lxd_types::{Error, Result};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::{default, kind_of, url};
use crate::warnings::WarningType;
use crate::{Core, Lifecycle};

/// How long a refused guess waits for its answer.
const DELAY: Duration = Duration::from_millis(500);

/// What came of the request.
pub enum Added {
    /// The URL of the new certificate.
    Certificate(String),
    /// A token that one client can use once.
    Token(Arc<Operation>),
}

impl Core {
    /// Adds a certificate, or makes a token for adding one.
    ///
    /// # Errors
    /// The caller may not, or the request makes no sense.
    pub async fn add_certificate(&self, caller: &Caller, mut request: CertificatesPost) -> Result<Added> {
        if caller.trusted {
            if !caller.is_admin() {
                return Err(lxd_auth::denied());
            }
            if request.token {
                return self.new_token(caller, request).await.map(Added::Token);
            }
        } else {
            self.admit(caller, &mut request).await?;
        }
        let material = material(caller, &request)?;
        let kind = kind_of(&request.kind)?;
        if kind != certificates::SERVER {
            check_client(&material.pem, Utc::now().timestamp())?;
        }
        if !caller.trusted && kind != certificates::CLIENT {
            return Err(Error::bad_request("Invalid certificate type"));
        }
        let name = if request.name.is_empty() { material.common_name.clone() } else { request.name };
        let new = Certificate {
            id: 0,
            fingerprint: material.fingerprint.clone(),
            kind,
            name,
            certificate: material.pem,
            restricted: request.restricted,
            projects: request.projects,
        };
        let insert = move |tx: &lxd_db::Tx<'_>| {
            if certificates::exists(tx, &new.fingerprint)? {
                return Err(Error::conflict("Certificate already in trust store"));
            }
            certificates::insert(tx, &new)
        };
        self.db.write(insert).await?;
        self.trust_changed().await?;
        let url = url(&material.fingerprint);
        self.tell(caller, Lifecycle::new("certificate-created", &url).in_project(&default()));
        Ok(Added::Certificate(url))
    }

    /// Lets a stranger in that knows the trust password, or has a token; a token also says how far it is
    /// trusted. Wrong guesses are slow and limited.
    async fn admit(&self, caller: &Caller, request: &mut CertificatesPost) -> Result<()> {
        if let Err(refused) = self.guesses.check(Instant::now()) {
            self.warn_of_failure(caller, "too many guesses").await;
            return Err(refused);
        }
        if let Some(token) = self.use_token(&request.password) {
            (request.name, request.kind) = (token.name, token.kind);
            (request.restricted, request.projects) = (token.restricted, token.projects);
            request.certificate = String::new();
            return Ok(());
        }
        let stored = self.server.config().get("core.trust_password").cloned();
        let guess = request.password.clone();
        if let Some(stored) = stored.filter(|_| !guess.is_empty()) {
            let check = tokio::task::spawn_blocking(move || password::verify(&stored, &guess));
            if check.await.unwrap_or(false) {
                return Ok(());
            }
        }
        self.guesses.wrong(Instant::now());
        let reason =
            if request.password.is_empty() { "no password or token" } else { "wrong password or token" };
        self.warn_of_failure(caller, reason).await;
        tokio::time::sleep(DELAY).await;
        Err(lxd_auth::denied())
    }

    /// Tells of a client that could not prove who it is: in the log, and as one counted warning for each address.
    pub async fn warn_of_failure(&self, caller: &Caller, reason: &str) {
        let Peer::Tls { address, .. } = &caller.peer else { return };
        let ip = address.ip().to_canonical();
        let subject = Subject {
            type_code: WarningType::AuthenticationFailed as i64,
            node_id: Some(lxd_db::nodes::LONE),
            entity_id: Some(number_of(ip)),
            ..Subject::default()
        };
        self.warn_about(subject, &format!("Failed authentication from {ip}: {reason}")).await;
    }

    async fn new_token(&self, caller: &Caller, request: CertificatesPost) -> Result<Arc<Operation>> {
        kind_of(&request.kind)?;
        let wanted = request.projects.clone();
        let projects_exist = move |tx: &lxd_db::Tx<'_>| {
            wanted.iter().try_for_each(|name| lxd_db::projects::require(tx, name).map(drop))
        };
        self.db.read(projects_exist).await?;
        let addresses = self.addresses().await;
        if addresses.is_empty() {
            return Err(Error::bad_request("Can't issue token when server isn't listening on network"));
        }
        let expiry = CORE_REMOTE_TOKEN_EXPIRY.read(&self.server.config());
        let expiry = expiry.map_err(|error| Error::internal(error.to_string()))?;
        let secret = hex::encode(rand::random::<[u8; 32]>());
        let mut spec = OperationSpec::task("Executing operation", "")
            .class(Class::Token)
            .by(caller.requestor())
            .with("secret", secret)
            .with("fingerprint", self.server.certificate.fingerprint.clone())
            .with("addresses", json!(addresses))
            .with("request", json!(request));
        if let Some(end) = expiry.and_then(|expiry| expiry.after(Utc::now())) {
            spec = spec.with("expiresAt", json!(end));
        }
        Ok(self.operations.issue(spec))
    }

    /// The request of the token that a client sent (whole, or its secret alone); it is spent by that.
    fn use_token(&self, sent: &str) -> Option<CertificatesPost> {
        let secret = lxd_auth::token_secret(sent);
        let tokens = self.operations.list(|operation| operation.class() == Class::Token);
        let mut found = None;
        // All are compared, so that the time tells nothing.
        for token in tokens.iter().filter(|token| !token.status().is_final()) {
            let metadata = token.view(false).metadata;
            if expired(&metadata) {
                self.operations.end(token, Err(Error::cancelled("The token has expired")));
                continue;
            }
            let own = metadata.get("secret").and_then(|own| own.as_str()).unwrap_or_default();
            if bool::from(own.as_bytes().ct_eq(secret.as_bytes())) && !own.is_empty() {
                found = Some((token, metadata));
            }
        }
        let (token, metadata) = found?;
        if !self.operations.spend(token) {
            return None;
        }
        serde_json::from_value(metadata.get("request")?.clone()).ok()
    }
}

/// True when the time of a token is over.
fn expired(metadata: &BTreeMap<String, Value>) -> bool {
    let end = metadata.get("expiresAt").and_then(Value::as_str);
    end.and_then(|end| end.parse::<DateTime<Utc>>().ok()).is_some_and(|end| end <= Utc::now())
}

/// A number that stands for an address.
fn number_of(ip: IpAddr) -> i64 {
    match ip {
        IpAddr::V4(ip) => i64::from(u32::from(ip)),
        IpAddr::V6(ip) => {
            let [low, high] = [ip.to_bits() as u64, (ip.to_bits() >> 64) as u64];
            // Positive, and above all numbers of version 4.
            i64::try_from((low ^ high.rotate_left(17)) >> 1 | 1 << 62).unwrap_or(i64::MAX)
        }
    }
}

/// The certificate to add: that of the request, else that of the connection.
fn material(caller: &Caller, request: &CertificatesPost) -> Result<Material> {
    if caller.trusted {
        if request.certificate.is_empty() {
            return Err(Error::bad_request("Client is already trusted"));
        }
        return Material::parse(&request.certificate);
    }
    // A stranger vouches for nobody else: only for the key that its connection proved.
    match &caller.peer {
        Peer::Tls { certificate: Some(der), .. } => Material::from_der(der),
        _ => Err(Error::bad_request("No client certificate provided")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_end() {
        let ends = |end: Value| expired(&BTreeMap::from([("expiresAt".to_owned(), end)]));
        assert!(ends(json!("2020-01-01T00:00:00Z")) && ends(json!(Utc::now())));
        assert!(!ends(json!(Utc::now() + chrono::Duration::seconds(60))) && !ends(Value::Null));
        assert!(!expired(&BTreeMap::new()));
    }
}
