//! liblxc behind safe functions: [`Lxc`] is the opened library, [`Container`] one container handle.
//!
//! Which process may call what (dependencies, section 3):
//! - In the daemon, which has threads: everything of [`Container`] but [`Container::start`] and
//!   [`Container::attach`]. These calls talk to the container's monitor over its command socket and **block**: use
//!   `spawn_blocking` with a deadline.
//! - `start` and `attach` fork with a raw `clone`; only `lxd-helper`, which has one thread, may call them.
#![allow(unsafe_code)]

mod attach;
mod container;

use std::ffi::{CStr, CString};
use std::sync::OnceLock;

use liblxc_sys::Library;

pub use attach::AttachOptions;
pub use container::{Console, Container, State};

/// What can go wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// `liblxc.so.1` is not on this machine or lacks a function.
    #[error("liblxc cannot be used: {0}")]
    Library(String),
    /// A text contains a NUL byte.
    #[error("Text for liblxc contains a NUL byte")]
    Nul,
    /// A call answered "false"; liblxc's log has the reason.
    #[error("liblxc refused: {0}")]
    Refused(&'static str),
}

/// The opened library.
#[derive(Clone, Copy)]
pub struct Lxc {
    library: &'static Library,
}

impl Lxc {
    /// Opens liblxc, once per process.
    ///
    /// # Errors
    /// [`Error::Library`], the same at each call.
    pub fn open() -> Result<Self, Error> {
        static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
        match LIBRARY.get_or_init(Library::open) {
            Ok(library) => Ok(Self { library }),
            Err(text) => Err(Error::Library(text.clone())),
        }
    }

    /// The version, as `5.0.2`.
    pub fn version(self) -> String {
        // SAFETY: returns a static C string.
        let text = unsafe { CStr::from_ptr((self.library.lxc_get_version)()) };
        text.to_string_lossy().into_owned()
    }

    /// Whether liblxc has an API extension (`seccomp_notify`, `pidfd`, `idmapped_mounts_v2` …).
    pub fn has_api_extension(self, name: &str) -> bool {
        let Ok(name) = CString::new(name) else { return false };
        // SAFETY: a C string that outlives the call.
        unsafe { (self.library.lxc_has_api_extension)(name.as_ptr()) }
    }

    /// Whether a configuration key (`lxc.cgroup.dir.container` …) is known to this liblxc.
    pub fn config_item_supported(self, key: &str) -> bool {
        let Ok(key) = CString::new(key) else { return false };
        // SAFETY: a C string that outlives the call.
        unsafe { (self.library.lxc_config_item_is_supported)(key.as_ptr()) }
    }
}

pub(crate) fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::Nul)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_and_keys() {
        let lxc = Lxc::open().unwrap();
        assert!(lxc.version().starts_with(|c: char| c.is_ascii_digit()), "{}", lxc.version());
        assert!(lxc.config_item_supported("lxc.rootfs.path"));
        assert!(!lxc.config_item_supported("lxc.no.such.key"));
        assert!(!lxc.has_api_extension("no such extension"));
        assert!(lxc.has_api_extension("seccomp_notify"));
    }

    #[test]
    fn a_container_that_does_not_exist_is_stopped() {
        let temp = tempfile::tempdir().unwrap();
        let container = Container::new(Lxc::open().unwrap(), "none", temp.path().to_str().unwrap()).unwrap();
        assert_eq!(container.state(), State::Stopped);
        assert_eq!(container.init_pid(), None);
        assert!(container.init_pidfd().is_none());
        assert!(container.freeze().is_err());
        assert!(container.console_log().is_err());
    }
}
