//! `bpf`: programs that rule which devices the processes of a control group may use.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// `BPF_PROG_LOAD`
pub const LOAD: u32 = 5;
/// `BPF_PROG_ATTACH`
pub const ATTACH: u32 = 8;
/// `BPF_PROG_DETACH`
pub const DETACH: u32 = 9;
/// `BPF_PROG_TYPE_CGROUP_DEVICE`
pub const TYPE_DEVICE: u32 = 15;
/// `BPF_CGROUP_DEVICE`
pub const ATTACH_DEVICE: u32 = 6;

/// Most steps of a program.
const STEPS_MAX: usize = 4096;

/// Bytes of one step.
pub const STEP: usize = 8;

/// The head of `union bpf_attr` for [`LOAD`].
#[repr(C)]
struct Load {
    kind: u32,
    steps: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel: u32,
    flags: u32,
}

/// The head of `union bpf_attr` for [`ATTACH`] and [`DETACH`].
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// Loads a device program.
///
/// # Errors
/// `E2BIG` for more than 4096 steps; as the kernel's check of the program.
pub fn load_device_program(code: &[u8], license: &std::ffi::CStr) -> io::Result<OwnedFd> {
    let steps = code.len() / STEP;
    if steps > STEPS_MAX {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    let attributes = Load {
        kind: TYPE_DEVICE,
        steps: u32::try_from(steps).unwrap_or(u32::MAX),
        code: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads `steps` whole steps of `code` and the license up to its end; both live until the call returns.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, LOAD, &raw const attributes, size_of::<Load>()) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel made this descriptor for us just now.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a device program to a control group, or takes it off. `flags` are those of `BPF_PROG_ATTACH`.
///
/// # Errors
/// As `bpf`.
pub fn attach_device_program(
    command: u32,
    group: impl AsFd,
    program: impl AsFd,
    flags: u32,
) -> io::Result<()> {
    let attributes = Attach {
        target: group.as_fd().as_raw_fd().unsigned_abs(),
        program: program.as_fd().as_raw_fd().unsigned_abs(),
        kind: ATTACH_DEVICE,
        flags,
    };
    // SAFETY: the kernel reads a structure of the size that is given.
    let status = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attributes, size_of::<Attach>()) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
