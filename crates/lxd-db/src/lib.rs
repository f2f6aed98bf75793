//! lxd-db
