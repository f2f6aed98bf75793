//! lxd

fn main() {}
