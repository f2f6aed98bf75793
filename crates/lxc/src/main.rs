//! lxc

fn main() {}
