//! TCP to a server, directly or through the HTTP proxy that the environment names (manual 3.6.6).

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::address::split_authority;
use crate::{Error, Reach, Result};

/// Longest head of a proxy's answer.
const MAX_HEAD: usize = 16 * 1024;

/// Which proxies to use; an empty value means none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Proxies {
    /// Proxy for `http` URLs.
    pub http: String,
    /// Proxy for `https` URLs and for servers.
    pub https: String,
    /// Hosts that are reached without one, as in `no_proxy`.
    pub ignore: String,
}

impl Proxies {
    /// Those of the environment.
    pub fn from_env() -> Self {
        let env = |names: [&str; 2]| {
            names
                .iter()
                .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
                .unwrap_or_default()
        };
        Self {
            http: env(["HTTP_PROXY", "http_proxy"]),
            https: env(["HTTPS_PROXY", "https_proxy"]),
            ignore: env(["NO_PROXY", "no_proxy"]),
        }
    }

    /// Connects to `host:port` for TLS.
    pub(crate) async fn connect_tls(&self, host: &str, port: u16, reach: Reach) -> Result<TcpStream> {
        if self.https.is_empty() || bypasses(host, &self.ignore) {
            return reach.dial(host, port).await;
        }
        reach.check_name(host)?;
        tunnel(&self.https, host, port).await
    }

    /// Connects for a request without TLS: to the host itself, or to the proxy, which then wants the whole URL in the
    /// request, and perhaps a login.
    pub(crate) async fn connect_plain(
        &self,
        host: &str,
        port: u16,
        reach: Reach,
    ) -> Result<(TcpStream, Option<Relay>)> {
        if self.http.is_empty() || bypasses(host, &self.ignore) {
            return Ok((reach.dial(host, port).await?, None));
        }
        reach.check_name(host)?;
        let proxy = Address::parse(&self.http)?;
        let stream = Reach::Anywhere.dial(&proxy.host, proxy.port).await?;
        Ok((stream, Some(Relay { authorization: proxy.authorization })))
    }
}

/// What a request to a proxy has besides the whole URL.
pub(crate) struct Relay {
    /// Value of `Proxy-Authorization`.
    pub authorization: Option<String>,
}

/// Where a proxy is, and the login for it.
struct Address {
    host: String,
    port: u16,
    authorization: Option<String>,
}

impl Address {
    fn parse(proxy: &str) -> Result<Self> {
        let bad = || Error::Connect(format!("invalid proxy address {proxy:?}"));
        let rest = proxy.split_once("://").map_or(Ok(proxy), |(scheme, rest)| match scheme {
            "http" => Ok(rest),
            _ => Err(bad()),
        })?;
        let authority = rest.split('/').next().unwrap_or(rest);
        let (login, authority) = authority.rsplit_once('@').map_or((None, authority), |(l, a)| (Some(l), a));
        let (host, port) = split_authority(authority).ok_or_else(bad)?;
        let authorization = login.map(|login| format!("Basic {}", STANDARD.encode(login)));
        Ok(Self { host, port: port.unwrap_or(80), authorization })
    }
}

/// True for loopback and for hosts that `no_proxy` lists (names, domains, addresses, CIDR ranges, `*`).
fn bypasses(host: &str, list: &str) -> bool {
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|a| a.is_loopback()) {
        return true;
    }
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" || entry.eq_ignore_ascii_case(host) {
            return true;
        }
        if let (Some(address), Some((net, bits))) = (address, entry.split_once('/')) {
            return in_range(address, net, bits).unwrap_or(false);
        }
        let domain = entry.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
        host.to_ascii_lowercase().strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'))
    })
}

fn in_range(address: IpAddr, net: &str, bits: &str) -> Option<bool> {
    let bits: u32 = bits.parse().ok()?;
    match (address, net.parse().ok()?) {
        (IpAddr::V4(a), IpAddr::V4(n)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            Some(u32::from(a) & mask == u32::from(n) & mask)
        }
        (IpAddr::V6(a), IpAddr::V6(n)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            Some(u128::from(a) & mask == u128::from(n) & mask)
        }
        _ => Some(false),
    }
}

/// Asks an HTTP proxy for a tunnel (`CONNECT`).
async fn tunnel(proxy: &str, host: &str, port: u16) -> Result<TcpStream> {
    let proxy = Address::parse(proxy)?;
    let mut stream = Reach::Anywhere.dial(&proxy.host, proxy.port).await?;

    let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(authorization) = proxy.authorization {
        head.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.map_err(Error::protocol)?;
    let answer = read_head(&mut stream).await?;
    let status = answer.split_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        let line = answer.lines().next().unwrap_or_default();
        return Err(Error::Connect(line.split_once(' ').map_or(line, |(_, rest)| rest).to_owned()));
    }
    Ok(stream)
}

/// Reads up to the empty line, byte by byte: what follows belongs to TLS.
async fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD {
            return Err(Error::Protocol("proxy answer too long".into()));
        }
        head.push(stream.read_u8().await.map_err(Error::protocol)?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let proxy = Address::parse("http://me:secret@[::1]:3128/").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("::1", 3128));
        assert_eq!(proxy.authorization.as_deref(), Some("Basic bWU6c2VjcmV0"));
        assert_eq!(Address::parse("proxy.corp").unwrap().port, 80);
        for bad in ["https://proxy", "socks5://proxy:1", "http://"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_proxy_list() {
        let list = "example.com, .corp, 10.0.0.0/8,*.test";
        for host in
            ["localhost", "127.0.0.1", "::1", "example.com", "a.example.com", "a.corp", "10.3.2.1", "x.test"]
        {
            assert!(bypasses(host, list), "{host}");
        }
        for host in ["example.org", "notexample.com", "11.0.0.1", "fe80::1"] {
            assert!(!bypasses(host, list), "{host}");
        }
        assert!(bypasses("example.org", "*"));
    }
}
