//! Running a program in a container: liblxc's `attach`, made safe against its lost-pid race.
//!
//! With a seccomp filter that notifies, liblxc now and then answers "failed" although the program may already run
//! (dependencies, section 3, "Trap"). So the attached process first waits for a byte on a pipe, which is
//! written only after `attach` has answered with a pid; after a failure the pipe is closed, the process ends without
//! having run anything, and it is tried again.

use std::ffi::{c_char, c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use liblxc_sys::{
    LXC_ATTACH_CLEAR_ENV, LXC_ATTACH_DEFAULT, lxc_attach_command_t, lxc_attach_exec_t, lxc_attach_options_t,
    lxc_groups_t,
};

use crate::container::Texts;
use crate::{Container, Error, c_string};

/// How often a failed attach is tried again.
const TRIES: u32 = 5;

/// What to run and as whom.
#[derive(Clone, Debug)]
pub struct AttachOptions<'a> {
    /// The program (searched in `PATH` of `environment`) and its arguments; not empty.
    pub command: &'a [String],
    /// The whole environment, `NAME=value` each.
    pub environment: &'a [String],
    /// User id inside the container.
    pub uid: u32,
    /// Group id inside the container.
    pub gid: u32,
    /// Working directory inside the container; `/` is taken when it cannot be entered.
    pub cwd: &'a str,
    /// Descriptor that becomes the program's standard input.
    pub stdin: RawFd,
    /// Descriptor that becomes the program's standard output.
    pub stdout: RawFd,
    /// Descriptor that becomes the program's standard error.
    pub stderr: RawFd,
    /// Make the standard input, a terminal, the controlling terminal of a new session.
    pub terminal: bool,
}

struct Payload {
    command: lxc_attach_command_t,
    run: lxc_attach_exec_t,
    gate: RawFd,
    writer: RawFd,
    cwd: *const c_char,
    terminal: bool,
}

/// Runs in the attached process, which has liblxc's set-up (namespaces, capabilities, filter, standard streams)
/// behind it.
unsafe extern "C" fn run_when_told(payload: *mut c_void) -> c_int {
    // SAFETY: the pointer given to `attach` below, copied with the address space into this process.
    let payload = unsafe { &*payload.cast::<Payload>() };
    let mut byte = 0_u8;
    // SAFETY: plain system calls on descriptors of this process; nothing is allocated between fork and exec.
    unsafe {
        libc::close(payload.writer);
        if libc::read(payload.gate, (&raw mut byte).cast(), 1) != 1 {
            return 125;
        }
        // Every descriptor of ours goes before any path of the container is resolved: `/proc/self/fd/N` as working
        // directory must not name a directory of the host (CVE-2024-21626).
        libc::close_range(3, u32::MAX, 0);
        if libc::chdir(payload.cwd) != 0 {
            libc::chdir(c"/".as_ptr());
        }
        // A new session in any case: no process of ours shares a terminal with the container (TIOCSTI).
        libc::setsid();
        if payload.terminal && libc::ioctl(0, libc::TIOCSCTTY, 0) != 0 {
            return 126;
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        (payload.run)((&raw const payload.command).cast_mut().cast())
    }
}

impl Container {
    /// Starts a program in the running container and gives its pid (in our pid namespace); it is a child of the
    /// calling process: wait for it. Exit status 127: no such program, 126: it cannot be executed.
    ///
    /// # Errors
    /// [`Error::Refused`] when the container does not run or all tries failed; the program did not run then.
    pub fn attach(&self, options: &AttachOptions<'_>) -> Result<i32, Error> {
        let mut failed = Error::Refused("attach");
        for _ in 0..TRIES {
            match self.attach_once(options) {
                Ok(pid) => return Ok(pid),
                Err(Error::Refused(what)) => failed = Error::Refused(what),
                Err(error) => return Err(error),
            }
            if self.init_pid().is_none() {
                break;
            }
        }
        Err(failed)
    }

    fn attach_once(&self, options: &AttachOptions<'_>) -> Result<i32, Error> {
        let program = options.command.first().ok_or(Error::Refused("empty command"))?;
        let program = c_string(program)?;
        let mut argv = Texts::new(options.command.iter().map(String::as_str))?;
        let mut environment = Texts::new(options.environment.iter().map(String::as_str))?;
        let cwd = c_string(options.cwd)?;
        let (gate, writer) = pipe()?;
        let mut payload = Payload {
            command: lxc_attach_command_t { program: program.as_ptr().cast_mut(), argv: argv.as_mut_ptr() },
            run: self.lxc.library.lxc_attach_run_command,
            gate: gate.as_raw_fd(),
            writer: writer.as_raw_fd(),
            cwd: cwd.as_ptr(),
            terminal: options.terminal,
        };
        let mut raw = lxc_attach_options_t {
            attach_flags: LXC_ATTACH_DEFAULT,
            namespaces: -1,
            personality: -1,
            initial_cwd: c"/".as_ptr().cast_mut(), // The real one is entered in `run_when_told`.
            uid: options.uid,
            gid: options.gid,
            env_policy: LXC_ATTACH_CLEAR_ENV,
            extra_env_vars: environment.as_mut_ptr(),
            extra_keep_env: std::ptr::null_mut(),
            stdin_fd: options.stdin,
            stdout_fd: options.stdout,
            stderr_fd: options.stderr,
            log_fd: -libc::EBADF,
            lsm_label: std::ptr::null_mut(),
            groups: lxc_groups_t { size: 0, list: std::ptr::null_mut() },
        };
        let mut pid: libc::pid_t = -1;
        // SAFETY: the table belongs to this object; all pointers outlive the call, and the attached process has
        // copies of them.
        let status = unsafe {
            let Some(attach) = self.raw.as_ref().attach else { return Err(Error::Refused("attach")) };
            attach(self.raw.as_ptr(), run_when_told, (&raw mut payload).cast(), &raw mut raw, &raw mut pid)
        };
        drop(gate);
        if status != 0 || pid <= 0 {
            return Err(Error::Refused("attach")); // `writer` is closed: a process that waits ends.
        }
        // SAFETY: one byte to our own pipe.
        let written = unsafe { libc::write(writer.as_raw_fd(), b"g".as_ptr().cast(), 1) };
        if written == 1 { Ok(pid) } else { Err(Error::Refused("attach")) }
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    let mut fds = [-1; 2];
    // SAFETY: room for two descriptors, which are ours when the call succeeds.
    unsafe {
        if libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(Error::Refused("pipe"));
        }
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}
