//! `bpf`: programs that rule the use of devices in the container's own control groups.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use lxd_sys::bpf::{self, ATTACH, ATTACH_DEVICE, DETACH, LOAD, STEP, TYPE_DEVICE};
use lxd_types::helper::SyscallAnswer;
use rustix::fs::{Access, AtFlags, OFlags};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use super::caller::Caller;
use super::errno;

/// Most steps of a program of a container.
const STEPS_MAX: u32 = 4096;

/// `BPF_F_ALLOW_OVERRIDE` and `BPF_F_ALLOW_MULTI`; a program cannot replace another one.
const FLAGS: u32 = 1 | 2;

/// Bytes of a license, its end included.
const LICENSE_MAX: usize = 128;

/// The magic number of the unified hierarchy's file system.
const CGROUP2: u64 = 0x6367_7270;

/// Loads, attaches or detaches; other programs are left to the kernel.
pub fn run(caller: &Caller, command: u32, attributes: u64, size: u32) -> io::Result<SyscallAnswer> {
    let mut head = [0_u8; 24];
    let wanted = head.len().min(usize::try_from(size).unwrap_or(0));
    caller.read(attributes, &mut head[..wanted])?;
    let four = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let eight = |at: usize| u64::from(four(at)) | u64::from(four(at + 4)) << 32;
    match command {
        LOAD if four(0) == TYPE_DEVICE => load(caller, four(4), eight(8), eight(16)),
        ATTACH | DETACH if four(8) == ATTACH_DEVICE => {
            attach(caller, command, four(0), four(4), if command == ATTACH { four(12) } else { 0 })
        }
        _ => Ok(SyscallAnswer::Continue),
    }
}

fn load(caller: &Caller, steps: u32, code: u64, license: u64) -> io::Result<SyscallAnswer> {
    if steps == 0 || steps > STEPS_MAX {
        return Err(errno(libc::EINVAL));
    }
    let mut program = vec![0; steps as usize * STEP];
    caller.read(code, &mut program)?;
    let license = CString::new(caller.text(license, LICENSE_MAX)?).map_err(|_| errno(libc::EINVAL))?;
    let program = bpf::load_device_program(&program, &license)?;
    Ok(SyscallAnswer::Value(caller.give(program)?.into()))
}

/// The control group must be one that the caller may change by itself: its own container's.
fn attach(caller: &Caller, command: u32, group: u32, program: u32, flags: u32) -> io::Result<SyscallAnswer> {
    if flags & !FLAGS != 0 {
        return Err(errno(libc::EINVAL));
    }
    let group = caller.descriptor(group.cast_signed())?;
    let kind = rustix::fs::fstatfs(&group)?.f_type;
    if u64::try_from(kind).ok() != Some(CGROUP2) {
        return Err(errno(libc::EBADF));
    }
    let group = caller.as_caller(libc::AT_FDCWD, |_| {
        rustix::fs::accessat(&group, "cgroup.procs", Access::WRITE_OK, AtFlags::empty())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(vec![rustix::fs::openat(&group, ".", flags, rustix::fs::Mode::empty())?])
    })?;
    let group = group.first().ok_or_else(|| errno(libc::EPERM))?;
    let program = taken(caller, program.cast_signed())?;
    caller.must_wait()?;
    bpf::attach_device_program(command, group, program.as_fd(), flags)?;
    Ok(SyscallAnswer::Value(0))
}

/// A copy of a descriptor of the caller. A program has no place in the file system to be opened at.
fn taken(caller: &Caller, number: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(caller.rights.process).ok_or_else(|| errno(libc::ESRCH))?;
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    // Only now is it sure that the number was the caller's when it was opened.
    caller.must_wait()?;
    Ok(rustix::process::pidfd_getfd(process, number, PidfdGetfdFlags::empty())?)
}
