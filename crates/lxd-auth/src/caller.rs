//! Who sends a request.

use std::net::SocketAddr;

use lxd_api::event::EventRequestor;

/// The other end of a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Peer {
    /// A process on this machine, as the kernel names it (`SO_PEERCRED`).
    Unix {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
        /// Process.
        pid: i32,
    },
    /// A TLS client, with the SHA-256 fingerprint of its certificate when it showed one.
    Tls {
        /// Hexadecimal fingerprint of the leaf certificate.
        fingerprint: Option<String>,
        /// Its address.
        address: SocketAddr,
    },
    /// The daemon itself: start-up, background tasks.
    Daemon,
}

/// A peer and how far it is trusted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caller {
    /// The other end.
    pub peer: Peer,
    /// Is it trusted at all?
    pub trusted: bool,
    /// The projects that a restricted certificate is limited to; `None` for no limit.
    pub projects: Option<Vec<String>>,
}

impl Caller {
    /// The daemon itself.
    pub fn daemon() -> Self {
        Self { peer: Peer::Daemon, trusted: true, projects: None }
    }

    /// Name of this identity: what binds secrets to their creator.
    pub fn identity(&self) -> String {
        match &self.peer {
            Peer::Unix { uid, .. } => format!("unix:{uid}"),
            Peer::Tls { fingerprint: Some(fingerprint), .. } => format!("tls:{fingerprint}"),
            Peer::Tls { fingerprint: None, address } => format!("address:{}", address.ip()),
            Peer::Daemon => "daemon".to_owned(),
        }
    }

    /// As it stands in lifecycle events; nobody for the daemon itself.
    pub fn requestor(&self) -> Option<EventRequestor> {
        match &self.peer {
            Peer::Unix { uid, .. } => Some(EventRequestor {
                username: user_name(*uid),
                protocol: "unix".to_owned(),
                address: "@".to_owned(),
            }),
            Peer::Tls { fingerprint, address } => Some(EventRequestor {
                username: fingerprint.clone().unwrap_or_default(),
                protocol: "tls".to_owned(),
                address: address.to_string(),
            }),
            Peer::Daemon => None,
        }
    }
}

fn user_name(uid: u32) -> String {
    if uid == 0 { "root".to_owned() } else { format!("uid={uid}") }
}
