//! lxd-network
