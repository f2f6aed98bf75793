//! lxd-image
