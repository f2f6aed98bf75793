//! TCP to a server, directly or through the HTTP proxy that the environment names (manual 3.6.6).

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::address::split_authority;
use crate::connect::reason;
use crate::{Error, Result};

/// Longest head of a proxy's answer.
const MAX_HEAD: usize = 16 * 1024;

/// Connects to `host:port`, through `https_proxy` unless `no_proxy` names the host.
pub(crate) async fn connect(host: &str, port: u16) -> Result<TcpStream> {
    let env =
        |names: [&str; 2]| names.iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let proxy = env(["HTTPS_PROXY", "https_proxy"]);
    let exempt = env(["NO_PROXY", "no_proxy"]).unwrap_or_default();
    match proxy {
        Some(proxy) if !bypasses(host, &exempt) => tunnel(&proxy, host, port).await,
        _ => direct(host, port).await,
    }
}

async fn direct(host: &str, port: u16) -> Result<TcpStream> {
    TcpStream::connect((host, port)).await.map_err(|error| {
        if error.to_string().contains("failed to lookup address") {
            return Error::Connect(format!("lookup {host}: no such host"));
        }
        let at = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Error::Connect(format!("dial tcp {at}: connect: {}", reason(&error)))
    })
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
    let bad = || Error::Connect(format!("invalid proxy address {proxy:?}"));
    let rest = proxy.split_once("://").map_or(Ok(proxy), |(scheme, rest)| match scheme {
        "http" => Ok(rest),
        _ => Err(bad()),
    })?;
    let authority = rest.split('/').next().unwrap_or(rest);
    let (login, authority) = authority.rsplit_once('@').map_or((None, authority), |(l, a)| (Some(l), a));
    let (proxy_host, proxy_port) = split_authority(authority).ok_or_else(bad)?;
    let mut stream = direct(&proxy_host, proxy_port.unwrap_or(80)).await?;

    let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(login) = login {
        head.push_str(&format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(login)));
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
