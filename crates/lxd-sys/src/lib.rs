//! lxd-sys
