//! Servers that want macaroons (manual 3.4.5, Candid): getting the answers of identity servers, and bringing them with
//! each request.

mod agent;
mod discharge;
mod jar;
mod user;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue};
use lxd_macaroon::{Challenge, DISCHARGE_REQUIRED};

pub use agent::Agent;
pub use discharge::{Login, Token, discharge};
pub use jar::Jar;
pub use user::{Ask, User};

use crate::{Egress, Error, Result, web};

/// The header that tells the version of the protocol, and that macaroons are known at all.
pub const VERSION_HEADER: &str = "bakery-protocol-version";
/// The version that is spoken.
pub const VERSION: &str = "3";
/// The longest answer that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// A plain web client that brings macaroons to the servers that want them.
pub struct Bakery {
    login: Box<dyn Login>,
    egress: Egress,
    /// Cookies by server (`https://host:port`). Held for a copy.
    cookies: Mutex<HashMap<String, String>>,
}

impl Bakery {
    /// A client that logs in so.
    pub fn new(login: impl Login + 'static, egress: Egress) -> Self {
        Self { login: Box::new(login), egress, cookies: Mutex::default() }
    }

    /// Sends a request; the body of an answer with status 200. `wait`: how long the answer may take.
    ///
    /// # Errors
    /// No connection, no login, or another status.
    pub async fn call(&self, method: &str, url: &str, body: Bytes, wait: Duration) -> Result<Bytes> {
        let origin = origin(url);
        let egress = Egress { patience: wait, ..self.egress.clone() };
        let mut tried = false;
        loop {
            let mut headers = headers();
            if !body.is_empty() {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            let cookie = self.cookies.lock().unwrap_or_else(PoisonError::into_inner).get(&origin).cloned();
            if let Some(value) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
                headers.insert(COOKIE, value);
            }
            let reply = web::send(method, url, &headers, body.clone(), &egress).await?;
            let status = reply.status;
            let answer = read(reply, wait).await?;
            if status == 200 {
                return Ok(answer);
            }
            let challenge = challenge(status, &answer).filter(|_| !tried);
            let Some(challenge) = challenge else {
                return Err(refused(url, status, &answer));
            };
            let cookie = discharge(&challenge, &*self.login, &self.egress).await?;
            self.cookies.lock().unwrap_or_else(PoisonError::into_inner).insert(origin.clone(), cookie);
            tried = true;
        }
    }
}

/// The answer as a demand for a macaroon, if it is one.
pub(crate) fn challenge(status: u16, body: &[u8]) -> Option<Challenge> {
    if !matches!(status, 401 | 407) {
        return None;
    }
    serde_json::from_slice::<Challenge>(body).ok().filter(|challenge| challenge.code == DISCHARGE_REQUIRED)
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(VERSION_HEADER, HeaderValue::from_static(VERSION));
    headers
}

/// The same for an identity server that is told the domain of the user.
fn headers_in(domain: &str) -> HeaderMap {
    let mut headers = headers();
    if !domain.is_empty()
        && let Ok(value) = HeaderValue::from_str(&format!("domain={domain}"))
    {
        headers.insert(COOKIE, value);
    }
    headers
}

fn origin(url: &str) -> String {
    let end = url.match_indices('/').nth(2).map_or(url.len(), |(at, _)| at);
    url[..end].to_owned()
}

/// A whole answer; one that is too long, or that did not come within `wait`, is refused.
///
/// # Errors
/// The connection broke, or that.
pub async fn read(reply: crate::Reply, wait: Duration) -> Result<Bytes> {
    let late = |_| Error::Protocol("The identity server does not end its answer".to_owned());
    tokio::time::timeout(wait, collect(reply)).await.map_err(late)?
}

async fn collect(mut reply: crate::Reply) -> Result<Bytes> {
    let mut all = Vec::new();
    while let Some(chunk) = reply.chunk().await? {
        if all.len() + chunk.len() > LONGEST {
            return Err(Error::Protocol("The answer of the identity server is too long".to_owned()));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.into())
}

fn refused(url: &str, status: u16, body: &[u8]) -> Error {
    let told = serde_json::from_slice::<Challenge>(body).map(|answer| answer.message).unwrap_or_default();
    let text = if told.is_empty() { format!("HTTP status {status}") } else { told };
    Error::Protocol(format!("{} refused: {text}", origin(url)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        assert_eq!(origin("http://a:1/b/c"), "http://a:1");
        assert_eq!(origin("https://a"), "https://a");
    }

    #[tokio::test]
    async fn an_answer_that_does_not_end_or_is_endless_is_refused() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            for many in [0, 1000] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let chunk = chunk.clone();
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 4096]).await;
                    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                    let _ = stream.write_all(head.as_bytes()).await;
                    for _ in 0..many {
                        let _ = stream.write_all(chunk.as_bytes()).await;
                    }
                    std::future::pending::<()>().await;
                });
            }
        });
        for text in ["does not end", "too long"] {
            let wait = Duration::from_millis(if text == "too long" { 20_000 } else { 50 });
            let sent = web::send("GET", &url, &HeaderMap::new(), Bytes::new(), &Egress::default()).await;
            let refused = read(sent.unwrap(), wait).await.unwrap_err();
            assert!(refused.to_string().contains(text), "{refused}");
        }
    }

    #[test]
    fn only_demands_are_challenges() {
        assert!(challenge(401, br#"{"Code":"macaroon discharge required","Info":{}}"#).is_some());
        for (status, body) in [(403, r#"{"Code":"macaroon discharge required"}"#), (401, "{}"), (401, "x")] {
            assert!(challenge(status, body.as_bytes()).is_none());
        }
    }
}
