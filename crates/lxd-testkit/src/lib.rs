//! lxd-testkit
