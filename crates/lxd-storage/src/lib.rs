//! lxd-storage
