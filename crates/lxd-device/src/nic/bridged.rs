//! `nictype=bridged`: a veth pair, one end a port of a bridge, the other for the instance.

use std::sync::Arc;

use async_trait::async_trait;
use lxd_config::Table;
use lxd_host::netlink::{Link, NewVeth};
use lxd_host::{Runner, sysctl};
use lxd_network::bridge::Bridges;
use lxd_network::bridge::hosts::{self, StaticHost};
use lxd_types::names::NetworkName;
use lxd_types::{ConfigExt, Device, Error, Flag, InstanceKind, Mac, Result};

use super::{check, keys, limits};
use crate::context::{Context, DeviceType, Facts, Level};
use crate::started::{NicEntry, Started, Volatile};

/// How often another random name is tried when one is taken.
const TRIES: usize = 10;

/// The type `nic` with `nictype=bridged`.
pub struct BridgedNic {
    bridges: Bridges,
    runner: Arc<dyn Runner>,
}

impl BridgedNic {
    /// A type that puts interfaces on these bridges and on unmanaged ones.
    pub fn new(bridges: Bridges, runner: Arc<dyn Runner>) -> Self {
        Self { bridges, runner }
    }
}

#[async_trait]
impl DeviceType for BridgedNic {
    fn table(&self) -> &'static Table {
        &keys::BRIDGED
    }

    fn supports(&self, _kind: InstanceKind) -> bool {
        true
    }

    fn validate(&self, device: &Device, level: Level, facts: &Facts) -> Result<()> {
        check::validate(device, level, facts)
    }

    async fn start(&self, context: &Context, device: &Device) -> Result<Started> {
        let bridge = self.bridge(device).await?;
        let mac = hardware_address(context, device)?;
        let mtu = device.set("mtu").and_then(|text| text.parse().ok()).unwrap_or(bridge.mtu);
        let (host, peer) = self.create_pair(device, &bridge, mac, mtu).await?;
        let prepared = self.prepare(context, device, &host, mac).await;
        if let Err(error) = prepared {
            if let Err(left) = self.bridges.netlink().delete_link(&host).await {
                tracing::error!(interface = host, error = %left, "An interface is left over");
            }
            return Err(error);
        }
        let nic = NicEntry {
            device: context.device.to_string(),
            link: peer,
            name: device.set("name").or_else(|| context.volatile.set("name")).map(str::to_owned),
            hwaddr: Some(mac),
            mtu: Some(mtu),
            addresses: Vec::new(),
            gateways: Vec::new(),
        };
        let mut volatile = Volatile::from([("host_name".to_owned(), host)]);
        if device.set("hwaddr").is_none() {
            volatile.insert("hwaddr".to_owned(), mac.to_string());
        }
        Ok(Started { nics: vec![nic], volatile, ..Started::default() })
    }

    async fn update(&self, context: &Context, old: &Device, new: &Device) -> Result<Started> {
        if let Some(host) = context.volatile.set("host_name") {
            let wanted = limits::of(new)?;
            if limits::of(old)? != wanted {
                limits::replace(self.runner.as_ref(), host, wanted).await?;
            }
        }
        self.tell_dhcp(context, new, hardware_address(context, new)?).await?;
        Ok(Started::default())
    }

    async fn stop(&self, context: &Context, device: &Device) -> Result<Volatile> {
        let volatile = context.volatile.set("host_name");
        if let Some(host) = volatile.or_else(|| device.set("host_name")) {
            self.bridges.netlink().delete_link(host).await?;
        }
        Ok(Volatile::from([("host_name".to_owned(), String::new())]))
    }

    async fn remove(&self, context: &Context, device: &Device) -> Result<()> {
        let Some(network) = network(device) else { return Ok(()) };
        let file = hosts::file_name(&context.project, &context.instance, &context.device);
        self.bridges.remove_host(&network, file).await
    }
}

impl BridgedNic {
    /// The bridge on the host.
    async fn bridge(&self, device: &Device) -> Result<Link> {
        let parent = device.set("network").or_else(|| device.set("parent")).unwrap_or_default();
        let link = self.bridges.netlink().link(parent).await?;
        match link {
            Some(link) if link.kind.as_deref() == Some("bridge") => Ok(link),
            Some(_) => Err(Error::bad_request(format!("Parent device {parent:?} is not a bridge"))),
            None => Err(Error::not_found(format!("Parent device {parent:?} doesn't exist"))),
        }
    }

    /// Makes the pair in one request; both names are ours unless the user chose the one on the host.
    async fn create_pair(
        &self,
        device: &Device,
        bridge: &Link,
        mac: Mac,
        mtu: u32,
    ) -> Result<(String, String)> {
        let chosen = device.set("host_name");
        let mut last = None;
        for _ in 0..TRIES {
            let host = chosen.map_or_else(random_name, str::to_owned);
            let peer = random_name();
            let veth = NewVeth {
                name: &host,
                peer: &peer,
                mtu: Some(mtu),
                peer_mac: Some(mac),
                master: Some(bridge.index),
                peer_namespace: None,
            };
            match self.bridges.netlink().create_veth(&veth).await {
                Ok(()) => return Ok((host, peer)),
                Err(error) if error.errno() == Some(libc::EEXIST) && chosen.is_none() => last = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.map_or_else(|| Error::internal("No free interface name"), Error::from))
    }

    async fn prepare(&self, context: &Context, device: &Device, host: &str, mac: Mac) -> Result<()> {
        // A port of a bridge needs no address of its own. Where there is no IPv6 there is no such setting.
        let _ = sysctl::write(&format!("net/ipv6/conf/{host}/disable_ipv6"), "1");
        if device.flag("security.port_isolation", Flag::DefaultFalse) {
            self.bridges.netlink().set_isolated(host, true).await?;
        }
        limits::set(self.runner.as_ref(), host, limits::of(device)?).await?;
        self.tell_dhcp(context, device, mac).await
    }

    /// Tells the network's DHCP and DNS service the instance's name and fixed addresses.
    async fn tell_dhcp(&self, context: &Context, device: &Device, mac: Mac) -> Result<()> {
        let Some(network) = network(device) else { return Ok(()) };
        let host = StaticHost {
            project: context.project.clone(),
            instance: context.instance.clone(),
            device: context.device.clone(),
            mac,
            ipv4: device.set("ipv4.address").and_then(|text| text.parse().ok()),
            ipv6: device.set("ipv6.address").and_then(|text| text.parse().ok()),
        };
        self.bridges.set_host(&network, &host).await
    }
}

/// The bridge of a device, by name; a `parent` may be a managed network, too.
fn network(device: &Device) -> Option<NetworkName> {
    device.set("network").or_else(|| device.set("parent"))?.parse().ok()
}

/// The address that the user chose, else the remembered one, else a random one.
fn hardware_address(context: &Context, device: &Device) -> Result<Mac> {
    let known = device.set("hwaddr").or_else(|| context.volatile.set("hwaddr"));
    match known {
        Some(text) => Ok(text.parse()?),
        None => Ok(Mac::instance(rand::random())),
    }
}

fn random_name() -> String {
    format!("veth{:08x}", rand::random::<u32>())
}
