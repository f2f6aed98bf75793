//! `nictype=routed`: a veth pair; the host routes the instance's addresses to it and answers for them on a parent.

use std::net::IpAddr;

use async_trait::async_trait;
use lxd_config::Table;
use lxd_host::netlink::{Netlink, RouteOwner, RouteSpec};
use lxd_host::sysctl;
use lxd_network::firewall::{self, Firewall};
use lxd_types::error::Context as _;
use lxd_types::{Cidr, ConfigExt, Device, Error, InstanceKind, Result};

use super::limits::{self, Limiter};
use super::parent::{self, Parent};
use super::veth::{self, Pair};
use super::{addresses, check, keys};
use crate::context::{Context, DeviceType, Facts, Level};
use crate::started::{Started, Volatile};

/// The type `nic` with `nictype=routed`.
pub struct RoutedNic {
    netlink: Netlink,
    limiter: Limiter,
    firewall: Firewall,
}

/// The end on the host when the user chooses no address for it.
const GATEWAYS: [(&str, &str); 2] = [("ipv4", "169.254.0.1"), ("ipv6", "fe80::1")];

impl RoutedNic {
    /// A type that makes interfaces on this host.
    pub fn new(netlink: Netlink, limiter: Limiter, firewall: Firewall) -> Self {
        Self { netlink, limiter, firewall }
    }

    async fn prepare(
        &self,
        context: &Context,
        device: &Device,
        parent: Option<&str>,
        host: &str,
    ) -> Result<()> {
        self.limiter.set(host, limits::of(device)?).await?;
        for (family, address) in gateways(device)? {
            set(&format!("net/{family}/conf/{host}/forwarding"), "1")?;
            let prefix = if address.is_ipv4() { 32 } else { 128 };
            self.netlink.add_address(host, Cidr::new(address, prefix)?).await?;
        }
        if addresses::of(device).iter().any(|cidr| cidr.address().is_ipv4()) {
            set(&format!("net/ipv4/conf/{host}/rp_filter"), "1")?;
        }
        for destination in addresses::of(device) {
            let main = RouteSpec::new(destination, host, RouteOwner::Instance);
            self.netlink.add_route(&main).await?;
            if let Some(table) = addresses::table(device, &destination) {
                self.netlink.add_route(&RouteSpec { table: Some(table), ..main }).await?;
            }
            if let Some(parent) = parent {
                self.netlink.add_neighbour_proxy(parent, destination.address()).await?;
            }
        }
        self.firewall.set_routed(label(context), host).await
    }

    /// Removes what is not gone with the interface itself.
    async fn forget(&self, context: &Context, device: &Device) -> Result<()> {
        if device.set("parent").is_some() {
            let parent = parent::name(device);
            for cidr in addresses::of(device) {
                self.netlink.delete_neighbour_proxy(&parent, cidr.address()).await?;
            }
        }
        self.firewall.remove_routed(label(context)).await?;
        limits::release(&self.limiter, context, device).await
    }

    async fn give_up(&self, context: &Context, device: &Device, pair: Pair, parent: Option<Parent>) {
        if let Err(left) = self.forget(context, device).await {
            tracing::error!(device = %context.device, error = left.chain(), "Something of a device is left over");
        }
        pair.give_up(&self.netlink).await;
        if let Some(parent) = parent {
            parent.give_up(&self.netlink).await;
        }
    }
}

#[async_trait]
impl DeviceType for RoutedNic {
    fn table(&self) -> &'static Table {
        &keys::ROUTED
    }

    fn supports(&self, _kind: InstanceKind) -> bool {
        true
    }

    fn validate(&self, device: &Device, _level: Level, _facts: &Facts) -> Result<()> {
        check::mtu(device)?;
        match device.set("parent") {
            Some(parent) => check::interface("parent", parent)?,
            None if device.set("vlan").is_some() => {
                let text = "The vlan setting can only be used when combined with a parent interface";
                return Err(Error::bad_request(text));
            }
            None => {}
        }
        addresses::no_duplicates(device)
    }

    async fn start(&self, context: &Context, device: &Device) -> Result<Started> {
        let parent = match device.set("parent") {
            Some(_) => Some(Parent::find(&self.netlink, context, device).await?),
            None => None,
        };
        let name = parent.as_ref().map(|parent| parent.link.name.as_str());
        check_settings(device, name, "Routed mode requires sysctl")?;
        let mtu = veth::mtu(device).or(parent.as_ref().map(|parent| parent.link.mtu));
        let pair = Pair::create(&self.netlink, context, device, None, mtu).await?;
        if let Err(error) = self.prepare(context, device, name, &pair.host).await {
            self.give_up(context, device, pair, parent).await;
            return Err(error);
        }
        let mut started = pair.started(context, device);
        for nic in &mut started.nics {
            nic.addresses = addresses::of(device);
            let wanted = gateways(device)?.into_iter();
            let wanted = wanted.filter(|(family, _)| device.value(&format!("{family}.gateway")) != "none");
            nic.gateways = wanted.map(|(_, address)| address).collect();
        }
        if let Some(parent) = parent.filter(|_| device.set("vlan").is_some()) {
            parent.remember(&mut started.volatile);
        }
        Ok(started)
    }

    async fn update(&self, context: &Context, old: &Device, new: &Device) -> Result<Started> {
        let Some(host) = context.volatile.set("host_name") else { return Ok(Started::default()) };
        let wanted = limits::of(new)?;
        if limits::of(old)? != wanted {
            self.limiter.replace(host, wanted).await?;
        }
        Ok(Started::default())
    }

    async fn adopt(&self, context: &Context, _device: &Device) -> Result<()> {
        if let Some(host) = context.volatile.set("host_name") {
            self.firewall.adopt_routed(label(context), host);
        }
        Ok(())
    }

    async fn stop(&self, context: &Context, device: &Device) -> Result<Volatile> {
        self.forget(context, device).await?;
        let mut volatile = veth::remove(&self.netlink, context, device).await?;
        parent::release(&self.netlink, context, device).await?;
        volatile.insert("last_state.created".to_owned(), String::new());
        Ok(volatile)
    }
}

/// The addresses of the host's end, for each family that the instance has addresses of.
fn gateways(device: &Device) -> Result<Vec<(&'static str, IpAddr)>> {
    let own = addresses::of(device);
    let has = |family: &str| own.iter().any(|cidr| cidr.address().is_ipv4() == (family == "ipv4"));
    let used = GATEWAYS.into_iter().filter(|(family, _)| has(family));
    used.map(|(family, default)| {
        let key = format!("{family}.host_address");
        let text = device.set(&key).unwrap_or(default);
        let address =
            text.parse().map_err(|_| Error::bad_request(format!("Invalid value of {key:?}: {text:?}")));
        Ok((family, address?))
    })
    .collect()
}

/// Settings of the kernel that the administrator must have made, in the words of the reference.
pub(super) fn check_settings(device: &Device, parent: Option<&str>, what: &str) -> Result<()> {
    let own = addresses::of(device);
    let mut wanted = Vec::new();
    if own.iter().any(|cidr| cidr.address().is_ipv4()) {
        wanted.extend(parent.map(|parent| ("ipv4", parent, "forwarding")));
    }
    if own.iter().any(|cidr| !cidr.address().is_ipv4()) {
        wanted.push(("ipv6", "all", "forwarding"));
        wanted.extend(parent.map(|parent| ("ipv6", parent, "forwarding")));
        if let Some(parent) = parent {
            wanted.extend([("ipv6", "all", "proxy_ndp"), ("ipv6", parent, "proxy_ndp")]);
        }
    }
    for (family, interface, setting) in wanted {
        let key = format!("net/{family}/conf/{interface}/{setting}");
        let value = sysctl::read(&key).context(format!("Error reading net sysctl {key}"))?;
        if value != "1" {
            let text = format!("{what} net.{family}.conf.{interface}.{setting}=1");
            return Err(Error::bad_request(text));
        }
    }
    Ok(())
}

fn set(key: &str, value: &str) -> Result<()> {
    sysctl::write(key, value).context(format!("Failed to set the kernel setting {key}={value}"))
}

fn label(context: &Context) -> String {
    firewall::label(context.project.as_str(), context.instance.as_str(), context.device.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_an_address_of_each_family_in_use() {
        let device = |pairs: &[(&str, &str)]| -> Device {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let both = device(&[("ipv4.address", "192.0.2.5, 192.0.2.6"), ("ipv6.address", "fd00::5")]);
        let found = gateways(&both).unwrap();
        assert_eq!(found, [("ipv4", "169.254.0.1".parse().unwrap()), ("ipv6", "fe80::1".parse().unwrap())]);
        let chosen = device(&[("ipv4.address", "192.0.2.5"), ("ipv4.host_address", "192.0.2.254")]);
        assert_eq!(gateways(&chosen).unwrap(), [("ipv4", "192.0.2.254".parse().unwrap())]);
        assert!(gateways(&device(&[])).unwrap().is_empty());
    }
}
