//! lxd-auth
