//! lxd-core
