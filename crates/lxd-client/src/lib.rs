//! lxd-client
