//! Networks that sit on an interface of the host. Only a physical one changes anything there: its VLAN and its MTU.

use lxd_host::netlink::{Link, Netlink, NewOnParent};
use lxd_types::{Config, ConfigExt, Error, Flag, Result};

use crate::DEFAULT_MTU;
use crate::config::NetworkKind;

/// A network on an interface of the host, as it shall be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Uplink {
    /// Its type.
    pub kind: NetworkKind,
    /// The interface of the host.
    pub parent: String,
    /// VLAN on that interface.
    pub vlan: Option<u16>,
    /// Whether the VLAN is announced to switches.
    pub gvrp: bool,
    /// MTU in bytes.
    pub mtu: Option<u32>,
}

impl Uplink {
    /// Reads a validated configuration.
    pub fn new(kind: NetworkKind, config: &Config) -> Self {
        Self {
            kind,
            parent: config.value("parent").to_owned(),
            // VLAN 0 is the untagged one.
            vlan: config.value("vlan").parse().ok().filter(|vlan| *vlan > 0),
            gvrp: config.flag("gvrp", Flag::DefaultFalse),
            mtu: config.value("mtu").parse().ok(),
        }
    }

    /// The interface that the network is: the parent, or its VLAN.
    pub fn interface(&self) -> String {
        self.vlan.map_or_else(|| self.parent.clone(), |vlan| format!("{}.{vlan}", self.parent))
    }

    /// The name of the VLAN interface that starting would have to make, if there is none yet.
    ///
    /// # Errors
    /// The parent is missing, the name is too long, or the kernel refuses.
    pub async fn missing_vlan(&self, netlink: &Netlink) -> Result<Option<String>> {
        self.require_parent(netlink).await?;
        if self.kind != NetworkKind::Physical || self.vlan.is_none() {
            return Ok(None);
        }
        let name = self.interface();
        crate::check_interface(&name)?;
        Ok(netlink.link(&name).await?.is_none().then_some(name))
    }

    /// Makes the host be as it shall be. Idempotent.
    ///
    /// # Errors
    /// The parent is missing, or the kernel refuses.
    pub async fn start(&self, netlink: &Netlink) -> Result<()> {
        let missing = self.missing_vlan(netlink).await?;
        if self.kind != NetworkKind::Physical {
            return Ok(());
        }
        if let (Some(name), Some(vlan)) = (missing, self.vlan) {
            let new = NewOnParent { name: &name, parent: &self.parent, ..NewOnParent::default() };
            netlink.create_vlan(&new, vlan, self.gvrp).await?;
        }
        match self.mtu {
            Some(mtu) => self.set_mtu(netlink, mtu).await,
            None => Ok(()),
        }
    }

    /// Takes back what [`Uplink::start`] did; `made` is the VLAN interface that was made for the network.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn stop(&self, netlink: &Netlink, made: Option<&str>) -> Result<()> {
        match made {
            Some(name) => Ok(netlink.delete_link(name).await?),
            None => self.reset_mtu(netlink).await,
        }
    }

    /// Gives the interface its MTU back when the network had set one.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn reset_mtu(&self, netlink: &Netlink) -> Result<()> {
        let is_there = netlink.link(&self.interface()).await?.is_some();
        match self.kind == NetworkKind::Physical && self.mtu.is_some() && is_there {
            true => self.set_mtu(netlink, DEFAULT_MTU).await,
            false => Ok(()),
        }
    }

    /// Whether its interface is among those of the host.
    pub fn is_there(&self, links: &[Link]) -> bool {
        let wanted = if self.kind == NetworkKind::Physical { self.interface() } else { self.parent.clone() };
        links.iter().any(|link| link.name == wanted)
    }

    async fn set_mtu(&self, netlink: &Netlink, mtu: u32) -> Result<()> {
        let name = self.interface();
        match netlink.require(&name).await?.mtu == mtu {
            true => Ok(()),
            false => Ok(netlink.set_mtu(&name, mtu).await?),
        }
    }

    async fn require_parent(&self, netlink: &Netlink) -> Result<()> {
        match netlink.link(&self.parent).await? {
            Some(_) => Ok(()),
            None => Err(Error::bad_request(format!("Parent interface {:?} not found", self.parent))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_is_the_parent_or_its_vlan() {
        let config = |vlan: &str| {
            [("parent", "eth0"), ("vlan", vlan)].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
        };
        let uplink = |vlan: &str| Uplink::new(NetworkKind::Physical, &config(vlan));
        assert_eq!((uplink("").interface(), uplink("0").interface()), ("eth0".to_owned(), "eth0".to_owned()));
        assert_eq!(uplink("7").interface(), "eth0.7");
        let links = [Link { name: "eth0".to_owned(), ..Link::default() }];
        assert!(uplink("").is_there(&links) && !uplink("7").is_there(&links));
        assert!(Uplink::new(NetworkKind::Macvlan, &config("7")).is_there(&links), "made with the interface");
    }
}
