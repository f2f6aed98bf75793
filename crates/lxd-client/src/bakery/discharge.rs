//! Getting the answers to the conditions of a macaroon from the servers that they name.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderValue};
use lxd_macaroon::{Challenge, INTERACTION_REQUIRED, Macaroon, Wire, to_base64};
use serde_json::Value;

use super::{headers_in, read, refused};
use crate::{Egress, Error, Result, encode, web};

/// Answers that are asked for at most: an identity server may name others.
const MOST: usize = 10;

/// What proves a login to an identity server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Token {
    /// The way in which it was got.
    pub kind: String,
    /// What the identity server gave.
    pub value: Vec<u8>,
}

/// A way to log in at an identity server.
pub trait Login: Send + Sync {
    /// Logs in at the server at `location`; `methods` is what it offers. Fails when none of the ways is known, or when
    /// the login is refused.
    fn login<'a>(
        &'a self,
        location: &'a str,
        methods: &'a Value,
        egress: &'a Egress,
    ) -> BoxFuture<'a, Result<Token>>;

    /// The domain of the user, where it was told.
    fn domain(&self) -> &str {
        ""
    }
}

/// Gets the answers that a server asks for; the cookie for it, `name=value`.
///
/// # Errors
/// The macaroon is malformed, or an identity server refuses.
pub async fn discharge(challenge: &Challenge, login: &dyn Login, egress: &Egress) -> Result<String> {
    let info = challenge.info.as_ref();
    let info = info.ok_or_else(|| Error::Protocol("no macaroon in the server's answer".to_owned()))?;
    let root = Wire::parse(&info.macaroon).map_err(Error::protocol)?;
    let (primary, mut all) = (root.macaroon.signature, vec![root.macaroon.to_json()]);
    let mut open = vec![root];
    while let Some(wire) = open.pop() {
        for caveat in wire.macaroon.caveats.iter().filter(|caveat| !caveat.verification.is_empty()) {
            if all.len() > MOST {
                return Err(Error::Protocol("too many discharges are asked for".to_owned()));
            }
            let condition = wire.condition(caveat).map_err(Error::protocol)?;
            let answer = acquire(&caveat.location, &caveat.id, &condition, login, egress).await?;
            let mut bound: Macaroon = answer.macaroon.clone();
            bound.bind(&primary);
            all.push(bound.to_json());
            open.push(answer);
        }
    }
    let suffix = if info.cookie_name_suffix.is_empty() { "auth" } else { &info.cookie_name_suffix };
    // Padded, as the original client writes it.
    let value = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        Value::Array(all).to_string().as_bytes(),
    );
    Ok(format!("macaroon-{suffix}={value}"))
}

/// One answer, after a login where the server wants one.
async fn acquire(
    location: &str,
    id: &[u8],
    condition: &[u8],
    login: &dyn Login,
    egress: &Egress,
) -> Result<Wire> {
    let named = |error: Error| Error::Protocol(format!("cannot get discharge from {location:?}: {error}"));
    let mut form = format!("id64={}", to_base64(id));
    if condition != id {
        form.push_str(&format!("&caveat64={}", to_base64(condition)));
    }
    let url = format!("{}/discharge", location.trim_end_matches('/'));
    let mut token = String::new();
    loop {
        let body = Bytes::from(format!("{form}{token}"));
        let mut headers = headers_in(login.domain());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let reply = web::send("POST", &url, &headers, body, egress).await.map_err(named)?;
        let status = reply.status;
        let answer = read(reply, egress.patience).await.map_err(named)?;
        if status == 200 {
            let answer: Value = serde_json::from_slice(&answer).map_err(Error::protocol).map_err(named)?;
            return Wire::parse(&answer["Macaroon"]).map_err(Error::protocol).map_err(named);
        }
        let wanted = serde_json::from_slice::<Challenge>(&answer).ok();
        let wanted = wanted.filter(|wanted| wanted.code == INTERACTION_REQUIRED && token.is_empty());
        let Some(methods) = wanted.and_then(|wanted| wanted.info).map(|info| info.interaction_methods) else {
            return Err(named(refused(&url, status, &answer)));
        };
        let got = login.login(location, &methods, egress).await.map_err(named)?;
        token = format!("&token64={}&token-kind={}", to_base64(&got.value), encode(&got.kind));
    }
}
