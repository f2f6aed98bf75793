//! `lxc`, the command line client.

use std::process::ExitCode;

fn main() -> ExitCode {
    lxc::run(std::env::args().skip(1).collect())
}
