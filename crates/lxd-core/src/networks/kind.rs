//! Numbers of network types in the database, and their words.

use lxd_db::networks;
use lxd_network::config::NetworkKind;
use lxd_types::{Error, Result};

/// The type of a stored number.
///
/// # Errors
/// This version does not make networks of this type.
pub(super) fn kind(number: i64) -> Result<NetworkKind> {
    match number {
        networks::BRIDGE => Ok(NetworkKind::Bridge),
        networks::MACVLAN => Ok(NetworkKind::Macvlan),
        networks::SRIOV => Ok(NetworkKind::Sriov),
        networks::PHYSICAL => Ok(NetworkKind::Physical),
        other => Err(Error::bad_request(format!("not supported yet: networks of type {}", word(other)))),
    }
}

/// The number of a type.
pub(super) fn number(kind: NetworkKind) -> i64 {
    match kind {
        NetworkKind::Bridge => networks::BRIDGE,
        NetworkKind::Macvlan => networks::MACVLAN,
        NetworkKind::Sriov => networks::SRIOV,
        NetworkKind::Physical => networks::PHYSICAL,
    }
}

/// The word for a stored number, also for types that this version does not make.
pub(crate) fn word(number: i64) -> &'static str {
    match number {
        networks::MACVLAN => "macvlan",
        networks::SRIOV => "sriov",
        networks::OVN => "ovn",
        networks::PHYSICAL => "physical",
        _ => "bridge",
    }
}
