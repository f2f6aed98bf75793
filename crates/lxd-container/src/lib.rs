//! The instance driver for containers: liblxc behind a typed description.
//!
//! [`Spec`] says what a container is; [`render`] turns it into `lxc.conf` (pure); [`Containers`] starts containers and works
//! with the running ones. Nothing here knows the database or HTTP, and no device type: devices have become mounts,
//! nics and cgroup items before.
//!
//! # How the daemon learns that a container has ended
//! [`Running::watch`] (a [`Running`] comes from [`Containers::start`], or from [`Containers::find`] after a restart of the daemon) gives a [`Watch`] on the container's *monitor*
//! process. Await [`Watch::ended`]: it returns when init is dead, the post-stop hook has run and all cgroups are gone, so the
//! daemon may unplug devices and unmount at once. This needs no program start at all and cannot be missed.
//!
//! Whether the container wants to be started again is told by the post-stop hook (`lxd-helper hook`), which speaks only when
//! the target is "reboot": it sends `POST /internal/containers/{project}/{name}/onstop?target=reboot` to the daemon's
//! unix socket, *before* the monitor ends. The daemon notes it and answers 200; the hook then makes the monitor end
//! instead of starting the container again by itself; [`Watch::ended`] fires, and the daemon takes the devices away, and starts the
//! container anew, as it would for a restart. If the daemon is away the hook lets the monitor reboot the container on its own.

pub mod cgroup;
pub mod conf;
mod driver;
pub mod exec;
mod files;
mod hotplug;
pub mod notify;
pub mod raw;
pub mod render;
mod running;
pub mod seccomp;
mod shutdown;
pub mod spec;

pub use cgroup::{Cgroups, Usage};
pub use driver::Containers;
pub use exec::{ExecProcess, ExecSpec};
pub use files::Files;
pub use hotplug::{HotMount, HotNic};
pub use liblxc::Console;
pub use lxd_types::helper::ContainerRef;
pub use running::{Running, Watch};
pub use spec::{CgroupItem, CgroupVersion, HookSpec, HostFacts, Mount, Nic, Rootfs, Spec};
