//! A sealed copy of a program in memory.
//!
//! What is executed on behalf of a container runs from such a copy, so that a container that gets hold of
//! `/proc/PID/exe` can change nothing (CVE-2019-5736), and a helper survives the upgrade of its package.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags};

/// Copies the program at `path` into a memory file that nobody, we included, can change any more. Execute it as
/// `/proc/self/fd/N`; the descriptor is close-on-exec.
///
/// # Errors
/// The file cannot be read, or there is no memory.
pub fn sealed_copy(path: &Path) -> io::Result<OwnedFd> {
    let mut source = File::open(path)?;
    let name = path.file_name().map_or_else(Default::default, |name| name.to_string_lossy().into_owned());
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Since Linux 6.3 a memory file says whether it may be executed; older kernels refuse the flag.
    let fd = match rustix::fs::memfd_create(&*name, flags | MemfdFlags::EXEC) {
        Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create(&*name, flags)?,
        other => other?,
    };
    let mut copy = File::from(fd);
    io::copy(&mut source, &mut copy)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&copy, seals)?;
    Ok(copy.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_copy_runs_and_cannot_be_written() {
        let copy = sealed_copy(Path::new("/bin/true")).unwrap();
        let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
        assert!(std::process::Command::new(path).status().unwrap().success());
        assert!(File::from(copy).write_all(b"x").is_err());
    }
}
