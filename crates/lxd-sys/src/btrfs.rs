//! Subvolumes, snapshots and quota groups of btrfs, by the calls that `btrfs` itself makes.
//!
//! All functions take descriptors; names are single components below a descriptor.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::Dir;

/// Inode of the top directory of every subvolume.
const TOP: u64 = 256;
/// `BTRFS_SUPER_MAGIC`.
const MAGIC: u64 = 0x9123_683e;
/// `BTRFS_SUBVOL_RDONLY`.
const READ_ONLY: u64 = 1 << 1;
/// `BTRFS_QGROUP_LIMIT_MAX_RFER`.
const MAX_REFERENCED: u64 = 1;
/// The tree that has the quota groups.
const QUOTA_TREE: u64 = 8;
/// Item with the usage of a quota group.
const QGROUP_INFO: u32 = 242;
/// Item with the limit of a quota group.
const QGROUP_LIMIT: u32 = 244;

const fn request(direction: u64, number: u64, size: u64) -> u64 {
    direction << 30 | size << 16 | 0x94 << 8 | number
}
const WRITE: u64 = 1;
const READ: u64 = 2;

const RESIZE: u64 = request(WRITE, 3, 4096);
const SNAP_DESTROY: u64 = request(WRITE, 15, 4096);
const TREE_SEARCH: u64 = request(WRITE | READ, 17, 4096);
const SNAP_CREATE_V2: u64 = request(WRITE, 23, 4096);
const SUBVOL_CREATE_V2: u64 = request(WRITE, 24, 4096);
const SUBVOL_GETFLAGS: u64 = request(READ, 25, 8);
const SUBVOL_SETFLAGS: u64 = request(WRITE, 26, 8);
const SEND: u64 = request(WRITE, 38, 72);
const QUOTA_CTL: u64 = request(WRITE | READ, 40, 16);
const QGROUP_CREATE: u64 = request(WRITE, 42, 16);
const SET_QGROUP_LIMIT: u64 = request(READ, 43, 48);
const QUOTA_RESCAN_WAIT: u64 = request(0, 46, 0);
const SUBVOL_INFO: u64 = request(READ, 60, 504);
const SUBVOL_ROOTREF: u64 = request(WRITE | READ, 61, 4096);
const INO_LOOKUP_USER: u64 = request(WRITE | READ, 62, 4096);

/// Memory for the argument of one call, aligned for every field in it. 4096 bytes are the largest argument used here.
#[repr(C, align(8))]
struct Buffer([u8; 4096]);

impl Buffer {
    fn new() -> Box<Self> {
        Box::new(Self([0; 4096]))
    }

    fn put(&mut self, at: usize, value: u64) {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }

    fn get(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.0[at..at + 8].try_into().expect("eight bytes"))
    }

    fn get32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.0[at..at + 4].try_into().expect("four bytes"))
    }

    /// A name with the zero byte that ends it; `room` includes that.
    fn name(&mut self, at: usize, room: usize, name: &OsStr) -> io::Result<()> {
        let bytes = name.as_bytes();
        if bytes.is_empty() || bytes.len() >= room || bytes.contains(&0) || bytes.contains(&b'/') {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// The bytes up to a zero byte.
    fn text(&self, at: usize, end: usize) -> &[u8] {
        let bytes = &self.0[at..end];
        &bytes[..bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len())]
    }

    fn call(&mut self, fd: impl AsFd, request: u64) -> io::Result<()> {
        // SAFETY: the descriptor is open for the whole call, the request's number says how many bytes (at most 4096)
        // the kernel reads and writes, and the buffer has so many, aligned, and nobody else uses it meanwhile.
        let status = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), request as _, self.0.as_mut_ptr()) };
        if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Whether the directory is on a btrfs file system.
///
/// # Errors
/// As `fstatfs`.
pub fn is_btrfs(dir: impl AsFd) -> io::Result<bool> {
    Ok(rustix::fs::fstatfs(dir)?.f_type as u64 == MAGIC)
}

/// Whether the directory is the top of a subvolume.
///
/// # Errors
/// As `fstatfs` and `fstat`.
pub fn is_subvolume(dir: &Dir) -> io::Result<bool> {
    Ok(is_btrfs(dir)? && rustix::fs::fstat(dir)?.st_ino == TOP)
}

/// Makes an empty subvolume.
///
/// # Errors
/// `AlreadyExists`, and as the call.
pub fn create(parent: &Dir, name: &OsStr) -> io::Result<()> {
    let mut args = Buffer::new();
    args.name(56, 4040, name)?;
    args.call(parent, SUBVOL_CREATE_V2)
}

/// Makes a snapshot of a subvolume, without those that are nested in it.
///
/// # Errors
/// `AlreadyExists`, and as the call.
pub fn snapshot(source: &Dir, parent: &Dir, name: &OsStr) -> io::Result<()> {
    let mut args = Buffer::new();
    let fd = i64::from(source.as_fd().as_raw_fd());
    args.put(0, fd.cast_unsigned());
    args.name(56, 4040, name)?;
    args.call(parent, SNAP_CREATE_V2)
}

/// Removes a subvolume that has none nested in it; its blocks are given back in the background.
///
/// # Errors
/// `NotFound`, `DirectoryNotEmpty` (one is nested in it), and as the call.
pub fn destroy(parent: &Dir, name: &OsStr) -> io::Result<()> {
    let mut args = Buffer::new();
    args.name(8, 4088, name)?;
    args.call(parent, SNAP_DESTROY)
}

/// Makes a subvolume read-only, or writable again.
///
/// # Errors
/// As the call.
pub fn set_read_only(subvolume: &Dir, read_only: bool) -> io::Result<()> {
    let mut args = Buffer::new();
    args.call(subvolume, SUBVOL_GETFLAGS)?;
    let flags = args.get(0);
    let wanted = if read_only { flags | READ_ONLY } else { flags & !READ_ONLY };
    if wanted != flags {
        args.put(0, wanted);
        args.call(subvolume, SUBVOL_SETFLAGS)?;
    }
    Ok(())
}

/// The id of a subvolume, which is also that of its quota group.
///
/// # Errors
/// As the call.
pub fn id(subvolume: &Dir) -> io::Result<u64> {
    let mut args = Buffer::new();
    args.call(subvolume, SUBVOL_INFO)?;
    Ok(args.get(0))
}

/// The id that a subvolume has on every file system to which it is sent.
///
/// # Errors
/// As the call.
pub fn uuid(subvolume: &Dir) -> io::Result<[u8; 16]> {
    let mut args = Buffer::new();
    args.call(subvolume, SUBVOL_INFO)?;
    Ok(args.0[296..312].try_into().expect("sixteen bytes"))
}

/// Writes a read-only subvolume as a stream, as what differs from the subvolume with the id `parent` where that is given.
///
/// # Errors
/// It is not read-only, and as the call.
pub fn send(subvolume: &Dir, parent: Option<u64>, to: &File) -> io::Result<()> {
    let mut args = Buffer::new();
    let fd = i64::from(to.as_raw_fd());
    args.put(0, fd.cast_unsigned());
    // No further subvolumes to share with: neither their number nor their addresses.
    args.put(24, parent.unwrap_or(0));
    args.call(subvolume, SEND)
}

/// The subvolumes right below one, as paths below it.
///
/// # Errors
/// As the calls.
pub fn nested(subvolume: &Dir) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut from = 0;
    loop {
        let mut args = Buffer::new();
        args.put(0, from);
        let more = match args.call(subvolume, SUBVOL_ROOTREF) {
            Err(error) if error.raw_os_error() == Some(libc::EOVERFLOW) => true,
            other => other.map(|()| false)?,
        };
        let count = usize::from(args.0[8 + 255 * 16]);
        for at in (0..count).map(|index| 8 + index * 16) {
            let (tree, parent) = (args.get(at), args.get(at + 8));
            if let Some(path) = path_of(subvolume, tree, parent)? {
                found.push(path);
            }
            from = tree + 1;
        }
        if !more {
            return Ok(found);
        }
    }
}

/// The path of a nested subvolume; none when it went meanwhile.
fn path_of(subvolume: &Dir, tree: u64, parent: u64) -> io::Result<Option<PathBuf>> {
    let mut args = Buffer::new();
    args.put(0, parent);
    args.put(8, tree);
    match args.call(subvolume, INO_LOOKUP_USER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    }
    let (name, path) = (args.text(16, 272), args.text(272, 4096));
    Ok(Some(PathBuf::from(OsStr::from_bytes(path)).join(OsStr::from_bytes(name))))
}

/// Turns quota groups on, and waits until all are counted.
///
/// # Errors
/// As the calls.
pub fn enable_quota(pool: &Dir) -> io::Result<()> {
    let mut args = Buffer::new();
    args.put(0, 1);
    args.call(pool, QUOTA_CTL)?;
    Buffer::new().call(pool, QUOTA_RESCAN_WAIT)
}

/// What a quota group counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Qgroup {
    /// Bytes that the subvolume has.
    pub referenced: u64,
    /// Bytes that only it has.
    pub exclusive: u64,
    /// Most bytes that it may have.
    pub limit: Option<u64>,
}

/// The quota group of a subvolume; none while quota groups are off. `pool` is a directory of the file system.
///
/// # Errors
/// As the call.
pub fn qgroup(pool: &Dir, subvolume: u64) -> io::Result<Option<Qgroup>> {
    let Some(info) = quota_item(pool, QGROUP_INFO, subvolume)? else { return Ok(None) };
    let limit = quota_item(pool, QGROUP_LIMIT, subvolume)?;
    let word = |item: &[u8], index: usize| {
        item.get(index * 8..index * 8 + 8)
            .map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
    };
    let limit = limit.filter(|item| word(item, 0) & MAX_REFERENCED != 0).map(|item| word(&item, 1));
    Ok(Some(Qgroup { referenced: word(&info, 1), exclusive: word(&info, 3), limit }))
}

/// One item of the quota tree.
fn quota_item(pool: &Dir, kind: u32, offset: u64) -> io::Result<Option<Vec<u8>>> {
    let mut args = Buffer::new();
    args.put(0, QUOTA_TREE);
    // Object ids 0..=0, offsets of this one, any transaction, items of this type.
    args.put(24, offset);
    args.put(32, offset);
    args.put(48, u64::MAX);
    args.put(56, u64::from(kind) | u64::from(kind) << 32);
    args.put(64, 16);
    match args.call(pool, TREE_SEARCH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    }
    let mut at = 104;
    for _ in 0..args.get32(64) {
        let (found_offset, found_kind) = (args.get(at + 16), args.get32(at + 24));
        let length = args.get32(at + 28) as usize;
        at += 32;
        if found_kind == kind && found_offset == offset {
            return Ok(args.0.get(at..at + length).map(<[u8]>::to_vec));
        }
        at += length;
    }
    Ok(None)
}

/// Limits the bytes that a subvolume may have; none takes the limit away. Quota groups must be on.
///
/// # Errors
/// As the calls.
pub fn set_limit(pool: &Dir, subvolume: u64, bytes: Option<u64>) -> io::Result<()> {
    let mut args = Buffer::new();
    args.put(0, subvolume);
    args.put(8, MAX_REFERENCED);
    args.put(16, bytes.unwrap_or(u64::MAX));
    match args.call(pool, SET_QGROUP_LIMIT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut new = Buffer::new();
            new.put(0, 1);
            new.put(8, subvolume);
            new.call(pool, QGROUP_CREATE)?;
            args.call(pool, SET_QGROUP_LIMIT)
        }
        other => other,
    }
}

/// Lets the file system take all of its (grown) device.
///
/// # Errors
/// As the call.
pub fn grow(pool: &Dir) -> io::Result<()> {
    let mut args = Buffer::new();
    args.name(8, 4088, OsStr::new("max"))?;
    args.call(pool, RESIZE)
}
