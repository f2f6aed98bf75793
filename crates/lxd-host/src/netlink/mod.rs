//! Links, addresses and routes of a network namespace, over rtnetlink and without starting `ip`.
//!
//! A [`Netlink`] is a socket in one network namespace: that of the daemon, or another one given by a
//! descriptor. Everything here is idempotent where the kernel lets it be: deleting what is gone is a success.

mod address;
mod link;
mod make;
mod route;
mod tunnel;
mod vf;
mod vlan;
mod watch;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use futures_util::{Stream, StreamExt};
use lxd_types::error::{Classify, Kind};

pub use address::{Address, Scope};
pub use link::{BridgeInfo, Link, NewBridge, NewVeth, Stats};
pub use make::NewOnParent;
pub use route::{Route, RouteOwner, RouteSpec};
pub use tunnel::{Tunnel, Vxlan};
pub use vf::VfSettings;
pub use vlan::{PortVlans, Untagged};
pub use watch::{Gone, LinkWatch};

/// Why a request to the kernel's network configuration failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// There is no interface of this name.
    #[error("Network interface {0:?} not found")]
    NoInterface(String),
    /// The kernel refused.
    #[error("{what}")]
    Refused {
        /// What was asked for.
        what: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl NetlinkError {
    /// The kernel's error number, if it is its answer.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } => source.raw_os_error(),
            Self::NoInterface(_) => None,
        }
    }
}

impl Classify for NetlinkError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoInterface(_) => Kind::NotFound,
            Self::Refused { .. } => Kind::Internal,
        }
    }
}

/// Result of a request.
pub type Result<T, E = NetlinkError> = std::result::Result<T, E>;

/// An open socket to the network configuration of one namespace. Cheap to clone.
#[derive(Clone)]
pub struct Netlink {
    handle: rtnetlink::Handle,
}

impl Netlink {
    /// A socket in the network namespace of this process.
    ///
    /// # Errors
    /// The kernel gives no socket.
    pub fn open() -> Result<Self> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|e| refused("Open netlink socket", e))?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// A socket in the network namespace behind `namespace` (an open `/proc/PID/ns/net`). The namespace is
    /// entered by a thread of its own, which ends at once.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn open_in(namespace: BorrowedFd<'_>) -> Result<Self> {
        let runtime = tokio::runtime::Handle::current();
        let opened = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let kind = rustix::thread::LinkNameSpaceType::Network;
                rustix::thread::move_into_link_name_space(namespace, Some(kind))?;
                let _inside = runtime.enter();
                rtnetlink::new_connection()
            });
            thread.join().unwrap_or_else(|_| Err(io::Error::other("thread failed")))
        });
        let (connection, handle, _) =
            opened.map_err(|e| refused("Open netlink socket in network namespace", e))?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// A socket in the network namespace of a process.
    ///
    /// # Errors
    /// The process is gone or its namespace cannot be entered.
    pub fn open_in_process(pid: i32) -> Result<Self> {
        let path = format!("/proc/{pid}/ns/net");
        let file = std::fs::File::open(&path).map_err(|e| refused(format!("Open {path}"), e))?;
        Self::open_in(file.as_fd())
    }
}

/// The kernel's answer as our error.
fn refused(what: impl Into<String>, source: io::Error) -> NetlinkError {
    NetlinkError::Refused { what: what.into(), source }
}

fn failed(what: impl Into<String>, error: rtnetlink::Error) -> NetlinkError {
    let source = match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    };
    refused(what, source)
}

/// Whether the kernel says that the thing is not (any more) there.
fn is_gone(error: &NetlinkError) -> bool {
    [libc::ENODEV, libc::ESRCH, libc::EADDRNOTAVAIL, libc::ENXIO].map(Some).contains(&error.errno())
}

/// Success also when there was nothing to remove.
fn gone_is_fine(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if is_gone(&error) => Ok(()),
        other => other,
    }
}

/// All messages of a dump.
async fn collect<T>(what: &str, messages: impl Stream<Item = Result<T, rtnetlink::Error>>) -> Result<Vec<T>> {
    let mut messages = std::pin::pin!(messages);
    let mut all = Vec::new();
    while let Some(message) = messages.next().await {
        all.push(message.map_err(|e| failed(what, e))?);
    }
    Ok(all)
}
