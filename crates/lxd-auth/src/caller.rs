//! Who sends a request.

use std::net::SocketAddr;
use std::sync::Arc;

use lxd_api::event::EventRequestor;
use sha2::{Digest, Sha256};

use crate::{Level, Limits};

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
        /// The certificate itself (DER); the client proved that it holds the key.
        certificate: Option<Arc<[u8]>>,
        /// Its address.
        address: SocketAddr,
    },
    /// A TLS client whose user an identity server named.
    External {
        /// The name of the user.
        user: String,
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
    /// The projects that it is limited to, with its rights in each; `None` for no limit.
    pub projects: Option<Limits>,
}

impl Caller {
    /// The daemon itself.
    pub fn daemon() -> Self {
        Self { peer: Peer::Daemon, trusted: true, projects: None }
    }

    /// Somebody with access to the unix socket, who may do everything (manual 3.1.4).
    pub fn local(uid: u32, gid: u32, pid: i32) -> Self {
        Self { peer: Peer::Unix { uid, gid, pid }, trusted: true, projects: None }
    }

    /// True for callers without any limit: they may configure the server.
    pub fn is_admin(&self) -> bool {
        self.trusted && self.projects.is_none()
    }

    /// True for root on the unix socket, the only caller of `/internal`.
    pub fn is_root(&self) -> bool {
        matches!(self.peer, Peer::Unix { uid: 0, .. })
    }

    /// True when objects of the project may be shown to this caller.
    pub fn sees(&self, project: &str) -> bool {
        self.may(project, Level::View)
    }

    /// True when it may do this with the objects of the project. Asked through [`authorize`](crate::authorize).
    pub(crate) fn may(&self, project: &str, level: Level) -> bool {
        self.trusted && self.projects.as_ref().is_none_or(|limits| limits.rights(project).has(level))
    }

    /// Is there anything that this caller may do and `other` may not?
    pub fn may_more_than(&self, other: &Self) -> bool {
        match (&self.projects, &other.projects) {
            _ if !self.trusted => false,
            _ if !other.trusted => true,
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(own), Some(others)) => !own.is_within(others),
        }
    }

    /// `unix`, `tls` or `candid`, as in the log and in events.
    pub fn protocol(&self) -> &'static str {
        match self.peer {
            Peer::Unix { .. } | Peer::Daemon => "unix",
            Peer::Tls { .. } => "tls",
            Peer::External { .. } => "candid",
        }
    }

    /// The address of a TLS client; `@` on the unix socket.
    pub fn address(&self) -> String {
        match &self.peer {
            Peer::Unix { .. } | Peer::Daemon => "@".to_owned(),
            Peer::Tls { address, .. } | Peer::External { address, .. } => address.to_string(),
        }
    }

    /// The user's name, or the fingerprint of the client's certificate.
    pub fn username(&self) -> String {
        self.requestor().map(|requestor| requestor.username).unwrap_or_default()
    }

    /// True when both are the same client: what one created, the other may join (rule R10).
    pub fn is_same_client(&self, requestor: &EventRequestor) -> bool {
        self.requestor()
            .is_some_and(|own| own.protocol == requestor.protocol && own.username == requestor.username)
    }

    /// Name of this identity: what binds secrets to their creator.
    pub fn identity(&self) -> String {
        match &self.peer {
            Peer::Unix { uid, .. } => format!("unix:{uid}"),
            Peer::Tls { fingerprint: Some(fingerprint), .. } => format!("tls:{fingerprint}"),
            Peer::Tls { fingerprint: None, address, .. } => format!("address:{}", address.ip()),
            Peer::External { user, .. } => format!("candid:{user}"),
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
            Peer::Tls { fingerprint, address, .. } => Some(EventRequestor {
                username: fingerprint.clone().unwrap_or_default(),
                protocol: "tls".to_owned(),
                address: address.to_string(),
            }),
            Peer::External { user, address } => Some(EventRequestor {
                username: user.clone(),
                protocol: "candid".to_owned(),
                address: address.to_string(),
            }),
            Peer::Daemon => None,
        }
    }
}

fn user_name(uid: u32) -> String {
    if uid == 0 { "root".to_owned() } else { format!("uid={uid}") }
}

/// SHA-256 of a certificate (DER) as hexadecimal digits.
pub fn fingerprint(der: &[u8]) -> String {
    hex::encode(Sha256::digest(der))
}
