//! lxd-instance
