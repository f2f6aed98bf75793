//! lxd-config
