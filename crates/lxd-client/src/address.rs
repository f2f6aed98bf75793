//! Where a server is: a unix socket or an HTTPS URL.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Address of a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// A unix socket on this machine.
    Unix(PathBuf),
    /// An HTTPS server: host and port.
    Https {
        /// Host name or address, without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
}

impl Address {
    /// Parses `https://HOST[:PORT]` (port 443 without one, as in any URL) or `unix://[PATH]`.
    ///
    /// # Errors
    /// Another scheme, no host, or a port that is no number.
    pub fn parse(url: &str) -> Result<Self> {
        if let Some(path) = url.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return Ok(Self::Unix(if path.is_empty() { default_socket() } else { path.into() }));
        }
        let bad = || Error::Local(format!("Unsupported protocol in {url:?}"));
        let rest = url.strip_prefix("https://").ok_or_else(bad)?;
        let authority = rest.split('/').next().unwrap_or(rest);
        let (host, port) = split_authority(authority).ok_or_else(bad)?;
        Ok(Self::Https { host, port: port.unwrap_or(443) })
    }

    /// `http://unix.socket` or `https://HOST:PORT`, as error texts name the server.
    pub fn base_url(&self) -> String {
        match self {
            Self::Unix(_) => "http://unix.socket".to_owned(),
            Self::Https { .. } => format!("https://{}", self.authority()),
        }
    }

    /// Value of the header `Host`.
    pub fn authority(&self) -> String {
        match self {
            Self::Unix(_) => "unix.socket".to_owned(),
            Self::Https { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Https { host, port } => format!("{host}:{port}"),
        }
    }
}

/// Splits `HOST[:PORT]` or `[V6][:PORT]`; `None` when the host is missing or the port wrong.
pub(crate) fn split_authority(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        (host, rest.strip_prefix(':').or(if rest.is_empty() { Some("") } else { None })?)
    } else {
        text.rsplit_once(':').unwrap_or((text, ""))
    };
    let port = if port.is_empty() { None } else { Some(port.parse().ok()?) };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// Socket of the server on this machine: `$LXD_SOCKET`, else `unix.socket` in `$LXD_DIR`, else in `/var/lib/lxd`.
pub fn default_socket() -> PathBuf {
    let given = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = given("LXD_SOCKET") {
        return path.into();
    }
    unix_socket(Path::new(&given("LXD_DIR").unwrap_or_else(|| "/var/lib/lxd".into())))
}

/// The API socket in a data directory.
pub fn unix_socket(dir: &Path) -> PathBuf {
    dir.join("unix.socket")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls() {
        let https = |host: &str, port| Address::Https { host: host.into(), port };
        assert_eq!(Address::parse("https://a:8443").unwrap(), https("a", 8443));
        assert_eq!(Address::parse("https://a/x").unwrap(), https("a", 443));
        assert_eq!(Address::parse("https://[::1]:8443").unwrap(), https("::1", 8443));
        assert_eq!(https("::1", 8443).authority(), "[::1]:8443");
        assert_eq!(Address::parse("unix:///a/b").unwrap(), Address::Unix("/a/b".into()));
        assert!(Address::parse("ftp://a").is_err());
        assert!(Address::parse("https://a:x").is_err());
    }

    proptest! {
        #[test]
        fn an_accepted_address_reads_back(any: String, near in "https://(\\[[:0-9a-f]{0,6}\\]|[a-z.]{0,6})(:[0-9]{0,6})?(/x)?") {
            let _ = Address::parse(&any);
            if let Ok(address) = Address::parse(&near) {
                prop_assert_eq!(Address::parse(&address.base_url()).unwrap(), address);
            }
        }
    }
}
