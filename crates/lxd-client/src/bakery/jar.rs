//! The cookies of a remote: a file in the form that the original client keeps them in.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How long a cookie is kept whose server tells nothing.
const DEFAULT: Duration = Duration::days(1);

/// One cookie, with the members of the original's file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct Cookie {
    name: String,
    value: String,
    domain: String,
    path: String,
    secure: bool,
    http_only: bool,
    persistent: bool,
    host_only: bool,
    expires: String,
    creation: String,
    last_access: String,
    updated: String,
    canonical_host: String,
}

/// The file of a remote's cookies.
#[derive(Clone, Debug)]
pub struct Jar {
    path: PathBuf,
}

impl Jar {
    /// The jar in a file; it need not exist.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The cookies for a host, as the header has them. A file that cannot be read counts as empty: the user logs in
    /// again.
    pub fn header(&self, host: &str) -> String {
        let now = Utc::now();
        let good = |cookie: &Cookie| {
            let end = DateTime::parse_from_rfc3339(&cookie.expires);
            cookie.domain == host && end.map_or(true, |end| end > now)
        };
        let all = self.read().into_iter().filter(good);
        all.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect::<Vec<_>>().join("; ")
    }

    /// Keeps a cookie (`name=value`) for a host.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, host: &str, cookie: &str) -> Result<()> {
        let (name, value) = cookie.split_once('=').unwrap_or((cookie, ""));
        let mut all = self.read();
        all.retain(|other| other.name != name || other.domain != host);
        let stamp = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let now = stamp(Utc::now());
        all.push(Cookie {
            name: name.to_owned(),
            value: value.to_owned(),
            domain: host.to_owned(),
            path: "/".to_owned(),
            persistent: true,
            host_only: true,
            expires: stamp(Utc::now() + DEFAULT),
            creation: now.clone(),
            last_access: now.clone(),
            updated: now,
            canonical_host: host.to_owned(),
            ..Cookie::default()
        });
        let text = serde_json::to_vec(&all).map_err(Error::protocol)?;
        self.write(&text).map_err(|error| Error::Local(format!("open {}: {error}", self.path.display())))
    }

    fn read(&self) -> Vec<Cookie> {
        let text = fs::read(&self.path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Cookies are secrets: only the user reads them.
    fn write(&self, text: &[u8]) -> std::io::Result<()> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let fresh = self.path.with_extension("new");
        let mut file =
            fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(text)?;
        fs::rename(&fresh, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_kept_for_their_host() {
        let dir = std::env::temp_dir().join(format!("jar-{}", std::process::id()));
        let jar = Jar::new(dir.join("jars/r"));
        assert_eq!(jar.header("h"), "");
        jar.keep("h", "macaroon-auth=a=").unwrap();
        jar.keep("h", "macaroon-auth=b=").unwrap();
        assert_eq!((jar.header("h").as_str(), jar.header("g").as_str()), ("macaroon-auth=b=", ""));
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&jar.path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        // What the original wrote is read, and what has ended is not sent.
        fs::write(
            &jar.path,
            r#"[{"Name":"n","Value":"v","Domain":"h","Expires":"2020-01-01T00:00:00Z","X":1}]"#,
        )
        .unwrap();
        assert_eq!(jar.header("h"), "");
        fs::remove_dir_all(&dir).unwrap();
    }
}
