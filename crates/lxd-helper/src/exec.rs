//! `exec`: runs a program in a container through liblxc's attach, reports its pid, waits for its end.

use std::os::fd::{AsFd, AsRawFd};

use liblxc::AttachOptions;
use lxd_types::helper::{Exec, ExecReport};
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::forkstart::load;
use crate::link::{Link, Outcome, failure, system};

/// Runs the job.
pub fn run(link: &Link) -> Outcome<()> {
    let (job, fds): (Exec, _) = link.job()?;
    let [stdin, stdout, stderr] = &fds[..] else { return Err(failure("Three descriptors are needed")) };
    let container = load(&job.container)?;
    let environment: Vec<String> =
        job.environment.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let options = AttachOptions {
        command: &job.command,
        environment: &environment,
        uid: job.uid,
        gid: job.gid,
        cwd: &job.cwd,
        stdin: stdin.as_raw_fd(),
        stdout: stdout.as_raw_fd(),
        stderr: stderr.as_raw_fd(),
        terminal: job.terminal,
    };
    let pid = container.attach(&options).map_err(|_| failure("Failed to attach to the container"))?;
    // Only the program holds its streams from here on, so that their ends are seen when it closes them.
    drop(fds);
    // It is our child and not waited for yet: the pid is its own whatever it did meanwhile.
    let pidfd = lxd_sys::process::pidfd(pid).map_err(|error| system("Failed to open pidfd", &error))?;
    link.ok(&ExecReport::Started { pid }, &[pidfd.as_fd()])?;
    let status = wait(pid)?;
    link.ok(&ExecReport::Ended { status }, &[])
}

/// The exit status, or 128 + signal as shells count.
fn wait(pid: i32) -> Outcome<i32> {
    let pid = Pid::from_raw(pid).ok_or_else(|| failure("No pid"))?;
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) | Ok(None) => {}
            Err(error) => return Err(system("Failed to wait for the command", &error.into())),
            Ok(Some((_, status))) => {
                let signal = status.terminating_signal().map(|signal| 128 + signal);
                if let Some(code) = status.exit_status().or(signal) {
                    return Ok(code);
                }
            }
        }
    }
}
