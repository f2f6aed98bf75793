//! `nictype=macvlan` and `nictype=ipvlan`: an interface on top of one of the host's, which the instance gets.

use async_trait::async_trait;
use lxd_config::Table;
use lxd_host::netlink::{Netlink, NetlinkError, NewOnParent, RouteOwner, RouteSpec};
use lxd_types::{ConfigExt, Device, InstanceKind, Result};

use super::parent::{self, Parent};
use super::{addresses, check, keys, routed, veth};
use crate::context::{Context, DeviceType, Facts, Level};
use crate::started::{NicEntry, Started, Volatile};

/// How often another random name is tried when one is taken.
const TRIES: usize = 10;

/// The type `nic` with `nictype=macvlan`.
pub struct MacvlanNic {
    netlink: Netlink,
}

/// The type `nic` with `nictype=ipvlan`.
pub struct IpvlanNic {
    netlink: Netlink,
}

impl MacvlanNic {
    /// A type that makes interfaces on this host.
    pub fn new(netlink: Netlink) -> Self {
        Self { netlink }
    }

    async fn create(&self, new: NewOnParent<'_>) -> Result<String> {
        let mut last = None;
        for _ in 0..TRIES {
            let name = veth::random_name("mac");
            match self.netlink.create_macvlan(&NewOnParent { name: &name, ..new }).await {
                Ok(()) => return Ok(name),
                Err(error) => last = Some(taken(error)?),
            }
        }
        Err(no_name(last))
    }
}

impl IpvlanNic {
    /// A type that makes interfaces on this host.
    pub fn new(netlink: Netlink) -> Self {
        Self { netlink }
    }

    async fn create(&self, new: NewOnParent<'_>, layer3: bool) -> Result<String> {
        let mut last = None;
        for _ in 0..TRIES {
            let name = veth::random_name("ipv");
            match self.netlink.create_ipvlan(&NewOnParent { name: &name, ..new }, layer3).await {
                Ok(()) => return Ok(name),
                Err(error) => last = Some(taken(error)?),
            }
        }
        Err(no_name(last))
    }

    /// The parent answers for the instance's addresses, and what is for them does not leave by the host's routes.
    async fn publish(&self, device: &Device, parent: &str) -> Result<()> {
        for cidr in addresses::of(device) {
            self.netlink.add_neighbour_proxy(parent, cidr.address()).await?;
            if let Some(table) = addresses::table(device, &cidr) {
                let route = RouteSpec::new(cidr, parent, RouteOwner::Instance);
                self.netlink.add_route(&RouteSpec { table: Some(table), ..route }).await?;
            }
        }
        Ok(())
    }

    async fn withdraw(&self, device: &Device, parent: &str) -> Result<()> {
        for cidr in addresses::of(device) {
            self.netlink.delete_neighbour_proxy(parent, cidr.address()).await?;
            if let Some(table) = addresses::table(device, &cidr)
                && self.netlink.link(parent).await?.is_some()
            {
                let route = RouteSpec::new(cidr, parent, RouteOwner::Instance);
                self.netlink.delete_route(&RouteSpec { table: Some(table), ..route }).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl DeviceType for MacvlanNic {
    fn table(&self) -> &'static Table {
        &keys::MACVLAN
    }

    fn supports(&self, _kind: InstanceKind) -> bool {
        true
    }

    fn validate(&self, device: &Device, level: Level, _facts: &Facts) -> Result<()> {
        check::on_parent(device)?;
        check::works(&keys::MACVLAN, device, level)
    }

    async fn start(&self, context: &Context, device: &Device) -> Result<Started> {
        let parent = Parent::find(&self.netlink, context, device).await?;
        let mac = veth::hardware_address(context, device)?;
        let mtu = parent::mtu(context, device);
        let new = NewOnParent { name: "", parent: &parent.link.name, mac: Some(mac), mtu };
        let link = match self.create(new).await {
            Ok(link) => link,
            Err(error) => {
                parent.give_up(&self.netlink).await;
                return Err(error);
            }
        };
        let mut volatile = Volatile::from([("host_name".to_owned(), link.clone())]);
        parent.remember(&mut volatile);
        if device.set("hwaddr").is_none() {
            volatile.insert("hwaddr".to_owned(), mac.to_string());
        }
        let nic = NicEntry { hwaddr: Some(mac), mtu, ..veth::entry(context, device, link) };
        Ok(Started { nics: vec![nic], volatile, ..Started::default() })
    }

    async fn stop(&self, context: &Context, device: &Device) -> Result<Volatile> {
        remove(&self.netlink, context, device).await
    }
}

#[async_trait]
impl DeviceType for IpvlanNic {
    fn table(&self) -> &'static Table {
        &keys::IPVLAN
    }

    fn supports(&self, kind: InstanceKind) -> bool {
        kind == InstanceKind::Container
    }

    fn validate(&self, device: &Device, _level: Level, _facts: &Facts) -> Result<()> {
        check::on_parent(device)?;
        addresses::no_duplicates(device)
    }

    async fn start(&self, context: &Context, device: &Device) -> Result<Started> {
        let parent = Parent::find(&self.netlink, context, device).await?;
        let name = parent.link.name.as_str();
        let layer3 = device.value("mode") != "l2";
        if layer3 {
            routed::check_settings(device, Some(name), "IPVLAN in L3S mode requires sysctl")?;
        }
        let mtu = veth::mtu(device);
        let new = NewOnParent { name: "", parent: name, mac: None, mtu };
        let made = async {
            let link = self.create(new, layer3).await?;
            if let Err(error) = self.publish(device, name).await {
                self.netlink.delete_link(&link).await?;
                return Err(error);
            }
            Ok(link)
        };
        let link = match made.await {
            Ok(link) => link,
            Err(error) => {
                parent.give_up(&self.netlink).await;
                return Err(error);
            }
        };
        let mut volatile = Volatile::from([("host_name".to_owned(), link.clone())]);
        parent.remember(&mut volatile);
        let nic = NicEntry { mtu, addresses: addresses::of(device), ..veth::entry(context, device, link) };
        Ok(Started { nics: vec![nic], volatile, ..Started::default() })
    }

    async fn stop(&self, context: &Context, device: &Device) -> Result<Volatile> {
        self.withdraw(device, &parent::name(device)).await?;
        remove(&self.netlink, context, device).await
    }
}

/// Removes the interface, which is back on the host or gone with the instance.
async fn remove(netlink: &Netlink, context: &Context, device: &Device) -> Result<Volatile> {
    if let Some(link) = context.volatile.set("host_name") {
        netlink.delete_link(link).await?;
    }
    parent::release(netlink, context, device).await?;
    Ok(["host_name", "last_state.created"].map(|key| (key.to_owned(), String::new())).into())
}

/// Whether another name is worth a try.
fn taken(error: NetlinkError) -> Result<NetlinkError> {
    if error.errno() == Some(libc::EEXIST) { Ok(error) } else { Err(error.into()) }
}

fn no_name(last: Option<NetlinkError>) -> lxd_types::Error {
    last.map_or_else(|| lxd_types::Error::internal("No free interface name"), lxd_types::Error::from)
}
