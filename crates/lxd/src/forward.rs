//! Names that hooks, CRIU and old containers call on `lxd`: the work is done by `lxd-helper`.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Becomes `lxd-helper` when the first argument is one of its names; returns only when that is impossible
/// or another command is meant.
pub fn to_helper() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let name = args.next()?;
    let name = name.to_str()?;
    if !(name.starts_with("fork") || matches!(name, "callhook" | "netcat" | "migratedumpsuccess")) {
        return None;
    }
    let Ok(own) = std::env::current_exe() else {
        eprintln!("Error: Failed to find lxd-helper");
        return Some(ExitCode::FAILURE);
    };
    let error = Command::new(own.with_file_name("lxd-helper")).arg(name).args(args).exec();
    eprintln!("Error: Failed to run lxd-helper: {error}");
    Some(ExitCode::FAILURE)
}
