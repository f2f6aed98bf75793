//! Properties of proxies.

use lxd_config::{Key, Table, keys};
use lxd_types::ValueError;

use super::address;
use crate::none::COMMON;

/// All properties of the type `proxy`.
pub static PROXY: Table =
    Table::new("device: proxy", &[COMMON, PROPERTIES]).under("restricted.devices.proxy");

keys! {
    /// Where from and where to.
    PROPERTIES = [
        /// The address and port to bind and listen (`<type>:<addr>:<port>[-<port>][,<port>]`).
        LISTEN: String = Key::new("listen").check(end).since("proxy"),
        /// The address and port to connect to (`<type>:<addr>:<port>[-<port>][,<port>]`).
        CONNECT: String = Key::new("connect").check(end).since("proxy"),
        /// Which side to bind on (host/instance).
        BIND: String = Key::new("bind").default("host").check(side).since("proxy"),
        /// UID of the owner of the listening Unix socket.
        UID: u32 = Key::new("uid").default("0").since("proxy_unix"),
        /// GID of the owner of the listening Unix socket.
        GID: u32 = Key::new("gid").default("0").since("proxy_unix"),
        /// Mode for the listening Unix socket.
        MODE: String = Key::new("mode").default("0644").check(mode).since("proxy_unix"),
        /// Whether to optimize proxying via NAT (requires instance NIC has static IP address).
        NAT: bool = Key::new("nat").default("false").since("proxy_nat"),
        /// Whether to use the HAProxy PROXY protocol to transmit sender information.
        PROXY_PROTOCOL: bool = Key::new("proxy_protocol").default("false").since("proxy_haproxy_protocol"),
        /// What UID to drop privilege to.
        SECURITY_UID: u32 = Key::new("security.uid").default("0").since("unix_priv_drop"),
        /// What GID to drop privilege to.
        SECURITY_GID: u32 = Key::new("security.gid").default("0").since("unix_priv_drop"),
    ]
}

fn end(value: &str) -> Result<(), ValueError> {
    address::parse(value).map(drop)
}

fn side(value: &str) -> Result<(), ValueError> {
    match value {
        "host" | "instance" | "guest" | "container" => Ok(()),
        _ => Err(ValueError::new("Invalid binding side given. Must be \"host\" or \"instance\"")),
    }
}

fn mode(value: &str) -> Result<(), ValueError> {
    match u32::from_str_radix(value, 8) {
        Ok(mode) if mode <= 0o777 => Ok(()),
        _ => Err(ValueError::new("Invalid value for an octal file mode")),
    }
}
