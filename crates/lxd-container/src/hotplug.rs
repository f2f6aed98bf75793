//! Mounts and interfaces of running containers.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use lxd_host::netlink::Netlink;
use lxd_sys::dir::OFlags;
use lxd_sys::mount::Attributes;
use lxd_sys::{Dir, mount, namespace};
use lxd_types::error::Context;
use lxd_types::helper::{Mount, MountAction};
use lxd_types::{Cidr, Error, IdKind, IdMap, Mac, Result};

use crate::{Containers, Running};

/// A prepared mount of the host that a running container is to get.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HotMount {
    /// The mount on the host, with all its attributes.
    pub source: PathBuf,
    /// Where it shall be inside, relative to the root.
    pub target: PathBuf,
    /// Whether it is a directory.
    pub directory: bool,
    /// Whether the mounts below come along.
    pub recursive: bool,
    /// Whether nothing can be written, executed or opened as a device through it, whatever the mount on the host allows.
    pub locked: bool,
}

/// An interface of the host that a running container is to get.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HotNic {
    /// Its name on the host.
    pub link: String,
    /// Its name inside; unchanged when missing.
    pub name: Option<String>,
    /// Its hardware address; unchanged when missing.
    pub hwaddr: Option<Mac>,
    /// Its MTU; unchanged when missing.
    pub mtu: Option<u32>,
    /// Addresses that it is to have; it is brought up for them.
    pub addresses: Vec<Cidr>,
    /// Default gateways of these addresses.
    pub gateways: Vec<std::net::IpAddr>,
}

impl Containers {
    /// Shows a mount of the host in a running container. What is missing to mount on is made.
    ///
    /// # Errors
    /// The target cannot be made or mounted on.
    pub async fn plug_mount(&self, running: &Running, idmap: &IdMap, what: &HotMount) -> Result<()> {
        let (source, recursive, locked) = (what.source.clone(), what.recursive, what.locked);
        let tree = tokio::task::spawn_blocking(move || clone(&source, recursive, locked))
            .await
            .map_err(|panic| Error::internal(panic.to_string()))?
            .context("Failed to open the mount")?;
        let action = if what.directory { MountAction::Directory } else { MountAction::File };
        let job = job(action, &what.target, idmap)?;
        let fds = [running.init_fd(), tree.as_fd()];
        let mut process = self.helper.start("mount", &job, &fds, None).await?;
        process.answer::<()>().await
    }

    /// Takes a mount away from a running container; none there is fine.
    ///
    /// # Errors
    /// It cannot be unmounted.
    pub async fn unplug_mount(&self, running: &Running, idmap: &IdMap, target: &Path) -> Result<()> {
        let job = job(MountAction::Remove, target, idmap)?;
        let mut process = self.helper.start("mount", &job, &[running.init_fd()], None).await?;
        process.answer::<()>().await
    }

    /// Moves an interface of the host into a running container.
    ///
    /// # Errors
    /// There is no such interface, or one of that name inside.
    pub async fn plug_nic(&self, running: &Running, host: &Netlink, nic: &HotNic) -> Result<()> {
        let net = namespace::open(running.init(), "net").context("Failed to open the network namespace")?;
        let name = nic.name.as_deref().unwrap_or(&nic.link);
        host.move_to(&nic.link, net.as_fd(), name).await?;
        let inside = Netlink::open_in(net.as_fd())?;
        if let Some(mac) = nic.hwaddr {
            inside.set_mac(name, mac).await?;
        }
        if let Some(mtu) = nic.mtu {
            inside.set_mtu(name, mtu).await?;
        }
        if nic.addresses.is_empty() {
            return Ok(());
        }
        inside.set_up(name).await?;
        for address in &nic.addresses {
            inside.add_address(name, *address).await?;
        }
        for gateway in &nic.gateways {
            inside.add_gateway(name, *gateway).await?;
        }
        Ok(())
    }

    /// Moves an interface of a running container to the host; success when there is none of that name inside.
    ///
    /// # Errors
    /// There is one of the new name on the host, or the kernel refuses.
    pub async fn unplug_nic(&self, running: &Running, name: &str, host_name: &str) -> Result<()> {
        let net = namespace::open(running.init(), "net").context("Failed to open the network namespace")?;
        let here = namespace::open(std::process::id().cast_signed(), "net")
            .context("Failed to open the network namespace of the host")?;
        let inside = Netlink::open_in(net.as_fd())?;
        if inside.link(name).await?.is_none() {
            return Ok(());
        }
        inside.set_down(name).await?;
        Ok(inside.move_to(name, here.as_fd(), host_name).await?)
    }
}

fn clone(source: &Path, recursive: bool, locked: bool) -> std::io::Result<std::os::fd::OwnedFd> {
    let missing = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
    let (folder, name) = (source.parent().ok_or_else(missing)?, source.file_name().ok_or_else(missing)?);
    let at = Dir::open(folder)?.open_raw(name, OFlags::PATH, 0)?;
    let tree = mount::clone_fd(at, recursive)?;
    if locked {
        let what = Attributes {
            read_only: true,
            no_suid: true,
            no_dev: true,
            no_exec: true,
            ..Attributes::default()
        };
        mount::set_attributes(&tree, what)?;
    }
    Ok(tree)
}

fn job(action: MountAction, target: &Path, idmap: &IdMap) -> Result<Mount> {
    let target = target
        .to_str()
        .map(|target| target.trim_start_matches('/').to_owned())
        .ok_or_else(|| Error::bad_request("A mount target must be UTF-8"))?;
    let root = |kind| if idmap.is_empty() { Some(0) } else { idmap.to_host(kind, 0) };
    let nobody = || Error::bad_request("The id map has no root");
    let root = (root(IdKind::Uid).ok_or_else(nobody)?, root(IdKind::Gid).ok_or_else(nobody)?);
    Ok(Mount { action, target, root })
}
