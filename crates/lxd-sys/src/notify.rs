//! The kernel's seccomp listener: system calls that wait for an answer (`seccomp_unotify(2)`).
//!
//! Only the layout of its messages and the questions to the listener; who asks and who answers is the caller's.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// A system call that waits for its answer (`struct seccomp_notif`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Call {
    /// Names this very call: it is over when the listener does not know the number any more.
    pub id: u64,
    /// The thread that made it, as the listener's reader counts.
    pub thread: u32,
    /// The call's number on `architecture`.
    pub number: i32,
    /// `AUDIT_ARCH_…`
    pub architecture: u32,
    /// The registers.
    pub arguments: [u64; 6],
}

impl Call {
    /// The size of the kernel's structure in bytes, as far as it is read here.
    pub const SIZE: usize = size_of::<libc::seccomp_notif>();

    /// Reads the kernel's structure; `None` when there are too few bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let four = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let eight = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let mut arguments = [0; 6];
        for (index, argument) in arguments.iter_mut().enumerate() {
            *argument = eight(32 + 8 * index)?;
        }
        Some(Self {
            id: eight(0)?,
            thread: four(8)?,
            number: four(16)?.cast_signed(),
            architecture: four(20)?,
            arguments,
        })
    }
}

/// What the caller of a system call gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// The call returns this number.
    Value(i64),
    /// The call fails with this error number.
    Error(i32),
    /// The kernel makes the call as if nobody had asked, with the caller's own rights.
    Continue,
}

impl Answer {
    /// The size of the kernel's structure in bytes.
    pub const SIZE: usize = size_of::<libc::seccomp_notif_resp>();

    /// The kernel's structure (`struct seccomp_notif_resp`) for the call `id`.
    pub fn to_bytes(self, id: u64) -> [u8; Self::SIZE] {
        let (value, error, flags) = match self {
            Self::Value(value) => (value, 0, 0),
            // An answer without an error would be a success.
            Self::Error(number) => (-1, -number.max(1), 0),
            Self::Continue => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        };
        let mut bytes = [0; Self::SIZE];
        bytes[..8].copy_from_slice(&id.to_ne_bytes());
        bytes[8..16].copy_from_slice(&value.to_ne_bytes());
        bytes[16..20].copy_from_slice(&error.to_ne_bytes());
        bytes[20..24].copy_from_slice(&flags.to_ne_bytes());
        bytes
    }
}

/// Whether the call still waits: then its thread lives, and what was read of it before is its own.
pub fn still_waits(listener: impl AsFd, id: u64) -> bool {
    let fd = listener.as_fd().as_raw_fd();
    // SAFETY: the kernel reads eight bytes.
    unsafe { libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) == 0 }
}

/// Gives the calling process a copy of a descriptor (close-on-exec); the number that it has there.
///
/// # Errors
/// `ENOENT` when the call is over.
pub fn add_descriptor(listener: impl AsFd, id: u64, fd: impl AsFd) -> io::Result<i32> {
    let request = libc::seccomp_notif_addfd {
        id,
        flags: 0,
        srcfd: fd.as_fd().as_raw_fd().unsigned_abs(),
        newfd: 0,
        newfd_flags: libc::O_CLOEXEC.unsigned_abs(),
    };
    // SAFETY: the kernel reads a structure of the size that the request's number names.
    let number = unsafe {
        libc::ioctl(listener.as_fd().as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw const request)
    };
    if number < 0 { Err(io::Error::last_os_error()) } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_layout() {
        assert_eq!((Call::SIZE, Answer::SIZE), (80, 24));
        let mut bytes = vec![0_u8; 80];
        bytes[..8].copy_from_slice(&7_u64.to_ne_bytes());
        bytes[8..12].copy_from_slice(&1234_u32.to_ne_bytes());
        bytes[16..20].copy_from_slice(&133_i32.to_ne_bytes());
        bytes[20..24].copy_from_slice(&0xc000_003e_u32.to_ne_bytes());
        bytes[72..80].copy_from_slice(&6_u64.to_ne_bytes());
        let call = Call::parse(&bytes).unwrap();
        assert_eq!((call.id, call.thread, call.number), (7, 1234, 133));
        assert_eq!((call.architecture, call.arguments), (0xc000_003e, [0, 0, 0, 0, 0, 6]));
        assert_eq!(Call::parse(&bytes[..79]), None);
        let bytes = Answer::Error(libc::EPERM).to_bytes(7);
        assert_eq!(i32::from_ne_bytes(bytes[16..20].try_into().unwrap()), -libc::EPERM);
        assert_eq!(Answer::Continue.to_bytes(7)[20], 1);
    }

    #[test]
    fn a_call_that_nobody_made_does_not_wait() {
        assert!(!still_waits(std::fs::File::open("/dev/null").unwrap(), 1));
    }
}
