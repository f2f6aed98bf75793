//! `lxd-helper`: what the daemon does in processes of its own, because it forks, enters namespaces or reads foreign input.
//!
//! Small on purpose (no async runtime, no database, no TLS): as the container's monitor one copy stays beside every
//! running container. The first argument names the job; all but `hook` read it as a frame from the socket that is
//! standard input and answer with frames there (`lxd_types::helper`).

mod delta;
mod exec;
mod file;
mod forkstart;
mod hook;
mod link;
mod mount;
mod owners;
mod proxy;
mod shift;
mod syscall;
mod unpack;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let subcommand = arguments.next().unwrap_or_default();
    match subcommand.to_str() {
        Some("forkstart") => link::serve(forkstart::run),
        Some("exec") => link::serve(exec::run),
        Some("mount") => with_daemon(|| link::serve(mount::run)),
        Some("delta") => with_daemon(|| link::serve(delta::run)),
        Some("unpack") => with_daemon(|| link::serve(unpack::run)),
        Some("shift") => with_daemon(|| link::serve(shift::run)),
        Some("file") => with_daemon(|| link::serve(file::run)),
        Some("proxy") => link::serve(proxy::run),
        Some("syscall") => with_daemon(|| link::serve(syscall::run)),
        Some("hook") => hook::run(&arguments.collect::<Vec<_>>()),
        _ => {
            eprintln!("This program is started by the LXD daemon; it is of no use by hand.");
            ExitCode::from(2)
        }
    }
}

/// Runs a job that must not go on without the daemon: what a killed daemon was filling is removed by the next one.
fn with_daemon(job: impl FnOnce() -> ExitCode) -> ExitCode {
    let parent = rustix::process::getppid().map_or(1, |pid| pid.as_raw_nonzero().get());
    if lxd_sys::process::die_with_parent(parent).is_err() {
        return ExitCode::FAILURE;
    }
    job()
}
