//! `syscall`: does for a process in a container what it asked the kernel for and may not do itself (manual 3.6.7).
//!
//! Paths are resolved by a copy of this process that has the caller's root, working directory, namespaces, ids and
//! capabilities, so that nothing can be reached that the caller could not reach. It hands back descriptors; only the last step
//! is done with the rights of the host, on what was found, after another look whether the caller still waits. Whatever of it
//! may hang (the caller's memory, its file systems) hangs here, where the daemon's deadline ends it.

mod bpf;
mod caller;
mod known;
mod mknod;
mod mount;
mod options;
mod setxattr;

use std::io;

use lxd_types::helper::{Intercepted, InterceptedCall, SyscallAnswer};

use self::caller::Caller;
use crate::link::{Link, Outcome, failure, system};

/// Runs the job.
pub fn run(link: &Link) -> Outcome<()> {
    let (job, fds): (Intercepted, _) = link.job()?;
    let [process, memory, listener] =
        <[_; 3]>::try_from(fds).map_err(|_| failure("Three descriptors are needed"))?;
    let caller = Caller::new(process, memory, listener, job.id)
        .map_err(|error| system("Failed to look at the calling process", &error))?;
    let answer = answer(&caller, &job.call)
        .unwrap_or_else(|error| SyscallAnswer::Error(error.raw_os_error().unwrap_or(libc::EPERM)));
    link.ok(&answer, &[])
}

fn answer(caller: &Caller, call: &InterceptedCall) -> io::Result<SyscallAnswer> {
    match call {
        InterceptedCall::Mknod { at, path, mode, device } => mknod::run(caller, *at, *path, *mode, *device),
        InterceptedCall::SetXattr { path, name, value, flags } => {
            setxattr::run(caller, *path, *name, *value, *flags)
        }
        InterceptedCall::Mount { source, target, kind, flags, data, rules } => {
            let addresses = mount::Addresses { source: *source, target: *target, kind: *kind, data: *data };
            mount::run(caller, &addresses, *flags, rules)
        }
        InterceptedCall::Bpf { command, attributes, size } => bpf::run(caller, *command, *attributes, *size),
    }
}

/// An error by its number.
fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}
