//! Addresses of interfaces.

use std::net::IpAddr;

use lxd_types::Cidr;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};

use super::{Netlink, Result, collect, failed, gone_is_fine};

/// How far an address is valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// Everywhere.
    Global,
    /// On the link.
    Link,
    /// On this host.
    Host,
}

impl Scope {
    /// The word that the API uses: `global`, `link` or `local`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Link => "link",
            Self::Host => "local",
        }
    }
}

/// An address of an interface.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    /// Number of the interface.
    pub index: u32,
    /// The address and the length of its network's prefix.
    pub cidr: Cidr,
    /// How far it is valid.
    pub scope: Scope,
    /// Not usable yet: duplicate address detection runs.
    pub tentative: bool,
}

impl Netlink {
    /// All addresses of all interfaces, or of the one with this number.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn addresses(&self, index: Option<u32>) -> Result<Vec<Address>> {
        let messages = collect("List addresses", self.handle.address().get().execute()).await?;
        let wanted =
            messages.iter().filter(|message| index.is_none_or(|index| message.header.index == index));
        Ok(wanted.filter_map(parse).collect())
    }

    /// Adds an address to an interface; success when it is there already.
    ///
    /// # Errors
    /// There is no such interface, or the kernel refuses.
    pub async fn add_address(&self, name: &str, cidr: Cidr) -> Result<()> {
        let index = self.require(name).await?.index;
        let done = self.handle.address().add(index, cidr.address(), cidr.prefix()).execute().await;
        match done.map_err(|e| failed(format!("Failed to add address {cidr} to interface {name:?}"), e)) {
            Err(error) if error.errno() == Some(libc::EEXIST) => Ok(()),
            other => other,
        }
    }

    /// Removes an address from an interface; success when it is gone already.
    ///
    /// # Errors
    /// There is no such interface, or the kernel refuses.
    pub async fn delete_address(&self, name: &str, cidr: Cidr) -> Result<()> {
        let index = self.require(name).await?.index;
        let messages = collect("List addresses", self.handle.address().get().execute()).await?;
        let is_it = |m: &AddressMessage| m.header.index == index && parse(m).is_some_and(|a| a.cidr == cidr);
        for message in messages.into_iter().filter(is_it) {
            let done = self.handle.address().del(message).execute().await;
            gone_is_fine(
                done.map_err(|e| failed(format!("Failed to remove address {cidr} of {name:?}"), e)),
            )?;
        }
        Ok(())
    }
}

fn parse(message: &AddressMessage) -> Option<Address> {
    let mut address: Option<IpAddr> = None;
    let mut local: Option<IpAddr> = None;
    let mut tentative = false;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Flags(flags) => tentative = flags.contains(AddressFlags::Tentative),
            _ => {}
        }
    }
    let scope = match message.header.scope {
        AddressScope::Link => Scope::Link,
        AddressScope::Host => Scope::Host,
        _ => Scope::Global,
    };
    // On a point-to-point link the address is that of the peer.
    let cidr = Cidr::new(local.or(address)?, message.header.prefix_len).ok()?;
    Some(Address { index: message.header.index, cidr, scope, tentative })
}
