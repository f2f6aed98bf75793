//! Users whom an identity server names (Candid), with the rights that an RBAC service gives them (manual 3.4.5).

mod rbac;
mod settings;

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use lxd_auth::{Caller, Candid, Identity, Limits, Peer};
use lxd_client::{Egress, bakery, web};
use lxd_macaroon::{Challenge, PublicKey};
use lxd_types::{Error, Result};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) use settings::check;

use crate::{Core, SharedCore};
use rbac::Rbac;
use settings::Settings;

/// How long the identity server may take to tell its key.
const WAIT: Duration = Duration::from_secs(20);

/// What the configuration says of identity servers.
#[derive(Default)]
pub struct Identities {
    /// Replaced as a whole; held for a copy of the `Arc`.
    present: RwLock<Option<Arc<Provider>>>,
}

/// The identity server in use.
pub(crate) struct Provider {
    settings: Settings,
    /// Made when the key of the server is known.
    candid: OnceCell<Candid>,
    rbac: Option<Arc<Rbac>>,
    /// Ends the watching of the RBAC service.
    _stop: DropGuard,
}

impl Identities {
    /// Is there an identity server?
    pub fn is_used(&self) -> bool {
        self.present().is_some()
    }

    fn present(&self) -> Option<Arc<Provider>> {
        self.present.read().expect("no panic happens while the lock is held").clone()
    }

    /// A project was made, renamed or deleted: the RBAC service wants to know.
    pub(crate) fn projects_changed(&self) {
        if let Some(rbac) = self.present().and_then(|provider| provider.rbac.clone()) {
            rbac.nudge();
        }
    }
}

/// Takes over what the configuration says of identity servers. Whoever was let in by another one is a stranger now.
pub(crate) fn apply(core: &SharedCore) {
    let settings = Settings::of(&core.server.config());
    let identities = &core.identities;
    if identities.present().map(|provider| provider.settings.clone()) == settings {
        return;
    }
    let provider = settings.map(|settings| {
        let stop = core.end.child_token();
        let rbac = settings.rbac.clone().map(|rbac| Arc::new(Rbac::new(rbac, core.to_identities())));
        if let Some(rbac) = &rbac {
            rbac::watch(rbac.clone(), core, stop.clone());
        }
        Arc::new(Provider {
            settings,
            candid: OnceCell::new(),
            rbac,
            _stop: CancellationToken::drop_guard(stop),
        })
    });
    *identities.present.write().expect("no panic happens while the lock is held") = provider;
    core.distrust("candid", |_| true);
}

impl Provider {
    async fn candid(&self, egress: &Egress) -> Result<&Candid> {
        let make = || async {
            let Settings { location, key, expiry, domains, .. } = &self.settings;
            let key = match key {
                Some(key) => *key,
                None => fetch_key(location, egress).await?,
            };
            Ok(Candid::new(location, key, *expiry, domains))
        };
        self.candid.get_or_try_init(make).await
    }

    /// The user of the first cookie that proves one.
    fn user(&self, cookies: &[String]) -> Result<Option<Identity>> {
        let Some(candid) = self.candid.get() else { return Ok(None) };
        let now = Utc::now();
        for cookie in cookies {
            if let Some(identity) = candid.verify(cookie, now)? {
                return Ok(Some(identity));
            }
        }
        Ok(None)
    }

    /// The caller, by what is known now without asking anybody, and when its macaroon ends.
    fn recognise(&self, cookies: &[String], address: SocketAddr) -> Option<(Caller, Option<DateTime<Utc>>)> {
        let Identity { user, until } = self.user(cookies).ok().flatten()?;
        let projects = match &self.rbac {
            None => None,
            Some(rbac) => rbac.known(&user).unwrap_or(Some(Limits::default())),
        };
        Some((Caller { peer: Peer::External { user, address }, trusted: true, projects }, until))
    }
}

/// The public key of an identity server. Without TLS nobody could know whose key it is.
async fn fetch_key(location: &str, egress: &Egress) -> Result<PublicKey> {
    if !location.starts_with("https://") {
        return Err(Error::unavailable(format!("The public key of {location:?} must be configured")));
    }
    let failed =
        |why: &str| Error::unavailable(format!("Failed to get the public key of {location:?}: {why}"));
    let url = format!("{}/discharge/info", location.trim_end_matches('/'));
    let reply = web::send("GET", &url, &HeaderMap::new(), Bytes::new(), egress).await;
    let reply = reply.map_err(|error| failed(&error.to_string()))?;
    let status = reply.status;
    let body = bakery::read(reply, WAIT).await.map_err(|error| failed(&error.to_string()))?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let key = answer["PublicKey"].as_str().and_then(|text| text.parse().ok());
    key.ok_or_else(|| failed(&format!("its answer (status {status}) has none")))
}

impl Core {
    /// The way to identity servers: the administrator chose them, wherever they are.
    fn to_identities(&self) -> Egress {
        Egress { proxies: self.proxies(), patience: WAIT, ..Egress::default() }
    }

    /// Who brings these cookies, and until when they prove it; `None` when they prove nothing.
    ///
    /// # Errors
    /// The user's domain is not let in, or a server that must be asked does not answer.
    pub async fn identify(
        &self,
        cookies: &[String],
        address: SocketAddr,
    ) -> Result<Option<(Caller, Option<DateTime<Utc>>)>> {
        let Some(provider) = self.identities.present() else { return Ok(None) };
        provider.candid(&self.to_identities()).await?;
        let Some(identity) = provider.user(cookies)? else { return Ok(None) };
        if let Some(rbac) = &provider.rbac {
            rbac.learn(&self.db, &identity.user).await?;
        }
        Ok(provider.recognise(cookies, address))
    }

    /// The same by what is known now, without asking anybody.
    pub fn recognise(&self, cookies: &[String], address: SocketAddr) -> Option<Caller> {
        self.identities.present()?.recognise(cookies, address).map(|(caller, _)| caller)
    }

    /// What a client that knows macaroons is answered when it has no good one; `None` without an identity server.
    ///
    /// # Errors
    /// The identity server does not tell its key.
    pub async fn challenge(&self) -> Result<Option<Challenge>> {
        let Some(provider) = self.identities.present() else { return Ok(None) };
        provider.candid(&self.to_identities()).await?.challenge(Utc::now()).map(Some)
    }
}
