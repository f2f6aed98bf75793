//! The generated pages: `doc/reference` and the description of the REST API.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use lxd_config::{page, project::PROJECT, server::SERVER};
use lxd_device::{disk::DISK, nic, nodes, none::NONE, proxy::PROXY};
use lxd_instance::keys::INSTANCE;
use lxd_network::config::keys::BRIDGE;
use lxd_network::config::uplink_keys;
use lxd_storage::config::{BTRFS_POOL, CUSTOM_VOLUME, DIR_POOL};

use crate::openapi;

/// Writes all pages.
pub fn write(root: &Path) -> Result<()> {
    fs::create_dir_all(root.join("doc/reference"))?;
    for (name, text) in all(root)? {
        let path = root.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// The pages that are not what would be written now.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let outdated = |(name, text): (String, String)| {
        let present = fs::read_to_string(root.join(&name)).unwrap_or_default();
        (present != text).then(|| format!("{name}: outdated; run `cargo xtask docs`"))
    };
    Ok(all(root)?.into_iter().filter_map(outdated).collect())
}

/// Every generated file, below the folder of the workspace.
fn all(root: &Path) -> Result<Vec<(String, String)>> {
    let reference = pages().into_iter().map(|(name, text)| (format!("doc/reference/{name}"), text));
    let mut all: Vec<(String, String)> = reference.collect();
    all.push(("doc/rest-api.yaml".to_owned(), openapi::document(root)?));
    Ok(all)
}

fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("config-instance.md", page(&INSTANCE, "Instance configuration", INSTANCE_INTRO)),
        ("config-project.md", page(&PROJECT, "Project configuration", PROJECT_INTRO)),
        ("config-server.md", page(&SERVER, "Server configuration", SERVER_INTRO)),
        ("device-disk.md", page(&DISK, "Devices of type disk", DISK_INTRO)),
        ("device-nic-bridged.md", page(&nic::BRIDGED, "Devices of type nic, nictype bridged", NIC_INTRO)),
        ("device-nic-ipvlan.md", page(&nic::IPVLAN, "Devices of type nic, nictype ipvlan", IPVLAN_INTRO)),
        ("device-nic-macvlan.md", page(&nic::MACVLAN, "Devices of type nic, nictype macvlan", MACVLAN_INTRO)),
        ("device-nic-p2p.md", page(&nic::P2P, "Devices of type nic, nictype p2p", P2P_INTRO)),
        (
            "device-nic-physical.md",
            page(&nic::PHYSICAL, "Devices of type nic, nictype physical", PHYSICAL_INTRO),
        ),
        ("device-nic-routed.md", page(&nic::ROUTED, "Devices of type nic, nictype routed", ROUTED_INTRO)),
        ("device-nic-sriov.md", page(&nic::SRIOV, "Devices of type nic, nictype sriov", SRIOV_INTRO)),
        ("network-bridge.md", page(&BRIDGE, "Networks of type bridge", BRIDGE_INTRO)),
        ("network-macvlan.md", page(&uplink_keys::MACVLAN, "Networks of type macvlan", UPLINK_INTRO)),
        (
            "network-physical.md",
            page(&uplink_keys::PHYSICAL, "Networks of type physical", PHYSICAL_NETWORK_INTRO),
        ),
        ("network-sriov.md", page(&uplink_keys::SRIOV, "Networks of type sriov", UPLINK_INTRO)),
        ("storage-pool-btrfs.md", page(&BTRFS_POOL, "Storage pools of driver btrfs", BTRFS_INTRO)),
        ("storage-pool-dir.md", page(&DIR_POOL, "Storage pools of driver dir", DIR_INTRO)),
        ("storage-volume.md", page(&CUSTOM_VOLUME, "Custom storage volumes", VOLUME_INTRO)),
        ("device-gpu.md", page(&nodes::keys::GPU, "Devices of type gpu, gputype physical", GPU_INTRO)),
        ("device-proxy.md", page(&PROXY, "Devices of type proxy", PROXY_INTRO)),
        ("device-unix.md", page(&nodes::keys::UNIX, "Devices of type unix-char and unix-block", UNIX_INTRO)),
        (
            "device-unix-hotplug.md",
            page(&nodes::keys::UNIX_HOTPLUG, "Devices of type unix-hotplug", UNIX_HOTPLUG_INTRO),
        ),
        ("device-usb.md", page(&nodes::keys::USB, "Devices of type usb", USB_INTRO)),
        ("device-none.md", page(&NONE, "Devices of type none", NONE_INTRO)),
    ]
}

const INSTANCE_INTRO: &str = "\
Keys of instances and profiles. Set them with `lxc config set INSTANCE KEY=VALUE` or `lxc profile set PROFILE \
KEY=VALUE`. Profiles take the keys of both kinds of instances; `image.*` and `volatile.*` exist on instances only.

Booleans are `true`, `yes`, `on`, `1` and `false`, `no`, `off`, `0`. Sizes take the suffixes B, kB, MB, GB, TB, PB, EB and \
KiB, MiB, GiB, TiB, PiB, EiB.

\"Live update\" says whether a change takes effect in a running instance (n/a: the key is only read when it is needed). \
\"Restricted projects\" says who may set the key in a project with `restricted=true`: everybody, nobody, or whom the \
named key of the project lets.";

const PROJECT_INTRO: &str = "\
Keys of projects. Set them with `lxc project set PROJECT KEY=VALUE`. A new project has all features but networks, unless \
its creation says otherwise. `limits.*` can be set when every instance of the project has the key of the same name, and \
are never exceeded by the sum of these; `restricted.*` mean something while `restricted` is `true`. Each is checked on \
what holds for an instance with its profiles, whichever way it comes.";

const SERVER_INTRO: &str = "\
Keys of the server. Set them with `lxc config set KEY=VALUE`. Values that are the default are not stored.";

const DISK_INTRO: &str = "\
Disks show directories and files of the host, or custom volumes, in an instance; the disk with the path `/` is its root \
disk. Add them with `lxc config device add INSTANCE NAME disk KEY=VALUE…`. A change of a property without live update \
takes the disk out and puts it back.";

const NONE_INTRO: &str = "\
A device of type none stops the inheritance of a device of the same name from a profile.";

const GPU_INTRO: &str = "\
The nodes of the chosen graphics cards; without a choice those of all. For containers.";

const PROXY_INTRO: &str = "\
Connections to an address of the host are led to one in the instance, or with `bind=instance` the other way round. `tcp`,
`udp` and `unix` (`unix:/path`, `unix:@abstract`) can be combined freely. A process of its own forwards, so connections
outlive a restart of the daemon; with `nat=true` the kernel does, and the instance sees the client's address.";

const UNIX_INTRO: &str = "\
A character or block device of the host in the instance. With `required=false` it appears inside when it appears on the
host, and goes with it.";

const UNIX_HOTPLUG_INTRO: &str = "\
The device nodes that udev knows to belong to hardware with these ids; they come and go with it. Needs udev on the host.";

const USB_INTRO: &str = "\
USB devices with these ids (all without ids); they come and go while the instance runs.";

const IPVLAN_INTRO: &str = "\
An interface with the hardware address of its parent and addresses of its own, which are given here. The kernel settings
`net.ipv4.conf.PARENT.forwarding=1`, `net.ipv6.conf.{all,PARENT}.forwarding=1` and `net.ipv6.conf.{all,PARENT}.proxy_ndp=1`
must be made for the families in use. In restricted projects only with `restricted.devices.nic=allow`.";

const MACVLAN_INTRO: &str = "\
An interface with a hardware address of its own on top of one of the host's. It reaches the network of the parent, but not
the host itself.";

const P2P_INTRO: &str = "\
A pair of interfaces: one in the instance, the other on the host, for routing by the administrator. In restricted
projects only with `restricted.devices.nic=allow`.";

const PHYSICAL_INTRO: &str = "\
The instance gets an interface of the host. It comes back with its former name, address and MTU when the device is removed
or the instance ends, also while the daemon is away.";

const ROUTED_INTRO: &str = "\
A pair of interfaces; the host routes the instance's addresses, which are given here, to it, and answers for them on the
parent. The instance's default gateway is the host's end (`169.254.0.1`, `fe80::1`). The same kernel settings as for ipvlan
must be made when there is a parent and for IPv6. In restricted projects only with `restricted.devices.nic=allow`.";

const SRIOV_INTRO: &str = "\
A virtual function of an interface of the host (`parent`), the first that is free or the one named by `host_name`. When all
are in use, as many as the hardware has are made. It comes back when the instance ends.";

const NIC_INTRO: &str = "\
Interfaces that are connected to a bridge of the host: to a managed network (`network=NAME`) or to any bridge \
(`nictype=bridged parent=NAME`).";

const BRIDGE_INTRO: &str = "\
Keys of managed bridges. Set them with `lxc network set NETWORK KEY=VALUE`.";

const UPLINK_INTRO: &str = "\
Keys of networks whose instances get interfaces on an interface of the host. Set them with `lxc network set NETWORK \
KEY=VALUE`.";

const PHYSICAL_NETWORK_INTRO: &str = "\
Keys of networks that are an interface of the host, as the uplink of networks of type `ovn`. Instances cannot be put on them.";

const BTRFS_INTRO: &str = "\
Keys of storage pools on btrfs. Set them with `lxc storage set POOL KEY=VALUE`. A pool without `source` is a file of \
`size` bytes in the data directory; it grows when `size` is raised.";

const DIR_INTRO: &str = "\
Keys of storage pools that are directories. Set them with `lxc storage set POOL KEY=VALUE`.";

const VOLUME_INTRO: &str = "\
Keys of custom volumes. Set them with `lxc storage volume set POOL VOLUME KEY=VALUE`.";
