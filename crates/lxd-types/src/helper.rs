//! What the daemon asks of `lxd-helper` and what it answers: jobs and answers as JSON in frames over a socket pair.
//!
//! This is an interface that outlives one release for a moment only (a helper is always the daemon's own copy), except
//! for the hook's command line, which stands in the configuration of running containers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::IdMap;

/// A container as liblxc finds it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ContainerRef {
    /// Its name in liblxc (`c1`, or `project_c1`).
    pub name: String,
    /// The directory that names its command socket (`LXD_DIR/containers`).
    pub lxcpath: String,
    /// Its generated `lxc.conf`.
    pub config: String,
}

/// The answer to a job.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer<T> {
    /// It worked.
    Ok(T),
    /// It did not; a text for the user.
    Error(Failure),
}

/// Why a job failed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Failure {
    /// What went wrong.
    pub message: String,
    /// The number of the system call's error, when one failed.
    pub errno: Option<i32>,
}

/// `forkstart` answers with this when the container runs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Started {
    /// Init, in the daemon's pid namespace.
    pub init: i32,
    /// The process that stays beside the container.
    pub monitor: i32,
}

/// Job of `exec`. Descriptors: standard input, output and error of the program.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Exec {
    /// The running container.
    pub container: ContainerRef,
    /// Program and arguments.
    pub command: Vec<String>,
    /// The whole environment.
    pub environment: BTreeMap<String, String>,
    /// User id inside.
    pub uid: u32,
    /// Group id inside.
    pub gid: u32,
    /// Working directory inside.
    pub cwd: String,
    /// Whether standard input is a terminal that becomes the controlling one.
    pub terminal: bool,
}

/// Reports of `exec`, in this order.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecReport {
    /// The program is about to run under this pid of the daemon's namespace; its pidfd comes along.
    Started {
        /// The pid.
        pid: i32,
    },
    /// The program has ended: exit status, or 128 + signal.
    Ended {
        /// 0 to 255.
        status: i32,
    },
}

/// Job of `mount`: shows or hides a mount in a running container. Descriptors: pidfd of its init; for showing also the
/// mount, detached, with all its attributes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Mount {
    /// What is to be done.
    pub action: MountAction,
    /// Path inside, relative to the root, without `.` and `..`.
    pub target: String,
    /// Host ids of the container's root: who owns what has to be made to mount on.
    pub root: (u32, u32),
}

/// What `mount` does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MountAction {
    /// Shows a directory.
    Directory,
    /// Shows a file.
    File,
    /// Takes away what is mounted there, and the empty place.
    Remove,
}

/// Job of `proxy`: forwards connections between host and container until it is killed. Descriptor: pidfd of the
/// container's init. It answers once, when it listens.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Proxy {
    /// Where connections come in.
    pub listen: ProxyEnd,
    /// Where they are led.
    pub connect: ProxyEnd,
    /// Whether it listens in the container and connects on the host, rather than the other way round.
    pub listen_inside: bool,
    /// Whether the container has a user namespace of its own.
    pub user_namespace: bool,
    /// Host ids of the container's root: who makes a socket's file inside.
    pub root: (u32, u32),
    /// Owner of a listening socket's file, in ids of the host.
    pub owner: (u32, u32),
    /// Mode of a listening socket's file.
    pub mode: u32,
    /// User and group to work as, in ids of the side that connects.
    pub drop_to: (u32, u32),
    /// Whether the server is told the client's address first (PROXY protocol).
    pub proxy_protocol: bool,
}

/// One side of a proxy.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyEnd {
    /// TCP: address, ports.
    Tcp(std::net::IpAddr, Vec<u16>),
    /// UDP: address, ports.
    Udp(std::net::IpAddr, Vec<u16>),
    /// A unix socket: its path, or its abstract name behind `@`.
    Unix(String),
}

impl ProxyEnd {
    /// How many ports it has; a unix socket counts as one.
    pub fn ports(&self) -> usize {
        match self {
            Self::Tcp(_, ports) | Self::Udp(_, ports) => ports.len(),
            Self::Unix(_) => 1,
        }
    }
}

/// How an archive is packed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Find out from the first bytes: tar, plain or compressed with gzip, bzip2, xz, lzma or zstd, or (in a file) squashfs.
    Detect,
    /// A squashfs image; it must be a file (not a pipe), unpacked by `unsquashfs`.
    Squashfs,
}

/// Character devices (major, minor) that give nobody anything beyond his container: whiteouts, null, zero, full, random, urandom
/// and the caller's own terminal.
pub const HARMLESS_DEVICES: [(u32, u32); 7] = [(0, 0), (1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0)];

/// Job of `unpack`. Descriptors: the archive (pipe or file), the target directory.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Unpack {
    /// How it is packed.
    pub format: Format,
    /// Only entries below this name are unpacked, without it (`rootfs`); empty for all.
    pub strip: String,
    /// Only these names (and what is below them) are unpacked; empty for all.
    pub only: Vec<String>,
    /// Stop as soon as every name of `only` was unpacked; the rest of the archive is read but not looked at. For `metadata.yaml`,
    /// which comes first.
    pub stop_early: bool,
    /// The owners of the files below `rootfs` are those that this map gives on the host where they were packed: they become those
    /// of the inside. An empty map leaves them as they are.
    pub owners: IdMap,
    /// Whether device nodes are made: those of [`HARMLESS_DEVICES`], where the process may. All others are left out: an id map on
    /// the mount would make the owner of an unprivileged container the owner of a disk of the host.
    pub devices: bool,
    /// Limits; what goes over them is refused.
    pub limits: UnpackLimits,
}

/// The plan of a `shift` that is under way, beside the root file system.
pub const SHIFT_PLAN: &str = "shift.plan";

/// Job of `shift`. Descriptor: the directory of a volume, with the root file system in `rootfs`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Shift {
    /// The map by which the owners of the files are shifted.
    pub owners: IdMap,
}

/// Answer of `shift`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Shifted {
    /// Files and directories that were looked at.
    pub files: u64,
}

/// What an archive may contain at most.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct UnpackLimits {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Number of entries.
    pub entries: u64,
    /// Address space of the helper in bytes.
    pub memory: u64,
    /// CPU seconds.
    pub seconds: u64,
}

impl Default for UnpackLimits {
    /// 1 TiB in 20 million entries, 2 GiB of memory, 4 hours of CPU: for archives of trusted size. Give less where known.
    fn default() -> Self {
        Self { bytes: 1 << 40, entries: 20_000_000, memory: 2 << 30, seconds: 4 * 3600 }
    }
}

/// What `unpack` did.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Unpacked {
    /// Entries written.
    pub entries: u64,
    /// Bytes of file content written.
    pub bytes: u64,
    /// Entries left out by policy (device nodes, sockets).
    pub skipped: u64,
}

/// Job of `delta`: makes a file of an older one and what changed. Descriptors: the older file, the delta, where the result
/// goes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Delta {
    /// Address space of the program in bytes.
    pub memory: u64,
    /// CPU seconds.
    pub seconds: u64,
}

impl Default for Delta {
    /// 2 GiB of memory, 1 hour of CPU.
    fn default() -> Self {
        Self { memory: 2 << 30, seconds: 3600 }
    }
}

/// What `delta` answers when the whole file was written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Patched {}

/// Job that begins a `file` session; requests and replies follow until the daemon closes the socket. One descriptor: the pidfd of
/// init of a running container, or the root directory of a stopped one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileSession {
    /// Enter the container's namespaces.
    Running {
        /// Whether it has a user namespace of its own.
        unprivileged: bool,
    },
    /// Work below the directory, in which files have the ids of the inside.
    Stopped,
}

/// A request to a `file` session. Paths are those of the inside; symbolic links on the way are followed, the last component is not
/// (but for [`FileRequest::Open`] and what writes files, as programs inside would).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileRequest {
    /// Metadata of a path.
    Stat {
        /// The path.
        path: String,
    },
    /// Opens a file to be read; its descriptor comes along.
    Open {
        /// The path.
        path: String,
    },
    /// Opens a file to be written, creating it with this owner; its descriptor comes along.
    Create {
        /// The path.
        path: String,
        /// Write at its end rather than replacing its content.
        append: bool,
        /// Owner and mode of a new file.
        owner: FileOwner,
    },
    /// Writes a file whose content is there: it is the next frame.
    Write {
        /// The path.
        path: String,
        /// Write at its end rather than replacing its content.
        append: bool,
        /// Owner and mode of a new file.
        owner: FileOwner,
    },
    /// Begins a file whose content comes slowly: a file without a name is made beside the path, and its descriptor comes
    /// along; none does where the file system has no such files. Every other request but [`FileRequest::Publish`] gives it up.
    Receive {
        /// The path.
        path: String,
        /// Owner and mode of a new file.
        owner: FileOwner,
    },
    /// The content of [`FileRequest::Receive`] is whole: a new file gets its name ([`FileReply::Done`]). Where there is a file, or
    /// none can be named, the path is opened as by [`FileRequest::Create`], but not truncated: its content is to be replaced.
    Publish,
    /// Names in a directory.
    List {
        /// The path.
        path: String,
    },
    /// Makes a directory; an existing one is success.
    Mkdir {
        /// The path.
        path: String,
        /// Owner and mode of a new directory.
        owner: FileOwner,
    },
    /// Makes a symbolic link.
    Symlink {
        /// The path.
        path: String,
        /// What it points to.
        target: String,
        /// Its owner.
        owner: FileOwner,
    },
    /// The text of a symbolic link.
    ReadLink {
        /// The path.
        path: String,
    },
    /// Removes a file or an empty directory.
    Delete {
        /// The path.
        path: String,
    },
}

/// Owner and mode, as the inside sees them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FileOwner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// The reply of a `file` session.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileReply {
    /// Metadata.
    Stat(FileStat),
    /// A descriptor came along, of a file with this metadata.
    Opened(FileStat),
    /// Names.
    Names(Vec<String>),
    /// The text of a link.
    Link(String),
    /// It is done.
    Done,
}

/// What a path is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PathKind {
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A regular file.
    File,
    /// Something else: a device, pipe or socket.
    Other,
}

/// Metadata of a path.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FileStat {
    /// What it is.
    pub kind: PathKind,
    /// Owner and permission bits, as the inside sees them.
    pub owner: FileOwner,
    /// Bytes.
    pub size: u64,
    /// Time of the last change of content, in seconds since 1970.
    pub modified: i64,
}

/// Job of `syscall`: does what a process in a container asked the kernel for and may not do itself. Descriptors: the directory
/// `/proc/THREAD` of that process, its memory, the seccomp listener.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Intercepted {
    /// The number under which the call waits.
    pub id: u64,
    /// What was called.
    pub call: InterceptedCall,
}

/// A system call with its arguments as they are in the registers; addresses are those of the caller.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InterceptedCall {
    /// `mknodat`, of a node that everybody may have.
    Mknod {
        /// Descriptor of the directory that a relative path begins at, or `AT_FDCWD`.
        at: i32,
        /// The path's address.
        path: u64,
        /// Permission bits.
        mode: u32,
        /// Major and minor number of the character device.
        device: (u32, u32),
    },
    /// `setxattr` with a value of one byte.
    SetXattr {
        /// The path's address.
        path: u64,
        /// The name's address.
        name: u64,
        /// The value's address.
        value: u64,
        /// `XATTR_CREATE` or `XATTR_REPLACE`, or none.
        flags: u32,
    },
    /// `mount` of something new.
    Mount {
        /// The source's address.
        source: u64,
        /// The target's address.
        target: u64,
        /// The type's address.
        kind: u64,
        /// `MS_…`
        flags: u64,
        /// The options' address.
        data: u64,
        /// What the instance may mount.
        rules: MountRules,
    },
    /// `bpf`: programs that rule the use of devices.
    Bpf {
        /// `BPF_PROG_LOAD`, `BPF_PROG_ATTACH` or `BPF_PROG_DETACH`.
        command: u32,
        /// The attributes' address.
        attributes: u64,
        /// Their size in bytes.
        size: u32,
    },
}

/// `security.syscalls.intercept.mount.*` of an instance.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct MountRules {
    /// Types of file systems that are mounted with the rights of the host.
    pub allowed: Vec<String>,
    /// Programs inside that mount a type instead of the kernel.
    pub fuse: BTreeMap<String, String>,
    /// Whether the owners of what is mounted are those of the inside.
    pub shift: bool,
    /// Block devices that the instance was given, by their numbers as `stat` tells them.
    pub devices: Vec<u64>,
}

/// What the caller of an intercepted system call gets.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SyscallAnswer {
    /// The call returns this.
    Value(i64),
    /// The call fails with this error number.
    Error(i32),
    /// The kernel makes the call with the caller's own rights.
    Continue,
}
