//! Plain web requests: image files on servers that speak no LXD (manual 3.3.3, "File on a remote web server").

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, LOCATION, PROXY_AUTHORIZATION};
use hyper_util::rt::TokioIo;

use crate::address::split_authority;
use crate::connect::{Link, reason};
use crate::egress::is_here;
use crate::proxy::Relay;
use crate::{Body, Egress, Error, Reach, Reply, Result, TlsSettings};

/// Redirects that are followed, as Go's client does.
const REDIRECTS: usize = 10;

/// The parts of a URL.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Url {
    tls: bool,
    authority: String,
    host: String,
    port: u16,
    path: String,
    /// `LOGIN:PASSWORD` that stood before the host.
    login: Option<String>,
}

impl Url {
    fn parse(text: &str) -> Result<Self> {
        let bad = || Error::Local(format!("unsupported protocol scheme in {text:?}"));
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(bad()),
        };
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(bad());
        }
        let rest = rest.split('#').next().unwrap_or(rest);
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let (login, authority) = authority.rsplit_once('@').map_or((None, authority), |(l, a)| (Some(l), a));
        let (host, port) = split_authority(authority).ok_or_else(bad)?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        let login = login.map(str::to_owned);
        Ok(Self { tls, authority: authority.to_owned(), host, port, path, login })
    }

    /// Without the login, for messages.
    fn shown(&self) -> String {
        format!("{}://{}{}", if self.tls { "https" } else { "http" }, self.authority, self.path)
    }

    /// The URL that a `Location` header names.
    fn join(&self, location: &str) -> Result<Self> {
        if location.contains("://") {
            let next = Self::parse(location)?;
            // What was fetched with TLS is not continued without.
            if self.tls && !next.tls {
                return Err(Error::Protocol(format!("Refused a redirect from https to {location:?}")));
            }
            return Ok(next);
        }
        let base = self.path.rsplit_once('/').map_or("", |(base, _)| base);
        let path = if location.starts_with('/') { location.to_owned() } else { format!("{base}/{location}") };
        Ok(Self { path, ..self.clone() })
    }
}

/// Sends a request without a body (`GET`, `HEAD`) and follows redirects; the answer is that of the last server. A server
/// elsewhere cannot lead to addresses of this machine.
///
/// # Errors
/// No http(s) URL, no connection, an address that may not be dialled, too many redirects.
pub async fn fetch(method: &str, url: &str, headers: &HeaderMap, egress: &Egress) -> Result<Reply> {
    let mut url_parts = Url::parse(url)?;
    let mut egress = egress.clone();
    let shown = url_parts.shown();
    for _ in 0..=REDIRECTS {
        let reply = once(method, &url_parts, headers, Bytes::new(), &egress).await?;
        let location = reply.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        match (reply.status, location) {
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                url_parts = url_parts.join(location)?;
                egress.reach = reply.next;
            }
            _ => return Ok(reply),
        }
    }
    Err(Error::Protocol(format!("{method} {shown:?}: stopped after {REDIRECTS} redirects")))
}

/// Begins to fetch a file.
///
/// # Errors
/// As [`fetch`]; the server has no such file.
pub async fn get(url: &str, egress: &Egress) -> Result<Reply> {
    let reply = fetch("GET", url, &HeaderMap::new(), egress).await?;
    match reply.status {
        200 => Ok(reply),
        status => Err(Error::Protocol(format!("Unable to fetch {url:?}: HTTP status {status}"))),
    }
}

/// Sends a request with a body, and follows no redirect.
///
/// # Errors
/// No http(s) URL, no connection, no answer in time.
pub async fn send(
    method: &str,
    url: &str,
    headers: &HeaderMap,
    body: Bytes,
    egress: &Egress,
) -> Result<Reply> {
    once(method, &Url::parse(url)?, headers, body, egress).await
}

async fn once(method: &str, url: &Url, headers: &HeaderMap, body: Bytes, egress: &Egress) -> Result<Reply> {
    let late = |_| Error::Connect(format!("{method} {:?}: timeout awaiting headers", url.shown()));
    let answer = exchange(method, url, headers, body, egress);
    tokio::time::timeout(egress.patience, answer).await.map_err(late)?
}

async fn exchange(
    method: &str,
    url: &Url,
    headers: &HeaderMap,
    body: Bytes,
    egress: &Egress,
) -> Result<Reply> {
    let (proxies, reach) = (&egress.proxies, egress.reach);
    let (tcp, relay) = if url.tls {
        (proxies.connect_tls(&url.host, url.port, reach).await?, None)
    } else {
        proxies.connect_plain(&url.host, url.port, reach).await?
    };
    let _ = tcp.set_nodelay(true);
    let local = tcp.peer_addr().is_ok_and(|peer| is_here(peer.ip()))
        && url.host.parse().map_or(url.host == "localhost", is_here);
    let next = if local { reach } else { Reach::Outside(None) };
    let link = match url.tls {
        true => {
            let tls = TlsSettings { pinned: egress.pinned.clone(), ..TlsSettings::default() };
            Link::Tls(Box::new(tls.handshake(&url.host, tcp).await?))
        }
        false => Link::Tcp(tcp),
    };
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(512 * 1024)
        .handshake(TokioIo::new(link))
        .await
        .map_err(Error::protocol)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            // The requester sees the failure as an error of its own request.
            tracing::debug!(%error, "a web connection ended");
        }
    });
    let response = sender
        .send_request(request(method, url, headers, body, relay)?)
        .await
        .map_err(|error| Error::protocol(text(&error)))?;
    let (parts, body) = response.into_parts();
    Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body, next })
}

fn request(
    method: &str,
    url: &Url,
    headers: &HeaderMap,
    body: Bytes,
    relay: Option<Relay>,
) -> Result<Request<Body>> {
    let target = match relay {
        Some(_) => format!("http://{}{}", url.authority, url.path),
        None => url.path.clone(),
    };
    let mut request = Request::builder().method(method).uri(target).header(HOST, &url.authority);
    if let Some(login) = &url.login {
        request = request.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(login)));
    }
    if let Some(authorization) = relay.and_then(|relay| relay.authorization) {
        request = request.header(PROXY_AUTHORIZATION, authorization);
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
    request.body(body).map_err(Error::protocol)
}

fn text(error: &hyper::Error) -> String {
    use std::error::Error as _;
    let cause = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    cause.map_or_else(|| error.to_string(), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Proxies;

    #[test]
    fn urls_are_split() {
        let url = Url::parse("http://[::1]:8080/a/b?c=d#e").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("::1", 8080, "/a/b?c=d"));
        assert_eq!(Url::parse("https://example").unwrap().port, 443);
        assert_eq!(url.join("x").unwrap().path, "/a/x");
        assert_eq!(url.join("/x").unwrap().path, "/x");
        for bad in ["", "file:///etc/passwd", "http://", "ftp://x", "http://a b/", "http://a/\r\nX: y"] {
            assert!(Url::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Url::parse("https://a/").unwrap().join("http://a/").is_err());
    }

    #[tokio::test]
    async fn redirects_are_followed() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            for answer in
                ["302 Found\r\nLocation: /next\r\nContent-Length: 0", "200 OK\r\nContent-Length: 2\r\nX-A: b"]
            {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                assert!(request[..length].starts_with(b"GET /"));
                stream.write_all(format!("HTTP/1.1 {answer}\r\n\r\nok").as_bytes()).await.unwrap();
            }
        });
        let url = format!("http://127.0.0.1:{port}/first");
        let reply = fetch("GET", &url, &HeaderMap::new(), &Egress::default()).await.unwrap();
        assert_eq!((reply.status, reply.header("x-a")), (200, "b"));
        assert_eq!(&reply.bytes().await.unwrap()[..], b"ok");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_proxy_gets_the_whole_url() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            String::from_utf8_lossy(&request[..length]).to_lowercase()
        });
        let proxies = Proxies { http: format!("http://me:x@127.0.0.1:{port}"), ..Proxies::default() };
        let egress = Egress { proxies, ..Egress::default() };
        let url = "http://images.example/a?b=c";
        let reply = fetch("GET", url, &HeaderMap::new(), &egress).await.unwrap();
        assert_eq!(&reply.bytes().await.unwrap()[..], b"ok");
        let request = server.await.unwrap();
        assert!(request.starts_with("get http://images.example/a?b=c http/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nproxy-authorization: basic bwu6ea==\r\n"), "{request}");
    }
}
