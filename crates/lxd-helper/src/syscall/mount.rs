//! `mount` of a file system that the instance may mount, which the kernel allows to the host's root only.
//!
//! The target and the device are what the caller itself can open. The file system is mounted where no path leads anywhere but
//! to that device, under its own name; the mount gets "no devices" in a form that the container's root cannot take away.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use lxd_sys::caps::CapabilitySet;
use lxd_sys::filesystem::{FileSystem, empty_root, locked};
use lxd_sys::{fork, frame, mount, namespace};
use lxd_types::helper::{MountRules, SyscallAnswer};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

use super::caller::Caller;
use super::mknod::PATH_MAX;
use super::{errno, options};

/// Bytes of a type's name, its end included.
const KIND_MAX: usize = 256;

/// Bytes of the options, their end included.
const DATA_MAX: usize = 4096;

/// Types that the root of a user namespace may mount by itself, with its own rights.
const ITSELF: &[&str] = &[
    "bpf",
    "binfmt_misc",
    "cgroup",
    "cgroup2",
    "devpts",
    "fuse",
    "mqueue",
    "overlay",
    "proc",
    "ramfs",
    "sysfs",
    "tmpfs",
];

/// Where in the caller's memory the texts are.
pub struct Addresses {
    /// What is mounted.
    pub source: u64,
    /// Where.
    pub target: u64,
    /// The type.
    pub kind: u64,
    /// The options.
    pub data: u64,
}

/// Mounts, or leaves it to the kernel.
pub fn run(caller: &Caller, at: &Addresses, flags: u64, rules: &MountRules) -> io::Result<SyscallAnswer> {
    let kind = caller.word(at.kind, KIND_MAX)?;
    let ours = rules.allowed.contains(&kind) && !ITSELF.contains(&&*kind);
    if !ours {
        return Ok(SyscallAnswer::Continue);
    }
    if !caller.rights.capabilities.contains(CapabilitySet::SYS_ADMIN) {
        return Err(errno(libc::EPERM));
    }
    let source = caller.word(at.source, PATH_MAX)?;
    let target = caller.text(at.target, PATH_MAX)?;
    let data = caller.word(at.data, DATA_MAX)?;
    let on_device = on_device(&std::fs::read_to_string("/proc/filesystems")?, &kind);
    let (target, device) = resolve(caller, &target, on_device.then_some(&*source), flags)?;
    // What the caller opened may be a node that its image or another tenant brought along.
    if device.is_some_and(|device| !rules.devices.contains(&device)) {
        return Err(errno(libc::EPERM));
    }
    let owner = (!rules.shift).then_some(|uid, gid| caller.on_host(uid, gid));
    let wanted = options::parse(&kind, flags, &data, owner)?;
    let source = if on_device { absolute(&source) } else { PathBuf::from(source) };
    let system = FileSystem {
        kind,
        source: source.to_string_lossy().into_owned(),
        options: wanted.parameters,
        attributes: wanted.attributes,
    };
    let mount = make(caller, &system, device, rules.shift)?;
    let mounts = caller.entry("ns/mnt", OFlags::RDONLY)?;
    caller.must_wait()?;
    namespace::enter_fd(mounts)?;
    mount::attach(mount, target)?;
    Ok(SyscallAnswer::Value(0))
}

/// Whether a type lives on a block device, by the kernel's list.
fn on_device(list: &str, kind: &str) -> bool {
    list.lines().any(|line| line.strip_prefix('\t') == Some(kind))
}

/// A path from the root without detours, for a name in an empty directory.
fn absolute(path: &str) -> PathBuf {
    let plain = Path::new(path).components().filter(|part| matches!(part, Component::Normal(_)));
    Path::new("/").join(plain.collect::<PathBuf>())
}

/// Target and device as the caller finds them; both it must be able to use. The device is given by its number, so that nobody
/// has it open when it is mounted.
fn resolve(
    caller: &Caller,
    target: &[u8],
    source: Option<&str>,
    flags: u64,
) -> io::Result<(OwnedFd, Option<u64>)> {
    let writable = if flags & libc::MS_RDONLY == 0 { OFlags::RDWR } else { OFlags::RDONLY };
    let mut found = caller.as_caller(libc::AT_FDCWD, |base| {
        let open = |path: &[u8], flags| {
            let flags = flags | OFlags::CLOEXEC;
            rustix::fs::openat2(base, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)
        };
        let target = open(target, OFlags::PATH)?;
        // Only who may change the mount namespace can copy a mount. What else may speak against it, is the kernel's to say
        // when the new mount is attached.
        if let Err(error) = mount::clone_fd(&target, false)
            && error.raw_os_error() == Some(libc::EPERM)
        {
            return Err(error);
        }
        let mut all = vec![target];
        if let Some(source) = source {
            let named = open(source.as_bytes(), OFlags::PATH)?;
            if !is_block(&named)? {
                return Err(errno(libc::ENOTBLK));
            }
            all.push(open(source.as_bytes(), writable | OFlags::NONBLOCK | OFlags::NOCTTY)?);
        }
        Ok(all)
    })?;
    let device = match (source, found.len()) {
        (Some(_), 2) => found.pop(),
        (None, 1) => None,
        _ => return Err(errno(libc::EPERM)),
    };
    let number = match &device {
        // Both looks at the path may have found different things.
        Some(device) if !is_block(device)? => return Err(errno(libc::ENOTBLK)),
        Some(device) => Some(rustix::fs::fstat(device)?.st_rdev),
        None => None,
    };
    found.pop().map(|target| (target, number)).ok_or_else(|| errno(libc::EPERM))
}

fn is_block(fd: impl AsFd) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == FileType::BlockDevice)
}

/// The mount, made in a copy of this process: there it is the host's root in an empty world.
fn make(caller: &Caller, system: &FileSystem, device: Option<u64>, shift: bool) -> io::Result<OwnedFd> {
    let network = caller.entry("ns/net", OFlags::RDONLY)?;
    let users = caller.entry("ns/user", OFlags::RDONLY)?;
    let build = || -> io::Result<OwnedFd> {
        // File systems of other machines are reached as the caller would reach them.
        namespace::enter_fd(network)?;
        let root = empty_root()?;
        if let Some(device) = device {
            let path = Path::new(&system.source);
            let plain = path.strip_prefix("/").unwrap_or(path);
            root.mkdir_all(plain.parent().unwrap_or(Path::new("")), 0o755)?;
            rustix::fs::mknodat(&root, plain, FileType::BlockDevice, Mode::from_raw_mode(0o600), device)?;
        }
        let mount = system.mount()?;
        if shift {
            mount::set_idmap_of(&mount, users.as_fd(), false)?;
        }
        locked(mount)
    };
    let tell = |socket: &_| {
        let sent = match build() {
            Ok(mount) => frame::send(socket, &0_i32.to_ne_bytes(), &[mount.as_fd()]),
            Err(error) => {
                frame::send(socket, &error.raw_os_error().unwrap_or(libc::EPERM).to_ne_bytes(), &[])
            }
        };
        // Nobody listens any more when this fails.
        let _ = sent;
    };
    let (data, mut fds) = fork::in_copy(tell, frame::receive)?.ok_or_else(|| errno(libc::EPERM))?;
    match (data.try_into().map(i32::from_ne_bytes), fds.pop()) {
        (Ok(0), Some(mount)) => Ok(mount),
        (Ok(number), None) => Err(errno(number.max(1))),
        _ => Err(errno(libc::EPERM)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_paths() {
        let list = "nodev\tsysfs\n\text4\nnodev\thugetlbfs\n";
        assert!(on_device(list, "ext4"));
        assert!(!on_device(list, "hugetlbfs") && !on_device(list, "ext"));
        assert_eq!(absolute("/dev/../dev/./sdb"), Path::new("/dev/dev/sdb"));
        assert_eq!(absolute("sdb"), Path::new("/sdb"));
    }
}
