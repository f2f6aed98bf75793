//! System calls behind safe functions: paths below directory descriptors, the new mount API, namespaces, pidfds.
//!
//! Only this crate (with the three other crates named in the architecture) contains `unsafe`; each block argues
//! why it is sound. Nothing here knows the daemon: functions take descriptors, paths and numbers.
//!
//! Start reading at [`dir::Dir`]: it is the only way to touch paths that a tenant can influence.
#![allow(unsafe_code)]

pub mod bpf;
pub mod btrfs;
pub mod caps;
pub mod dir;
pub mod ethtool;
pub mod filesystem;
pub mod fork;
pub mod frame;
pub mod loopdev;
pub mod memfd;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod notify;
pub mod process;
pub mod seccomp;
pub mod userns;

pub use dir::{Dir, Entry, FileKind};
pub use userns::UserNamespace;
