//! lxd-host
