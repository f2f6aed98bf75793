//! The client's configuration file: remotes, aliases, default remote. Files of the original client work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::output;

/// A server that the client knows.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Remote {
    /// URL.
    pub addr: String,
    /// `tls` or `candid`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth_type: String,
    /// Domain of Candid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Project used there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub project: String,
    /// `lxd` (or empty) or `simplestreams`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// An image server that needs no trust.
    pub public: bool,
    /// It comes from the global file.
    #[serde(skip)]
    pub global: bool,
    /// It is built in and cannot be removed.
    #[serde(skip)]
    pub fixed: bool,
}

impl Remote {
    /// True for a server that offers only images.
    pub fn is_image_server(&self) -> bool {
        self.protocol == "simplestreams"
    }
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct File {
    #[serde(rename = "default-remote")]
    default_remote: String,
    remotes: BTreeMap<String, Remote>,
    aliases: BTreeMap<String, String>,
}

/// The configuration.
#[derive(Clone, Debug)]
pub struct Conf {
    /// Remote used when none is named.
    pub default_remote: String,
    /// Remotes by name, built-in ones included.
    pub remotes: BTreeMap<String, Remote>,
    /// Aliases by name.
    pub aliases: BTreeMap<String, String>,
    /// Directory of the configuration.
    pub dir: PathBuf,
    /// The file did not exist.
    pub fresh: bool,
}

fn builtin(addr: &str, simplestreams: bool, fixed: bool) -> Remote {
    let protocol = if simplestreams { "simplestreams" } else { "" };
    Remote { addr: addr.into(), protocol: protocol.into(), public: simplestreams, fixed, ..Remote::default() }
}

/// Remotes that always exist.
fn fixed_remotes() -> [(String, Remote); 3] {
    [
        ("local".into(), builtin("unix://", false, true)),
        ("ubuntu".into(), builtin("https://cloud-images.ubuntu.com/releases", true, true)),
        ("ubuntu-daily".into(), builtin("https://cloud-images.ubuntu.com/daily", true, true)),
    ]
}

fn env_path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

impl Conf {
    /// Reads `config.yml` of `$LXD_CONF` (else `~/.config/lxc`), over that of `$LXD_GLOBAL_CONF` (else `/etc/lxc`).
    ///
    /// # Errors
    /// A file exists but cannot be read.
    pub fn load() -> Result<Self> {
        let home = || env_path("HOME").unwrap_or_else(|| "/root".into()).join(".config/lxc");
        let dir = env_path("LXD_CONF").unwrap_or_else(home);
        let global_dir = env_path("LXD_GLOBAL_CONF").unwrap_or_else(|| "/etc/lxc".into());
        let own = read(&dir.join("config.yml"))?;
        let fresh = own.is_none();
        let mut file = own.unwrap_or_else(|| File {
            default_remote: "local".into(),
            remotes: [("images".to_owned(), builtin("https://images.linuxcontainers.org", true, false))]
                .into(),
            aliases: BTreeMap::new(),
        });
        if let Some(global) = read(&global_dir.join("config.yml"))? {
            for (name, remote) in global.remotes {
                file.remotes.entry(name).or_insert(Remote { global: true, ..remote });
            }
            for (name, target) in global.aliases {
                file.aliases.entry(name).or_insert(target);
            }
        }
        // The address of a built-in remote is fixed, the project that the user chose there is not.
        for (name, fixed) in fixed_remotes() {
            let project = file.remotes.remove(&name).map(|own| own.project).unwrap_or_default();
            file.remotes.insert(name, Remote { project, ..fixed });
        }
        if file.default_remote.is_empty() {
            file.default_remote = "local".into();
        }
        let mut conf = Self {
            default_remote: file.default_remote,
            remotes: file.remotes,
            aliases: file.aliases,
            dir,
            fresh,
        };
        if let Some(name) = std::env::var("LXC_REMOTE").ok().filter(|name| !name.is_empty()) {
            conf.default_remote = name;
        }
        Ok(conf)
    }

    /// Writes the file: own remotes and `local`, not the global and not the other built-in ones.
    ///
    /// # Errors
    /// The directory or file cannot be written.
    pub fn save(&self) -> Result<()> {
        let kept = |name: &str, remote: &Remote| !remote.global && (!remote.fixed || name == "local");
        let file = File {
            default_remote: self.default_remote.clone(),
            remotes: self
                .remotes
                .iter()
                .filter(|(name, remote)| kept(name, remote))
                .map(|(name, remote)| (name.clone(), remote.clone()))
                .collect(),
            aliases: self.aliases.clone(),
        };
        std::fs::create_dir_all(&self.dir).with_context(|| self.dir.display().to_string())?;
        let path = self.dir.join("config.yml");
        let fresh = self.dir.join("config.yml.new");
        std::fs::write(&fresh, output::yaml_text(&file)?).with_context(|| fresh.display().to_string())?;
        std::fs::rename(&fresh, &path).with_context(|| path.display().to_string())
    }

    /// The pinned certificate of a remote.
    pub fn server_certificate(&self, remote: &str) -> PathBuf {
        self.dir.join("servercerts").join(format!("{remote}.crt"))
    }

    /// The cookies of a remote that knows its users by an identity server.
    pub fn jar(&self, remote: &str) -> PathBuf {
        self.dir.join("jars").join(remote)
    }
}

fn read(path: &Path) -> Result<Option<File>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("Unable to read the configuration file {}", path.display()));
        }
    };
    if text.trim().is_empty() {
        return Ok(Some(File::default()));
    }
    let file = serde_saphyr::from_str(&text)
        .with_context(|| format!("Unable to decode the configuration file {}", path.display()))?;
    Ok(Some(file))
}
