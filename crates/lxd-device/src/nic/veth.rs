//! Pairs of interfaces: one end stays on the host, the other is for the instance.

use lxd_host::netlink::{Netlink, NewVeth};
use lxd_types::{ConfigExt, Device, Error, Mac, Result};

use crate::context::Context;
use crate::started::{NicEntry, Started, Volatile};

/// How often another random name is tried when one is taken.
const TRIES: usize = 10;

/// A new pair.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    /// The end on the host.
    pub host: String,
    /// The other end, still on the host.
    pub peer: String,
    /// Hardware address of the other end.
    pub mac: Mac,
    /// MTU of both.
    pub mtu: Option<u32>,
}

impl Pair {
    /// Makes a pair in one request; both names are ours unless the user chose the one on the host.
    pub async fn create(
        netlink: &Netlink,
        context: &Context,
        device: &Device,
        master: Option<u32>,
        mtu: Option<u32>,
    ) -> Result<Self> {
        let mac = hardware_address(context, device)?;
        let chosen = device.set("host_name");
        let mut last = None;
        for _ in 0..TRIES {
            let host = chosen.map_or_else(|| random_name("veth"), str::to_owned);
            let peer = random_name("veth");
            let veth =
                NewVeth { name: &host, peer: &peer, mtu, peer_mac: Some(mac), master, peer_namespace: None };
            match netlink.create_veth(&veth).await {
                Ok(()) => return Ok(Self { host, peer, mac, mtu }),
                Err(error) if error.errno() == Some(libc::EEXIST) && chosen.is_none() => last = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.map_or_else(|| Error::internal("No free interface name"), Error::from))
    }

    /// What the instance gets and what is remembered.
    pub fn started(self, context: &Context, device: &Device) -> Started {
        let nic = NicEntry { mtu: self.mtu, hwaddr: Some(self.mac), ..entry(context, device, self.peer) };
        started(device, self.host, self.mac, nic)
    }

    /// Removes the pair after a failure; the failure is what the user has to know.
    pub async fn give_up(self, netlink: &Netlink) {
        if let Err(left) = netlink.delete_link(&self.host).await {
            tracing::error!(interface = self.host, error = %left, "An interface is left over");
        }
    }
}

/// A pair that the driver of the instance makes, as a port of this bridge.
pub(super) fn to_be_made(
    context: &Context,
    device: &Device,
    bridge: &str,
    mac: Mac,
    mtu: Option<u32>,
) -> Started {
    let host = random_name("veth");
    let nic = NicEntry {
        pair: Some(host.clone()),
        mtu,
        hwaddr: Some(mac),
        ..entry(context, device, bridge.to_owned())
    };
    started(device, host, mac, nic)
}

fn started(device: &Device, host: String, mac: Mac, nic: NicEntry) -> Started {
    let mut volatile = Volatile::from([("host_name".to_owned(), host)]);
    if device.set("hwaddr").is_none() {
        volatile.insert("hwaddr".to_owned(), mac.to_string());
    }
    Started { nics: vec![nic], volatile, ..Started::default() }
}

/// The interface of the host that becomes the device's, without address and MTU.
pub(super) fn entry(context: &Context, device: &Device, link: String) -> NicEntry {
    NicEntry {
        device: context.device.to_string(),
        link,
        pair: None,
        name: device.set("name").or_else(|| context.volatile.set("name")).map(str::to_owned),
        hwaddr: None,
        mtu: None,
        addresses: Vec::new(),
        gateways: Vec::new(),
    }
}

/// The end on the host of a running device.
pub(super) fn host_name<'a>(context: &'a Context, device: &'a Device) -> Option<&'a str> {
    context.volatile.set("host_name").or_else(|| device.set("host_name"))
}

/// Removes the pair of a device; success when it is gone.
pub(super) async fn remove(netlink: &Netlink, context: &Context, device: &Device) -> Result<Volatile> {
    if let Some(host) = host_name(context, device) {
        netlink.delete_link(host).await?;
    }
    Ok(Volatile::from([("host_name".to_owned(), String::new())]))
}

/// The address that the user chose, else the remembered one, else a random one.
pub(super) fn hardware_address(context: &Context, device: &Device) -> Result<Mac> {
    let known = device.set("hwaddr").or_else(|| context.volatile.set("hwaddr"));
    match known {
        Some(text) => Ok(text.parse()?),
        None => Ok(Mac::instance(rand::random())),
    }
}

/// A name for an interface of ours.
pub(super) fn random_name(start: &str) -> String {
    format!("{start}{:08x}", rand::random::<u32>())
}

/// The MTU that the user chose.
pub(super) fn mtu(device: &Device) -> Option<u32> {
    device.set("mtu").and_then(|text| text.parse().ok())
}
