//! lxd-helper

fn main() {}
