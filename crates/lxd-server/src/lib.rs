//! lxd-server
