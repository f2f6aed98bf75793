//! `nictype=bridged`: a veth pair, one end a port of a bridge, the other for the instance.

use std::path::Path;

use async_trait::async_trait;
use lxd_config::Table;
use lxd_host::netlink::{Link, Netlink, PortVlans};
use lxd_host::sysctl;
use lxd_network::bridge::Bridges;
use lxd_network::bridge::hosts::{self, StaticHost};
use lxd_network::firewall::{self, Firewall, PortFilter};
use lxd_types::names::NetworkName;
use lxd_types::{Cidr, ConfigExt, Device, Error, Flag, InstanceKind, Mac, Result};

use super::limits::{self, Limiter};
use super::veth::{self, Pair};
use super::{check, keys, routes, vlans};
use crate::context::{Attach, Context, DeviceType, Facts, Level};
use crate::started::{Started, Volatile};

/// Properties that switch a filter on.
const FILTERS: &[&str] = &["security.mac_filtering", "security.ipv4_filtering", "security.ipv6_filtering"];

/// The type `nic` with `nictype=bridged`.
pub struct BridgedNic {
    bridges: Bridges,
    limiter: Limiter,
    firewall: Firewall,
}

impl BridgedNic {
    /// A type that puts interfaces on these bridges and on unmanaged ones.
    pub fn new(bridges: Bridges, limiter: Limiter, firewall: Firewall) -> Self {
        Self { bridges, limiter, firewall }
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
        let link = bridge.link();
        let vlans = vlans::of(device)?;
        match bridge {
            Bridge::Native(_) if vlans != PortVlans::default() => vlans::check_bridge(link)?,
            Bridge::Native(_) => {}
            Bridge::OpenVswitch(_) => check::native_only(device, &link.name)?,
        }
        let mtu = veth::mtu(device).unwrap_or(link.mtu);
        if context.starts && vlans == PortVlans::default() && is_plain(context, device)? {
            let mac = veth::hardware_address(context, device)?;
            self.tell_dhcp(context, device, mac).await?;
            routes::add(self.netlink(), parent(device), &routes::of(device)).await?;
            return Ok(veth::to_be_made(context, device, parent(device), mac, Some(mtu)));
        }
        let master = matches!(bridge, Bridge::Native(_)).then_some(link.index);
        let pair = Pair::create(self.netlink(), context, device, master, Some(mtu)).await?;
        let prepared = async {
            self.connect(&bridge, &pair.host, &vlans).await?;
            self.prepare(context, device, &pair).await
        };
        if let Err(error) = prepared.await {
            self.disconnect(context, device, Some(&pair.host)).await;
            self.forget(context, device).await.unwrap_or_else(|left| {
                tracing::error!(device = %context.device, error = left.chain(), "Something of a device is left over");
            });
            pair.give_up(self.netlink()).await;
            return Err(error);
        }
        Ok(pair.started(context, device))
    }

    async fn attach(&self, context: &Context, _device: &Device, instance: Attach<'_>) -> Result<()> {
        if let Some(host) = instance.volatile.set(&format!("volatile.{}.host_name", context.device)) {
            no_address(host);
        }
        Ok(())
    }

    async fn adopt(&self, context: &Context, device: &Device) -> Result<()> {
        if let Some(host) = context.volatile.set("host_name").filter(|_| filters(device)) {
            let mac = veth::hardware_address(context, device)?;
            let known = self.tell_dhcp(context, device, mac).await?;
            self.firewall.adopt_port(label(context), port_filter(device, host, mac, &known)?);
        }
        Ok(())
    }

    /// The kernel takes some 20 ms to remove a pair: time that the container's monitor needs for its cgroups.
    async fn let_go(&self, context: &Context, device: &Device) {
        if let Err(error) = veth::remove(self.netlink(), context, device).await {
            tracing::debug!(device = %context.device, error = error.chain(), "A pair is removed later");
        }
    }

    async fn update(&self, context: &Context, old: &Device, new: &Device) -> Result<Started> {
        let mac = veth::hardware_address(context, new)?;
        let known = self.tell_dhcp(context, new, mac).await?;
        // Only a running instance's interface has a name on the host.
        if let Some(host) = context.volatile.set("host_name") {
            let wanted = limits::of(new)?;
            if limits::of(old)? != wanted {
                self.limiter.replace(host, wanted).await?;
            }
            routes::replace(self.netlink(), parent(new), &routes::of(old), &routes::of(new)).await?;
            if filters(new) {
                if let Bridge::OpenVswitch(link) = self.bridge(new).await? {
                    check::native_only(new, &link.name)?;
                }
                self.filter(context, new, host, mac, &known).await?;
            } else if filters(old) {
                self.firewall.remove_port(label(context)).await?;
            }
        }
        Ok(Started::default())
    }

    async fn rejoin(&self, context: &Context, device: &Device) -> Result<()> {
        let Some(host) = context.volatile.set("host_name") else { return Ok(()) };
        let bridge = self.bridge(device).await?;
        if let Bridge::Native(link) = &bridge {
            self.netlink().set_master(host, Some(&link.name)).await?;
        }
        self.connect(&bridge, host, &vlans::of(device)?).await?;
        self.set_port(context, device, host).await?;
        routes::add(self.netlink(), parent(device), &routes::of(device)).await
    }

    async fn stop(&self, context: &Context, device: &Device) -> Result<Volatile> {
        self.forget(context, device).await?;
        self.disconnect(context, device, veth::host_name(context, device)).await;
        veth::remove(self.netlink(), context, device).await
    }

    async fn remove(&self, context: &Context, device: &Device) -> Result<()> {
        let Some(network) = network(device) else { return Ok(()) };
        let file = hosts::file_name(&context.project, &context.instance, &context.device);
        self.bridges.remove_host(&network, file).await
    }
}

impl BridgedNic {
    fn netlink(&self) -> &Netlink {
        self.bridges.netlink()
    }

    /// The bridge on the host.
    async fn bridge(&self, device: &Device) -> Result<Bridge> {
        let parent = parent(device);
        match self.netlink().link(parent).await? {
            Some(link) if link.kind.as_deref() == Some("bridge") => Ok(Bridge::Native(link)),
            Some(link) if self.bridges.ovs().is_bridge(parent).await? => Ok(Bridge::OpenVswitch(link)),
            Some(_) => Err(Error::bad_request(format!("Parent device {parent:?} is not a bridge"))),
            None => Err(Error::not_found(format!("Parent device {parent:?} doesn't exist"))),
        }
    }

    /// Makes the host's end a port with its VLANs. On a bridge of the kernel it was made as a port.
    async fn connect(&self, bridge: &Bridge, host: &str, vlans: &PortVlans) -> Result<()> {
        match bridge {
            Bridge::OpenVswitch(link) => Ok(self.bridges.ovs().add_port(&link.name, host, vlans).await?),
            Bridge::Native(_) if *vlans == PortVlans::default() => Ok(()),
            Bridge::Native(link) => {
                let default = link.bridge.and_then(|info| info.default_vlan).filter(|vlan| *vlan > 0);
                Ok(self.netlink().set_port_vlans(host, vlans, default).await?)
            }
        }
    }

    /// Open vSwitch remembers ports whose interface is gone. A failure leaves such a memory only.
    async fn disconnect(&self, context: &Context, device: &Device, host: Option<&str>) {
        let (Some(host), bridge) = (host, self.bridge(device).await) else { return };
        if let Ok(Bridge::OpenVswitch(link)) = bridge
            && let Err(error) = self.bridges.ovs().delete_port(&link.name, host).await
        {
            tracing::warn!(device = %context.device, error = %error, "A port of Open vSwitch is left over");
        }
    }

    async fn prepare(&self, context: &Context, device: &Device, pair: &Pair) -> Result<()> {
        let host = pair.host.as_str();
        no_address(host);
        self.set_port(context, device, host).await?;
        self.limiter.set(host, limits::of(device)?).await?;
        let known = self.tell_dhcp(context, device, pair.mac).await?;
        if filters(device) {
            self.filter(context, device, host, pair.mac, &known).await?;
        }
        routes::add(self.netlink(), parent(device), &routes::of(device)).await
    }

    /// What an interface is as a port of its bridge.
    async fn set_port(&self, context: &Context, device: &Device, host: &str) -> Result<()> {
        if device.flag("security.port_isolation", Flag::DefaultFalse) {
            self.netlink().set_isolated(host, true).await?;
        }
        if context.siblings.values().any(crate::proxy::translates) {
            self.netlink().set_hairpin(host, true).await?;
        }
        Ok(())
    }

    /// Removes what is not gone with the interface itself.
    async fn forget(&self, context: &Context, device: &Device) -> Result<()> {
        routes::remove(self.netlink(), parent(device), &routes::of(device)).await?;
        if filters(device) {
            self.firewall.remove_port(label(context)).await?;
        }
        limits::release(&self.limiter, context, device).await
    }

    async fn filter(
        &self,
        context: &Context,
        device: &Device,
        host: &str,
        mac: Mac,
        known: &StaticHost,
    ) -> Result<()> {
        self.firewall.set_port(label(context), port_filter(device, host, mac, known)?).await
    }

    /// Tells the network's DHCP and DNS service the instance's name and fixed addresses; answers these.
    async fn tell_dhcp(&self, context: &Context, device: &Device, mac: Mac) -> Result<StaticHost> {
        let fixes = |family: &str| {
            device.flag(&format!("security.{family}_filtering"), Flag::DefaultFalse)
                && device.value(&format!("{family}.address")) != "none"
        };
        let host = StaticHost {
            project: context.project.clone(),
            instance: context.instance.clone(),
            device: context.device.clone(),
            mac,
            ipv4: device.set("ipv4.address").and_then(|text| text.parse().ok()),
            ipv6: device.set("ipv6.address").and_then(|text| text.parse().ok()),
            fix_ipv4: fixes("ipv4"),
            fix_ipv6: fixes("ipv6"),
        };
        match network(device) {
            Some(network) => self.bridges.set_host(&network, &host).await,
            None => Ok(host),
        }
    }
}

/// Whether nothing has to be known or set of the end on the host before the instance runs: then the pair can be made with one end
/// inside. Moving an interface makes the kernel wait, for some 20 ms and one move at a time.
fn is_plain(context: &Context, device: &Device) -> Result<bool> {
    let set_before = device.set("host_name").is_some()
        || filters(device)
        || device.flag("security.port_isolation", Flag::DefaultFalse)
        || context.siblings.values().any(crate::proxy::translates)
        || limits::of(device)? != limits::Limits::default();
    // By this directory liblxc tells a bridge of the kernel from one of Open vSwitch.
    Ok(!set_before && Path::new("/sys/class/net").join(parent(device)).join("bridge").is_dir())
}

/// A port of a bridge needs no address of its own. Where there is no IPv6 there is no such setting.
fn no_address(host: &str) {
    let _ = sysctl::write(&format!("net/ipv6/conf/{host}/disable_ipv6"), "1");
}

/// The bridge of an interface.
enum Bridge {
    /// Of the kernel.
    Native(Link),
    /// Of Open vSwitch.
    OpenVswitch(Link),
}

impl Bridge {
    fn link(&self) -> &Link {
        match self {
            Self::Native(link) | Self::OpenVswitch(link) => link,
        }
    }
}

/// Whether a filter is on.
fn filters(device: &Device) -> bool {
    FILTERS.iter().any(|key| device.flag(key, Flag::DefaultFalse))
}

/// What a port may send.
fn port_filter(device: &Device, host: &str, mac: Mac, known: &StaticHost) -> Result<PortFilter> {
    Ok(PortFilter {
        interface: host.to_owned(),
        mac,
        ipv4: allowed(device, "ipv4", known)?,
        ipv6: allowed(device, "ipv6", known)?,
    })
}

/// What a filter lets pass of a family; everything when it is off.
fn allowed(device: &Device, family: &str, known: &StaticHost) -> Result<Option<Vec<Cidr>>> {
    if !device.flag(&format!("security.{family}_filtering"), Flag::DefaultFalse) {
        return Ok(None);
    }
    let key = format!("{family}.address");
    if device.value(&key) == "none" {
        return Ok(Some(Vec::new()));
    }
    let is_ipv4 = family == "ipv4";
    let own = known.addresses().into_iter().find(|cidr| cidr.address().is_ipv4() == is_ipv4);
    let Some(own) = own else {
        let text =
            format!("security.{family}_filtering needs {key} to be set: the network does not give one");
        return Err(Error::bad_request(text));
    };
    let routed = routes::listed(device, &[&format!("{family}.routes")]);
    Ok(Some(std::iter::once(own).chain(routed).collect()))
}

fn label(context: &Context) -> String {
    firewall::label(context.project.as_str(), context.instance.as_str(), context.device.as_str())
}

/// The name of the bridge of a device.
fn parent(device: &Device) -> &str {
    device.set("network").or_else(|| device.set("parent")).unwrap_or_default()
}

/// The bridge of a device, by name; a `parent` may be a managed network, too.
fn network(device: &Device) -> Option<NetworkName> {
    parent(device).parse().ok()
}
