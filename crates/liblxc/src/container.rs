//! One container: an owned `struct lxc_container`.

use std::ffi::{CStr, CString, c_char, c_int};
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::NonNull;

use liblxc_sys::{lxc_console_log, lxc_container};

use crate::{Error, Lxc, c_string};

/// The states of a container as its monitor tells them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// No monitor answers.
    Stopped,
    /// Being set up.
    Starting,
    /// Init runs.
    Running,
    /// Being torn down.
    Stopping,
    /// Init failed or was killed.
    Aborting,
    /// On the way to frozen.
    Freezing,
    /// All processes are frozen.
    Frozen,
    /// On the way to running again.
    Thawed,
}

impl State {
    fn parse(text: &[u8]) -> Self {
        match text {
            b"STARTING" => Self::Starting,
            b"RUNNING" => Self::Running,
            b"STOPPING" => Self::Stopping,
            b"ABORTING" => Self::Aborting,
            b"FREEZING" => Self::Freezing,
            b"FROZEN" => Self::Frozen,
            b"THAWED" => Self::Thawed,
            _ => Self::Stopped,
        }
    }

    fn name(self) -> &'static CStr {
        match self {
            Self::Stopped => c"STOPPED",
            Self::Starting => c"STARTING",
            Self::Running => c"RUNNING",
            Self::Stopping => c"STOPPING",
            Self::Aborting => c"ABORTING",
            Self::Freezing => c"FREEZING",
            Self::Frozen => c"FROZEN",
            Self::Thawed => c"THAWED",
        }
    }
}

/// An allocated console: the terminal stays ours while this value lives.
#[derive(Debug)]
pub struct Console {
    /// The master side of the pty: read and write here.
    pub master: OwnedFd,
    /// Keeps the console allocated for us.
    pub keep: OwnedFd,
}

/// A handle of a container, running or not. Cheap: make one where needed.
///
/// Calls block while the monitor answers; see the crate's text for what may be called in which process.
pub struct Container {
    pub(crate) raw: NonNull<lxc_container>,
    pub(crate) lxc: Lxc,
}

// SAFETY: liblxc takes its own lock in each call, and the prototype ran 16 threads on one shared object without a
// fault (dependencies, section 3).
unsafe impl Send for Container {}
// SAFETY: as above.
unsafe impl Sync for Container {}

/// Calls a member of the table, giving `$missing` when this liblxc lacks it.
macro_rules! call {
    ($self:ident, $member:ident ( $($argument:expr),* ), $missing:expr) => {
        // SAFETY: `raw` came from lxc_container_new and is released only in Drop.
        match unsafe { $self.raw.as_ref() }.$member {
            // SAFETY: the function pointer is read from this very object; arguments are C strings or
            // out-parameters that outlive the call.
            Some(function) => unsafe { function($self.raw.as_ptr() $(, $argument)*) },
            None => $missing,
        }
    };
}

impl Container {
    /// A handle for container `name` whose monitor listens under `path` (the `lxcpath`). The configuration that
    /// `path/name/config` may hold is dropped; nothing needs to exist.
    ///
    /// # Errors
    /// [`Error::Nul`], [`Error::Refused`].
    pub fn new(lxc: Lxc, name: &str, path: &str) -> Result<Self, Error> {
        let (name, path) = (c_string(name)?, c_string(path)?);
        // SAFETY: two C strings, copied by liblxc.
        let raw = unsafe { (lxc.library.lxc_container_new)(name.as_ptr(), path.as_ptr()) };
        let raw = NonNull::new(raw).ok_or(Error::Refused("new"))?;
        let container = Self { raw, lxc };
        call!(container, clear_config(), ());
        // Some calls (freeze) want a configuration, however empty; setting any item makes one.
        container.set_config_item("lxc.tty.max", "0")?;
        Ok(container)
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`Error::Refused`] when a line is wrong or the file unreadable.
    pub fn load_config(&self, file: &str) -> Result<(), Error> {
        let file = c_string(file)?;
        done(call!(self, load_config(file.as_ptr()), false), "load_config")
    }

    /// Sets one configuration item of this handle.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn set_config_item(&self, key: &str, value: &str) -> Result<(), Error> {
        let (key, value) = (c_string(key)?, c_string(value)?);
        done(call!(self, set_config_item(key.as_ptr(), value.as_ptr()), false), "set_config_item")
    }

    /// Starts the container: forks its monitor, which is detached and closes all inherited descriptors. Only in
    /// a process with one thread.
    ///
    /// # Errors
    /// [`Error::Refused`]; the container's log has the reason.
    pub fn start(&self) -> Result<(), Error> {
        call!(self, want_daemonize(true), false);
        call!(self, want_close_all_fds(true), false);
        done(call!(self, start(0, std::ptr::null()), false), "start")
    }

    /// The state, asked from the monitor.
    pub fn state(&self) -> State {
        let text = call!(self, state(), std::ptr::null());
        if text.is_null() {
            return State::Stopped;
        }
        // SAFETY: a static C string of liblxc.
        State::parse(unsafe { CStr::from_ptr(text) }.to_bytes())
    }

    /// The pid of init in our pid namespace, or none when it does not run.
    pub fn init_pid(&self) -> Option<i32> {
        let pid = call!(self, init_pid(), -1);
        (pid > 0).then_some(pid)
    }

    /// A pidfd of init: readable when init has ended.
    pub fn init_pidfd(&self) -> Option<OwnedFd> {
        owned(call!(self, init_pidfd(), -1))
    }

    /// Freezes all processes and waits until they are.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn freeze(&self) -> Result<(), Error> {
        done(call!(self, freeze(), false), "freeze")
    }

    /// Lets frozen processes go on.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn unfreeze(&self) -> Result<(), Error> {
        done(call!(self, unfreeze(), false), "unfreeze")
    }

    /// Kills the container and returns when its monitor is done (its hooks included).
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn stop(&self) -> Result<(), Error> {
        done(call!(self, stop(), false), "stop")
    }

    /// Sends the halt signal and waits up to `seconds` (0: do not wait, -1: for ever).
    ///
    /// # Errors
    /// [`Error::Refused`] when it still runs.
    pub fn shutdown(&self, seconds: i32) -> Result<(), Error> {
        done(call!(self, shutdown(seconds), false), "shutdown")
    }

    /// Waits up to `seconds` (-1: for ever) for a state; true when it was reached.
    pub fn wait(&self, state: State, seconds: i32) -> bool {
        call!(self, wait(state.name().as_ptr(), seconds), false)
    }

    /// What the console's ring buffer holds (`lxc.console.buffer.size`); empty when nothing was written yet.
    ///
    /// # Errors
    /// [`Error::Refused`] when the container does not run.
    pub fn console_log(&self) -> Result<Vec<u8>, Error> {
        let mut length = 0_u64;
        let mut log = lxc_console_log {
            clear: false,
            read: true,
            read_max: &raw mut length,
            data: std::ptr::null_mut(),
        };
        let status = call!(self, console_log(&raw mut log), -1);
        if status == -libc::ENODATA {
            return Ok(Vec::new());
        }
        done(status == 0, "console_log")?;
        if log.data.is_null() {
            return Ok(Vec::new());
        }
        let length = usize::try_from(length).map_err(|_| Error::Refused("console_log"))?;
        // SAFETY: liblxc allocated `length` bytes with malloc and left them to us.
        unsafe {
            let text = std::slice::from_raw_parts(log.data.cast::<u8>(), length).to_vec();
            libc::free(log.data.cast());
            Ok(text)
        }
    }

    /// Empties the console's ring buffer.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn console_log_clear(&self) -> Result<(), Error> {
        let mut length = 0_u64;
        let mut log = lxc_console_log {
            clear: true,
            read: false,
            read_max: &raw mut length,
            data: std::ptr::null_mut(),
        };
        let status = call!(self, console_log(&raw mut log), -1);
        done(status == 0 || status == -libc::ENODATA, "console_log")
    }

    /// Allocates `/dev/console` for us.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is taken or the container does not run.
    pub fn console(&self) -> Result<Console, Error> {
        let mut number: c_int = 0;
        let mut master: c_int = -1;
        let keep = call!(self, console_getfd(&raw mut number, &raw mut master), -1);
        match (owned(keep), owned(master)) {
            (Some(keep), Some(master)) => Ok(Console { master, keep }),
            _ => Err(Error::Refused("console_getfd")),
        }
    }

    /// A configuration item of the *running* container.
    ///
    /// # Errors
    /// [`Error::Refused`] when it does not run or has no such item.
    pub fn running_config_item(&self, key: &str) -> Result<String, Error> {
        let key = c_string(key)?;
        let text = call!(self, get_running_config_item(key.as_ptr()), std::ptr::null_mut());
        if text.is_null() {
            return Err(Error::Refused("get_running_config_item"));
        }
        // SAFETY: a C string from malloc that is left to us.
        unsafe {
            let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
            libc::free(text.cast());
            Ok(copy)
        }
    }

    /// Reads a cgroup file of the container (`memory.usage_in_bytes`).
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn cgroup_item(&self, name: &str) -> Result<String, Error> {
        let name = c_string(name)?;
        let mut buffer = vec![0_u8; 64 << 10];
        let size = c_int::try_from(buffer.len()).map_err(|_| Error::Refused("get_cgroup_item"))?;
        let length =
            call!(self, get_cgroup_item(name.as_ptr(), buffer.as_mut_ptr().cast::<c_char>(), size), -1);
        let length = usize::try_from(length).map_err(|_| Error::Refused("get_cgroup_item"))?;
        buffer.truncate(length.min(64 << 10));
        Ok(String::from_utf8_lossy(&buffer).trim_end().to_owned())
    }

    /// Writes a cgroup file of the container.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn set_cgroup_item(&self, name: &str, value: &str) -> Result<(), Error> {
        let (name, value) = (c_string(name)?, c_string(value)?);
        done(call!(self, set_cgroup_item(name.as_ptr(), value.as_ptr()), false), "set_cgroup_item")
    }

    /// The container's `devpts` instance, in which a terminal for its processes can be opened.
    pub fn devpts_fd(&self) -> Option<OwnedFd> {
        owned(call!(self, devpts_fd(), -1))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // SAFETY: our only reference, never used again.
        unsafe { (self.lxc.library.lxc_container_put)(self.raw.as_ptr()) };
    }
}

pub(crate) fn done(ok: bool, what: &'static str) -> Result<(), Error> {
    if ok { Ok(()) } else { Err(Error::Refused(what)) }
}

fn owned(fd: c_int) -> Option<OwnedFd> {
    // SAFETY: liblxc hands a new descriptor over to us.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Texts with their NUL-terminated pointer table, as C functions take `char **`.
pub(crate) struct Texts {
    _texts: Vec<CString>,
    pointers: Vec<*mut c_char>,
}

impl Texts {
    pub(crate) fn new<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, Error> {
        let texts: Vec<CString> = texts.into_iter().map(c_string).collect::<Result<_, _>>()?;
        let mut pointers: Vec<*mut c_char> = texts.iter().map(|text| text.as_ptr().cast_mut()).collect();
        pointers.push(std::ptr::null_mut());
        Ok(Self { _texts: texts, pointers })
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut *mut c_char {
        self.pointers.as_mut_ptr()
    }
}
