//! lxd-device
