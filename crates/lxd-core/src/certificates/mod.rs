//! Trusted certificates (manual 3.4.5): list, show, edit, remove. Adding one is in [`add`](mod@add).

mod add;

use std::collections::HashMap;

use lxd_api::certificate::{Certificate as Wire, CertificatePut};
use lxd_auth::{
    Caller, Limits, Permit, Trusted,
    material::{Material, check_client},
};
use lxd_db::Db;
use lxd_db::certificates::{self, Certificate};
use lxd_task::operation::{Class, Operation};
use lxd_types::{Error, Result};

pub use add::Added;

use crate::{Core, Lifecycle};

/// What the trust store holds: the certificates of the database, whatever their type.
///
/// # Errors
/// A failure of the database.
pub async fn known(db: &Db) -> Result<HashMap<String, Trusted>> {
    let all = db.read(certificates::list).await?;
    let trusted = |certificate: Certificate| {
        let projects = certificate.restricted.then(|| Limits::of_certificate(certificate.projects));
        let is_client = certificate.kind == certificates::CLIENT;
        (certificate.fingerprint, Trusted { is_client, projects })
    };
    Ok(all.into_iter().map(trusted).collect())
}

/// URL of a certificate.
pub fn url(fingerprint: &str) -> String {
    format!("/1.0/certificates/{fingerprint}")
}

fn kind_name(kind: i64) -> &'static str {
    match kind {
        certificates::SERVER => "server",
        certificates::METRICS => "metrics",
        _ => "client",
    }
}

fn kind_of(name: &str) -> Result<i64> {
    match name {
        "client" => Ok(certificates::CLIENT),
        "server" => Ok(certificates::SERVER),
        "metrics" => Ok(certificates::METRICS),
        _ => Err(Error::bad_request("Invalid certificate type")),
    }
}

fn wire(certificate: Certificate) -> Wire {
    Wire {
        name: certificate.name,
        kind: kind_name(certificate.kind).to_owned(),
        restricted: certificate.restricted,
        projects: certificate.projects,
        certificate: certificate.certificate,
        fingerprint: certificate.fingerprint,
    }
}

/// The fields that can be changed: what an ETag is made of and what PATCH starts from.
pub fn fields(certificate: &Wire) -> CertificatePut {
    CertificatePut {
        name: certificate.name.clone(),
        kind: certificate.kind.clone(),
        restricted: certificate.restricted,
        projects: certificate.projects.clone(),
        certificate: certificate.certificate.clone(),
    }
}

impl Core {
    /// The trusted certificates that the caller may see, sorted by fingerprint: who is limited to projects sees its own.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn certificates(&self, caller: &Caller) -> Result<Vec<Wire>> {
        let all = self.db.read(certificates::list).await?.into_iter().map(wire);
        let mut all: Vec<Wire> = all.filter(|one| caller.is_admin() || is_own(caller, one)).collect();
        all.sort_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
        Ok(all)
    }

    /// The certificate whose fingerprint begins so. One that the caller may not see is as if it were not there.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub async fn certificate(&self, caller: &Caller, prefix: &str) -> Result<Wire> {
        let begin = prefix.to_owned();
        let found = self.db.read(move |tx| certificates::get(tx, &begin)).await;
        if caller.is_admin() {
            return found.map(wire);
        }
        let own = found.map(wire).ok().filter(|found| is_own(caller, found));
        own.ok_or_else(|| Error::not_found("Certificate not found"))
    }

    /// Gives a certificate other fields. A client that is limited to projects may only renew its own
    /// certificate (security.md D8).
    ///
    /// # Errors
    /// The change is not allowed, or names something that does not exist.
    pub async fn update_certificate(&self, caller: &Caller, old: &Wire, new: CertificatePut) -> Result<()> {
        if new.kind != old.kind {
            return Err(Error::forbidden("The certificate type cannot be changed"));
        }
        let same = CertificatePut { certificate: new.certificate.clone(), ..fields(old) };
        let renews = is_own(caller, old) && new == same;
        if !caller.is_admin() && !renews {
            return Err(lxd_auth::denied());
        }
        let material = match new.certificate.as_str() {
            "" => Material::parse(&old.certificate)?,
            text => {
                let new = Material::parse(text)?;
                if new.fingerprint != old.fingerprint && old.kind != "server" {
                    check_client(&new.pem, chrono::Utc::now().timestamp())?;
                }
                new
            }
        };
        if material.fingerprint != old.fingerprint {
            self.refuse_gain(old)?;
        }
        let prefix = old.fingerprint.clone();
        let fingerprint = material.fingerprint.clone();
        let changed = move |tx: &lxd_db::Tx<'_>| {
            let present = certificates::get(tx, &prefix)?;
            if material.fingerprint != prefix && certificates::exists(tx, &material.fingerprint)? {
                return Err(Error::conflict("Certificate already in trust store"));
            }
            certificates::update(
                tx,
                &Certificate {
                    id: present.id,
                    fingerprint: material.fingerprint.clone(),
                    kind: present.kind,
                    name: new.name.clone(),
                    certificate: material.pem.clone(),
                    restricted: new.restricted,
                    projects: new.projects.clone(),
                },
            )
        };
        self.db.write(changed).await?;
        self.trust_changed().await?;
        self.tell(caller, Lifecycle::new("certificate-updated", url(&fingerprint)).in_project(&default()));
        Ok(())
    }

    /// Removes a certificate.
    ///
    /// # Errors
    /// There is none whose fingerprint begins so, or its holder would have more rights then than before.
    pub async fn remove_certificate(&self, permit: &Permit, prefix: &str) -> Result<()> {
        let prefix = self.certificate(permit.caller(), prefix).await?;
        self.refuse_gain(&prefix)?;
        let prefix = prefix.fingerprint;
        let removed = move |tx: &lxd_db::Tx<'_>| {
            let certificate = certificates::get(tx, &prefix)?;
            certificates::delete(tx, certificate.id)?;
            Ok(certificate.fingerprint)
        };
        let fingerprint = self.db.write(removed).await?;
        self.trust_changed().await?;
        let event = Lifecycle::new("certificate-deleted", url(&fingerprint)).in_project(&default());
        self.tell(permit.caller(), event);
        Ok(())
    }

    /// With `core.trust_ca_certificates` who is not in the trust store is trusted without limits: nobody gets there by being
    /// removed from it.
    fn refuse_gain(&self, certificate: &Wire) -> Result<()> {
        let is_limited = certificate.restricted || certificate.kind != kind_name(certificates::CLIENT);
        let Some(authority) = self.server.authority.get().filter(|_| is_limited) else { return Ok(()) };
        if !self.server.trusts_authority() || !authority.may_vouch_for(&certificate.certificate) {
            return Ok(());
        }
        Err(Error::bad_request(
            "With core.trust_ca_certificates the owner of this certificate would be trusted without its limits: \
             revoke it in ca.crl and restart the server first",
        ))
    }

    /// Makes the trust store agree with the database; connections look there at each request. Who lost something of
    /// its trust loses its tokens, and, by the watchers of its connections, its open websockets.
    pub(crate) async fn trust_changed(&self) -> Result<()> {
        let lost = self.trust.replace(known(&self.db).await?);
        self.distrust("tls", |client| lost.iter().any(|one| one == client));
        Ok(())
    }

    /// Clients of a protocol lost something of their trust: their tokens are void, and who holds a connection open looks
    /// again.
    pub(crate) fn distrust(&self, protocol: &str, lost: impl Fn(&str) -> bool) {
        let of_lost = |operation: &Operation| {
            let by = operation.requestor();
            operation.class() == Class::Token
                && by.is_some_and(|by| by.protocol == protocol && lost(&by.username))
        };
        for token in self.operations.list(of_lost) {
            self.operations.end(&token, Err(lxd_auth::denied()));
        }
        self.trust_changes.send_modify(|changes| *changes += 1);
    }
}

fn default() -> lxd_types::names::ProjectName {
    lxd_types::names::ProjectName::default_project()
}

fn is_own(caller: &Caller, certificate: &Wire) -> bool {
    matches!(&caller.peer, lxd_auth::Peer::Tls { fingerprint: Some(own), .. } if *own == certificate.fingerprint)
}
