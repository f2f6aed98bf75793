//! lxd-container
