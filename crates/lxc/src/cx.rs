//! What every command has at hand: configuration, global flags, connections.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::HashMap;
use std::io::IsTerminal;

use anyhow::{Result, anyhow, bail};
use lxd_api::server::Server;
use lxd_client::bakery::User;
use lxd_client::simplestreams::Streams;
use lxd_client::{Address, Client, Egress, Identity, TlsSettings};
use tokio::task::AbortHandle;

use crate::cli::Matches;
use crate::conf::{Conf, Remote};
use crate::login;

/// Exit status after ctrl-c.
const INTERRUPTED: i32 = 130;

/// The context of a command.
pub struct Cx {
    conf: RefCell<Conf>,
    clients: RefCell<HashMap<String, Client>>,
    /// Ends the program on ctrl-c between operations; see [`Cx::waiting`].
    idle: RefCell<Option<AbortHandle>>,
    /// `--quiet`.
    pub quiet: bool,
    /// `--force-local`.
    pub force_local: bool,
    /// `--project`.
    pub project: Option<String>,
}

/// An object on a server: `[REMOTE:]NAME`.
#[derive(Clone)]
pub struct Target {
    /// Name of the remote.
    pub remote: String,
    /// What stands behind the colon; may be empty.
    pub name: String,
    /// The server.
    pub client: Client,
}

impl Target {
    /// The name in a URL.
    pub fn segment(&self) -> String {
        lxd_client::encode(&self.name)
    }

    /// `remote:name`, as messages show it.
    pub fn full(&self) -> String {
        format!("{}:{}", self.remote, self.name)
    }
}

impl Cx {
    /// A context for parsed global flags.
    pub fn new(conf: Conf, matches: &Matches) -> Self {
        Self {
            conf: RefCell::new(conf),
            clients: RefCell::default(),
            idle: RefCell::default(),
            quiet: matches.is("quiet"),
            force_local: matches.is("force-local"),
            project: matches.given("project").then(|| matches.value("project").to_owned()),
        }
    }

    /// Tells what was done, unless `--quiet` was given.
    pub fn say(&self, what: std::fmt::Arguments<'_>) {
        if !self.quiet {
            println!("{what}");
        }
    }

    /// Called when an operation is waited for: ctrl-c is the operation's from now on.
    pub fn waiting(&self) {
        if let Some(idle) = self.idle.take() {
            idle.abort();
        }
    }

    /// Called when an operation has ended: the signal handler stays, so ctrl-c has to be acted on here.
    pub fn waited(&self) {
        let task = tokio::spawn(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(INTERRUPTED);
            }
        });
        *self.idle.borrow_mut() = Some(task.abort_handle());
    }

    /// The configuration.
    pub fn conf(&self) -> Ref<'_, Conf> {
        self.conf.borrow()
    }

    /// The configuration, to be changed.
    pub fn conf_mut(&self) -> RefMut<'_, Conf> {
        self.conf.borrow_mut()
    }

    /// Splits `[REMOTE:]NAME`.
    ///
    /// # Errors
    /// The remote does not exist.
    pub fn split(&self, text: &str) -> Result<(String, String)> {
        let conf = self.conf();
        let Some((remote, name)) = text.split_once(':') else {
            let remote = if self.force_local { "local" } else { &conf.default_remote };
            return Ok((remote.to_owned(), text.to_owned()));
        };
        let remote = if remote.is_empty() { conf.default_remote.as_str() } else { remote };
        if !conf.remotes.contains_key(remote) {
            bail!("The remote {remote:?} doesn't exist");
        }
        Ok((remote.to_owned(), name.to_owned()))
    }

    /// The object that `[REMOTE:]NAME` names, with its server.
    ///
    /// # Errors
    /// The remote does not exist or is not an instance server.
    pub fn target(&self, text: &str) -> Result<Target> {
        let (remote, name) = self.split(text)?;
        let client = self.client(&remote)?;
        Ok(Target { remote, name, client })
    }

    /// As [`Cx::target`], with a name required.
    ///
    /// # Errors
    /// As [`Cx::target`]; `missing` when the name is empty.
    pub fn named(&self, text: &str, missing: &str) -> Result<Target> {
        let target = self.target(text)?;
        if target.name.is_empty() {
            bail!("{missing}");
        }
        Ok(target)
    }

    /// A remote by name.
    ///
    /// # Errors
    /// It does not exist.
    pub fn remote(&self, name: &str) -> Result<Remote> {
        self.conf().remotes.get(name).cloned().ok_or_else(|| anyhow!("The remote {name:?} doesn't exist"))
    }

    /// The server behind a remote. Connects on first use.
    ///
    /// # Errors
    /// The remote does not exist, is an image server, or its certificate cannot be read.
    pub fn client(&self, name: &str) -> Result<Client> {
        if let Some(client) = self.clients.borrow().get(name) {
            return Ok(client.clone());
        }
        let remote = self.remote(name)?;
        if remote.public || remote.is_image_server() {
            bail!("The remote isn't a private LXD server");
        }
        let client = self.connect(name, &remote)?;
        self.clients.borrow_mut().insert(name.to_owned(), client.clone());
        Ok(client)
    }

    /// A server that may be public: for reading images.
    ///
    /// # Errors
    /// As [`Cx::client`].
    pub fn image_client(&self, name: &str) -> Result<Client> {
        let remote = self.remote(name)?;
        if remote.is_image_server() {
            bail!("Image servers can only be named as the source of new instances and images");
        }
        if remote.public { self.connect(name, &remote) } else { self.client(name) }
    }

    fn connect(&self, name: &str, remote: &Remote) -> Result<Client> {
        let address = Address::parse(&remote.addr)?;
        let tls = match address {
            Address::Unix(_) => None,
            Address::Https { .. } => Some(self.tls(name)?),
        };
        let project = self.project.as_deref().unwrap_or(&remote.project);
        let user = self.user(name, remote, &address);
        Ok(Client::of_user(Egress::from_env(), address, tls, user).with_project(project))
    }

    /// The user at a remote that knows its users by an identity server.
    fn user(&self, name: &str, remote: &Remote, address: &Address) -> Option<User> {
        match address {
            Address::Https { host, .. } if remote.auth_type == "candid" => {
                Some(login::user(self.conf().jar(name), host, &remote.domain))
            }
            _ => None,
        }
    }

    fn tls(&self, name: &str) -> Result<TlsSettings> {
        let conf = self.conf();
        let pinned = match std::fs::read_to_string(conf.server_certificate(name)) {
            Ok(pem) => Some(lxd_client::pem_to_der(&pem)?),
            Err(_) => None,
        };
        let authority = Some(conf.dir.join("client.ca")).filter(|path| path.exists());
        let identity = Identity::load(&conf.dir)?;
        Ok(TlsSettings { pinned, identity, authority, accept_any: false })
    }

    /// The way to a server that speaks no LXD.
    pub fn egress(&self, name: &str) -> Egress {
        let pinned = std::fs::read_to_string(self.conf().server_certificate(name)).ok();
        let pinned = pinned.and_then(|pem| lxd_client::pem_to_der(&pem).ok());
        Egress { pinned, ..Egress::from_env() }
    }

    /// What a simplestreams server offers.
    ///
    /// # Errors
    /// The server is away or is none.
    pub async fn streams(&self, name: &str) -> Result<Streams> {
        let remote = self.remote(name)?;
        Ok(Streams::fetch(&remote.addr, None, &self.egress(name)).await?)
    }

    /// The URL under which other servers reach a remote, and its certificate (PEM).
    ///
    /// # Errors
    /// It does not listen on the network.
    pub async fn reachable(&self, name: &str) -> Result<(String, String)> {
        let remote = self.remote(name)?;
        if let Address::Https { .. } = Address::parse(&remote.addr)? {
            let pinned = std::fs::read_to_string(self.conf().server_certificate(name));
            return Ok((remote.addr, pinned.unwrap_or_default()));
        }
        let server: Server = self.client(name)?.get("/1.0").await?;
        let environment = server.environment;
        let address = environment.addresses.first();
        let address = address.ok_or_else(|| anyhow!("The server {name:?} isn't listening on the network"))?;
        Ok((format!("https://{address}"), environment.certificate))
    }

    /// True when progress may be drawn: standard output is a terminal and `--quiet` was not given.
    pub fn shows_progress(&self) -> bool {
        !self.quiet && std::io::stdout().is_terminal()
    }
}
