//! Users of an identity server (Candid, manual 3.4.5): the cookies of a request, and the answer that asks for them.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{Request, StatusCode};
use http_body_util::Full;
use lxd_auth::{Caller, Peer};
use lxd_core::SharedCore;
use lxd_types::{Error, Kind, Result};

use crate::Reply;
use crate::link::Watched;

/// How clients tell that they know macaroons.
const PROTOCOL: &str = "bakery-protocol-version";
/// How clients tell that they want to be let in as somebody, not as a stranger.
const AUTHENTICATED: &str = "x-lxd-authenticated";
/// Cookies that may hold macaroons.
const PREFIX: &str = "macaroon-";
/// Cookies of one request that are looked at.
const MOST: usize = 5;

/// Does the client know macaroons, and does this server want them?
pub fn is_spoken(core: &SharedCore, headers: &HeaderMap) -> bool {
    headers.contains_key(PROTOCOL) && core.identities.is_used()
}

/// Does the client refuse to be treated as a stranger?
pub fn insists(headers: &HeaderMap) -> bool {
    headers.get(AUTHENTICATED).is_some_and(|value| value == "true")
}

/// The caller, as the user whom its cookies prove; a websocket of the request then lives as long as the trust in that
/// user.
///
/// # Errors
/// The user's domain is not let in, or a server that must be asked does not answer.
pub async fn recognise<B>(
    core: &SharedCore,
    caller: Arc<Caller>,
    request: &mut Request<B>,
) -> Result<Arc<Caller>> {
    let Peer::Tls { address, .. } = caller.peer else { return Ok(caller) };
    if caller.trusted || !is_spoken(core, request.headers()) {
        return Ok(caller);
    }
    let cookies = cookies(request.headers());
    let (user, until) = match core.identify(&cookies, address).await {
        Ok(Some(known)) => known,
        Ok(None) => return Ok(caller),
        Err(error) => {
            if error.kind() == Kind::Forbidden {
                core.warn_of_failure(&caller, &error.chain()).await;
            }
            return Err(error);
        }
    };
    if let Some(watched) = request.extensions_mut().get_mut::<Watched>() {
        let core = core.clone();
        let now = move || core.recognise(&cookies, address).map_or_else(|| caller.clone(), Arc::new);
        watched.identify = Arc::new(now);
        watched.until = until.map(|until| until.timestamp());
    }
    Ok(Arc::new(user))
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found: Vec<String> = Vec::new();
    for (_, value) in pairs.filter(|(name, _)| name.starts_with(PREFIX)) {
        // The original client sends each one twice.
        if !found.iter().any(|known| known == value) && found.len() < MOST {
            found.push(value.to_owned());
        }
    }
    found
}

/// The answer to a client that has to get a macaroon first; `refused` where there is no identity server.
pub async fn challenge(core: &SharedCore, refused: Error) -> Result<Reply> {
    let Some(challenge) = core.challenge().await? else { return Err(refused) };
    let body = serde_json::to_vec(&challenge).map_err(|error| Error::internal(error.to_string()))?;
    let mut response = http::Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Macaroon"));
    Ok(Reply::response(response))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=b; macaroon-auth=x=; macaroon-auth=x="));
        headers.append(COOKIE, HeaderValue::from_static("macaroon-2=y"));
        assert_eq!(cookies(&headers), ["x=", "y"]);
        assert!(cookies(&HeaderMap::new()).is_empty());
    }
}
