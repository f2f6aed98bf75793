//! `GET /1.0/networks/{name}/state`.

use lxd_api::network::NetworkState;
use lxd_network::interface_state;
use lxd_types::Result;

use crate::SharedCore;

/// Addresses and counters of an interface of the host, managed or not.
///
/// # Errors
/// `Network interface "x" not found`.
pub async fn state(core: &SharedCore, name: &str) -> Result<NetworkState> {
    interface_state(core.bridges.netlink(), name).await
}
