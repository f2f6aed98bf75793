//! lxd-task
