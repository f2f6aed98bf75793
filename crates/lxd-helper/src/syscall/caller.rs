//! The process whose system call waits: its memory, its rights, its view of the files.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use lxd_sys::caps::{CapabilitySet, CapabilitySets};
use lxd_sys::{fork, frame, namespace, notify};
use rustix::fs::{Mode, OFlags};
use rustix::thread::{Gid, Uid};

use super::errno;

/// A page: reads do not cross into the next one, which may not be there.
const PAGE: u64 = 4096;

/// A process in a container whose system call waits for us.
pub struct Caller {
    process: OwnedFd,
    memory: File,
    listener: OwnedFd,
    id: u64,
    /// The rights that it has.
    pub rights: Rights,
}

/// With which rights a process touches files, in ids of the host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rights {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// Capabilities in effect, in its user namespace.
    pub capabilities: CapabilitySet,
    /// The process that its thread belongs to.
    pub process: i32,
    /// What its `umask` takes off the modes of new files.
    pub umask: u32,
}

impl Caller {
    /// Looks at the process whose directory in `/proc` is given, and whose call `id` waits.
    ///
    /// # Errors
    /// It is gone.
    pub fn new(process: OwnedFd, memory: OwnedFd, listener: OwnedFd, id: u64) -> io::Result<Self> {
        let status = rustix::fs::openat(&process, "status", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut text = String::new();
        File::from(status).take(1 << 20).read_to_string(&mut text)?;
        let rights = Rights::parse(&text).ok_or_else(|| errno(libc::EPERM))?;
        let caller = Self { process, memory: memory.into(), listener, id, rights };
        caller.must_wait()?;
        Ok(caller)
    }

    /// Fails when the call is over: then nothing that was read is sure to be the caller's.
    ///
    /// # Errors
    /// `ESRCH`
    pub fn must_wait(&self) -> io::Result<()> {
        if notify::still_waits(&self.listener, self.id) { Ok(()) } else { Err(errno(libc::ESRCH)) }
    }

    /// Gives the caller a copy of a descriptor; its number there.
    ///
    /// # Errors
    /// The call is over, or the caller has no room.
    pub fn give(&self, fd: impl AsFd) -> io::Result<i32> {
        notify::add_descriptor(&self.listener, self.id, fd)
    }

    /// A descriptor of the caller's own, by its number, that only names what it is of (`O_PATH`).
    ///
    /// # Errors
    /// `EBADF`
    pub fn descriptor(&self, number: i32) -> io::Result<OwnedFd> {
        self.entry(&format!("fd/{number}"), OFlags::PATH).map_err(|_| errno(libc::EBADF))
    }

    /// A file of the caller's directory in `/proc`; what its links lead to is opened.
    ///
    /// # Errors
    /// The caller is gone.
    pub fn entry(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(rustix::fs::openat(&self.process, name, flags | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Fills `bytes` from the caller's memory.
    ///
    /// # Errors
    /// `EFAULT`
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.memory.read_exact_at(bytes, address).map_err(|_| errno(libc::EFAULT))?;
        self.must_wait()
    }

    /// A text that ends with a NUL, without it.
    ///
    /// # Errors
    /// `EFAULT`; `ENAMETOOLONG` when there is no end within `limit` bytes.
    pub fn text(&self, address: u64, limit: usize) -> io::Result<Vec<u8>> {
        let mut found = Vec::new();
        while found.len() < limit {
            let at = address.checked_add(found.len() as u64).ok_or_else(|| errno(libc::EFAULT))?;
            let mut part = vec![0; usize::try_from(PAGE - at % PAGE).unwrap_or(1)];
            let got = self.memory.read_at(&mut part, at).map_err(|_| errno(libc::EFAULT))?;
            if got == 0 {
                return Err(errno(libc::EFAULT));
            }
            if let Some(end) = part[..got].iter().position(|byte| *byte == 0) {
                found.extend_from_slice(&part[..end]);
                self.must_wait()?;
                return if found.len() < limit { Ok(found) } else { Err(errno(libc::ENAMETOOLONG)) };
            }
            found.extend_from_slice(&part[..got]);
        }
        Err(errno(libc::ENAMETOOLONG))
    }

    /// As [`Caller::text`], empty for a null address; `EINVAL` when it is no UTF-8.
    ///
    /// # Errors
    /// As [`Caller::text`].
    pub fn word(&self, address: u64, limit: usize) -> io::Result<String> {
        if address == 0 {
            return Ok(String::new());
        }
        String::from_utf8(self.text(address, limit)?).map_err(|_| errno(libc::EINVAL))
    }

    /// Runs `work` in a copy of this process that is to the kernel as the caller is: in its namespaces of users and mounts, with
    /// its root, its ids and its capabilities. `work` gets the directory that relative paths begin at (the descriptor `at` of the
    /// caller, or its working directory), and answers with descriptors.
    ///
    /// # Errors
    /// `EBADF` when there is no such descriptor; what `work` answers.
    pub fn as_caller(
        &self,
        at: i32,
        work: impl FnOnce(BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>>,
    ) -> io::Result<Vec<OwnedFd>> {
        let place = match at {
            libc::AT_FDCWD => self.entry("cwd", OFlags::PATH)?,
            number => self.descriptor(number)?,
        };
        let seat = Seat {
            root: self.entry("root", OFlags::PATH | OFlags::DIRECTORY)?,
            mounts: self.entry("ns/mnt", OFlags::RDONLY)?,
            users: self.entry("ns/user", OFlags::RDONLY)?,
        };
        self.must_wait()?;
        let tell = |socket: &_| {
            let (number, fds) = match seat.take(&self.rights).and_then(|()| work(place.as_fd())) {
                Ok(fds) => (0, fds),
                Err(error) => (error.raw_os_error().unwrap_or(libc::EPERM), Vec::new()),
            };
            let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            // Nobody listens any more when this fails.
            let _ = frame::send(socket, &number.to_ne_bytes(), &fds);
        };
        let (data, fds) = fork::in_copy(tell, frame::receive)?.ok_or_else(|| errno(libc::EPERM))?;
        match data.try_into().map(i32::from_ne_bytes) {
            Ok(0) => Ok(fds),
            Ok(number) => Err(errno(number)),
            Err(_) => Err(errno(libc::EPERM)),
        }
    }

    /// The host's ids of a user and a group of the caller's namespace.
    ///
    /// # Errors
    /// `EINVAL` when one has none.
    pub fn on_host(&self, uid: u32, gid: u32) -> io::Result<(u32, u32)> {
        Ok((self.mapped("uid_map", uid)?, self.mapped("gid_map", gid)?))
    }

    fn mapped(&self, file: &str, id: u32) -> io::Result<u32> {
        let mut text = String::new();
        File::from(self.entry(file, OFlags::RDONLY)?).take(1 << 16).read_to_string(&mut text)?;
        map_id(&text, id).ok_or_else(|| errno(libc::EINVAL))
    }
}

/// Takes an id through the lines of `/proc/PID/uid_map`.
fn map_id(map: &str, id: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().map(|word| word.parse::<u32>().ok());
        let (inside, host, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let offset = id.checked_sub(inside).filter(|offset| *offset < count)?;
        host.checked_add(offset)
    })
}

/// What a process must have of another to see files as that does.
struct Seat {
    root: OwnedFd,
    mounts: OwnedFd,
    users: OwnedFd,
}

impl Seat {
    /// Becomes the other for good, as far as files are concerned.
    fn take(&self, rights: &Rights) -> io::Result<()> {
        become_user(rights)?;
        namespace::enter_fd(&self.mounts)?;
        rustix::process::fchdir(&self.root)?;
        rustix::process::chroot(".")?;
        // A namespace cannot be entered by who is in it.
        let ours = namespace_number(namespace::open(std::process::id().cast_signed(), "user").ok());
        if ours != namespace_number(Some(self.users.try_clone()?)) {
            namespace::enter_fd(&self.users)?;
        }
        keep(rights.capabilities)?;
        // Other ids take this away.
        Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?)
    }
}

fn namespace_number(space: Option<OwnedFd>) -> Option<u64> {
    Some(rustix::fs::fstat(space?).ok()?.st_ino)
}

/// Takes the ids, and keeps every capability in effect.
pub fn become_user(rights: &Rights) -> io::Result<()> {
    rustix::thread::set_keep_capabilities(true)?;
    let groups: Vec<Gid> = rights.groups.iter().copied().map(Gid::from_raw).collect();
    rustix::thread::set_thread_groups(&groups)?;
    let (uid, gid) = (Uid::from_raw(rights.uid), Gid::from_raw(rights.gid));
    rustix::thread::set_thread_res_gid(Some(gid), Some(gid), Some(gid))?;
    rustix::thread::set_thread_res_uid(Some(uid), Some(uid), Some(uid))?;
    keep(CapabilitySet::all())
}

/// Keeps these of the capabilities that are permitted, all of them in effect.
pub fn keep(wanted: CapabilitySet) -> io::Result<()> {
    let permitted = rustix::thread::capabilities(None)?.permitted & wanted;
    let sets = CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

impl Rights {
    /// Reads `/proc/PID/status`.
    fn parse(status: &str) -> Option<Self> {
        let line = |key: &str| status.lines().find_map(|line| line.strip_prefix(key));
        // Real, effective, saved, and the one for files.
        let last = |key: &str| line(key)?.split_whitespace().nth(3)?.parse().ok();
        Some(Self {
            uid: last("Uid:")?,
            gid: last("Gid:")?,
            groups: line("Groups:")?.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?,
            capabilities: CapabilitySet::from_bits_retain(
                u64::from_str_radix(line("CapEff:")?.trim(), 16).ok()?,
            ),
            process: line("Tgid:")?.trim().parse().ok()?,
            umask: u32::from_str_radix(line("Umask:")?.trim(), 8).ok()?,
        })
    }
}

/// `/proc/self/fd/N` of a descriptor of this process, for calls that take only paths.
pub fn by_number(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_those_for_files() {
        let status = "Name:\tx\nUmask:\t0022\nTgid:\t77\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \nCapEff:\t000001ffffffffff\n";
        let rights = Rights::parse(status).unwrap();
        assert_eq!((rights.uid, rights.gid, &rights.groups[..], rights.umask), (4, 8, &[9, 10][..], 0o22));
        assert_eq!(rights.process, 77);
        assert!(rights.capabilities.contains(CapabilitySet::SYS_ADMIN));
        assert_eq!(Rights::parse("Uid:\t1\n"), None);
    }

    #[test]
    fn ids_go_through_the_map() {
        let map = "         0    1000000      65536\n     70000     5  1\n";
        assert_eq!(map_id(map, 0), Some(1_000_000));
        assert_eq!(map_id(map, 70000), Some(5));
        assert_eq!(map_id(map, 65536), None);
    }
}
