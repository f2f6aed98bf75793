//! Files as block devices.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

/// `LOOP_CTL_GET_FREE`.
const GET_FREE: u64 = 0x4c82;
/// `LOOP_CONFIGURE`.
const CONFIGURE: u64 = 0x4c0a;
/// `LOOP_SET_CAPACITY`.
const SET_CAPACITY: u64 = 0x4c07;
/// The device is freed when nobody has it open or mounted any more.
const AUTOCLEAR: u32 = 4;
/// The file's own page cache is not used: content is cached once.
const DIRECT_IO: u32 = 16;

/// `struct loop_config` with `struct loop_info64` in it.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
    reserved: [u64; 8],
}

/// A file that is a block device as long as this value, a mount or another opener lives.
#[derive(Debug)]
pub struct Loop {
    device: File,
    /// Its path, `/dev/loopN`.
    pub path: PathBuf,
}

impl Loop {
    /// Makes a block device of a file that is open for reading and writing.
    ///
    /// # Errors
    /// As the calls; no loop devices are to be had.
    pub fn attach(file: &File) -> io::Result<Self> {
        let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
        for _ in 0..64 {
            // SAFETY: this request has no argument; the descriptor is open.
            let number = unsafe { libc::ioctl(control.as_raw_fd(), GET_FREE as _) };
            if number < 0 {
                return Err(io::Error::last_os_error());
            }
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = OpenOptions::new().read(true).write(true).open(&path)?;
            match configure(&device, file) {
                // Somebody else was faster.
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                other => return other.map(|()| Self { device, path }),
            }
        }
        Err(io::Error::from_raw_os_error(libc::EBUSY))
    }
}

impl AsFd for Loop {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.device.as_fd()
    }
}

fn configure(device: &File, file: &File) -> io::Result<()> {
    let with = |flags| {
        let mut config = Config {
            fd: file.as_raw_fd().cast_unsigned(),
            block_size: 0,
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
            reserved: [0; 8],
        };
        // SAFETY: both descriptors are open, and the structure is that of the request (304 bytes), ours alone.
        let status = unsafe { libc::ioctl(device.as_raw_fd(), CONFIGURE as _, &raw mut config) };
        if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    match with(AUTOCLEAR | DIRECT_IO) {
        // The file system below cannot do direct I/O.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => with(AUTOCLEAR),
        other => other,
    }
}

/// Tells an open loop device that its file has another size.
///
/// # Errors
/// As the call.
pub fn update_size(device: impl AsFd) -> io::Result<()> {
    // SAFETY: the request takes no memory; the descriptor is open.
    let status = unsafe { libc::ioctl(device.as_fd().as_raw_fd(), SET_CAPACITY as _, 0) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

const _: () = assert!(std::mem::size_of::<Config>() == 304);
