//! Routes, and addresses that the host answers for.

use std::net::IpAddr;

use lxd_types::Cidr;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::neighbour::NeighbourFlags;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

use super::{Netlink, Result, collect, failed, gone_is_fine};

/// A route as the kernel has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Route {
    /// Destination; `0.0.0.0/0` or `::/0` for the default route.
    pub destination: Cidr,
    /// Number of the interface that it leaves by.
    pub output: Option<u32>,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Made by the kernel for an address of an interface.
    pub by_kernel: bool,
    /// Made by an administrator or by us (protocol `static`).
    pub is_static: bool,
}

/// A route to an interface to add or remove.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RouteSpec<'a> {
    /// Destination network.
    pub destination: Cidr,
    /// Interface, by name.
    pub interface: &'a str,
    /// Whose route it is: the kernel keeps that with it.
    pub owner: RouteOwner,
    /// Number of the routing table; the main one when not given.
    pub table: Option<u32>,
}

impl<'a> RouteSpec<'a> {
    /// A route of this owner in the main table.
    pub fn new(destination: Cidr, interface: &'a str, owner: RouteOwner) -> Self {
        Self { destination, interface, owner, table: None }
    }
}

/// Whose a route is, so that one who makes order among his own does not touch the others'.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RouteOwner {
    /// A network's (protocol `static`).
    Network,
    /// An instance's interface's (protocol `boot`, as `ip route add` makes them).
    Instance,
}

impl Netlink {
    /// The unicast routes of the main table, both families.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn routes(&self) -> Result<Vec<Route>> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut question = RouteMessage::default();
            question.header.address_family = family;
            let messages = collect("List routes", self.handle.route().get(question).execute()).await?;
            routes.extend(messages.iter().filter_map(parse));
        }
        Ok(routes)
    }

    /// Adds a static route to an interface; success when it is there already.
    ///
    /// # Errors
    /// There is no such interface, or the kernel refuses.
    pub async fn add_route(&self, route: &RouteSpec<'_>) -> Result<()> {
        let message = self.message(route).await?;
        let done = self.handle.route().add(message).execute().await;
        match done.map_err(|e| failed(format!("Failed to add route {}", route.destination), e)) {
            Err(error) if error.errno() == Some(libc::EEXIST) => Ok(()),
            other => other,
        }
    }

    /// Removes a static route of an interface; success when it is gone already.
    ///
    /// # Errors
    /// There is no such interface, or the kernel refuses.
    pub async fn delete_route(&self, route: &RouteSpec<'_>) -> Result<()> {
        let message = self.message(route).await?;
        let done = self.handle.route().del(message).execute().await;
        gone_is_fine(done.map_err(|e| failed(format!("Failed to remove route {}", route.destination), e)))
    }

    async fn message(&self, route: &RouteSpec<'_>) -> Result<RouteMessage> {
        let index = self.require(route.interface).await?.index;
        let (network, prefix) = (route.destination.subnet().address(), route.destination.prefix());
        let protocol = match route.owner {
            RouteOwner::Network => RouteProtocol::Static,
            RouteOwner::Instance => RouteProtocol::Boot,
        };
        let table = route.table.unwrap_or(u32::from(RouteHeader::RT_TABLE_MAIN));
        Ok(match network {
            IpAddr::V4(network) => RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .destination_prefix(network, prefix)
                .output_interface(index)
                .scope(RouteScope::Link)
                .protocol(protocol)
                .table_id(table)
                .build(),
            IpAddr::V6(network) => RouteMessageBuilder::<std::net::Ipv6Addr>::new()
                .destination_prefix(network, prefix)
                .output_interface(index)
                .protocol(protocol)
                .table_id(table)
                .build(),
        })
    }

    /// Makes a gateway on an interface the default route of its family; success when it is there already. The gateway
    /// need not be in a network of the interface.
    ///
    /// # Errors
    /// There is no such interface, or the kernel refuses.
    pub async fn add_gateway(&self, interface: &str, gateway: IpAddr) -> Result<()> {
        let index = self.require(interface).await?.index;
        let message = match gateway {
            IpAddr::V4(gateway) => RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .output_interface(index)
                .gateway(gateway)
                .protocol(RouteProtocol::Boot)
                .onlink()
                .build(),
            IpAddr::V6(gateway) => RouteMessageBuilder::<std::net::Ipv6Addr>::new()
                .output_interface(index)
                .gateway(gateway)
                .protocol(RouteProtocol::Boot)
                .onlink()
                .build(),
        };
        let done = self.handle.route().add(message).execute().await;
        match done.map_err(|e| failed(format!("Failed to add default route by {gateway}"), e)) {
            Err(error) if error.errno() == Some(libc::EEXIST) => Ok(()),
            other => other,
        }
    }

    /// Answers for an address on an interface (proxy ARP, proxy NDP); success when it does already.
    ///
    /// # Errors
    /// There is no such interface, or the kernel refuses.
    pub async fn add_neighbour_proxy(&self, interface: &str, address: IpAddr) -> Result<()> {
        let index = self.require(interface).await?.index;
        let request = self.handle.neighbours().add(index, address).flags(NeighbourFlags::Proxy);
        let done = request.execute().await;
        match done.map_err(|e| failed(format!("Failed to answer for {address} on {interface:?}"), e)) {
            Err(error) if error.errno() == Some(libc::EEXIST) => Ok(()),
            other => other,
        }
    }

    /// Answers for an address no longer; success when it did not, or the interface is gone.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn delete_neighbour_proxy(&self, interface: &str, address: IpAddr) -> Result<()> {
        let Some(link) = self.link(interface).await? else { return Ok(()) };
        let mut request = self.handle.neighbours().add(link.index, address).flags(NeighbourFlags::Proxy);
        let message = request.message_mut().clone();
        let done = self.handle.neighbours().del(message).execute().await;
        let done = done.map_err(|e| failed(format!("Failed to stop answering for {address}"), e));
        match done {
            Err(error) if error.errno() == Some(libc::ENOENT) => Ok(()),
            other => gone_is_fine(other),
        }
    }
}

fn parse(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    if header.table != RouteHeader::RT_TABLE_MAIN || header.kind != RouteType::Unicast {
        return None;
    }
    let mut destination = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let (mut output, mut gateway) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = ip(address)?,
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Oif(index) => output = Some(*index),
            _ => {}
        }
    }
    Some(Route {
        destination: Cidr::new(destination, header.destination_prefix_length).ok()?,
        output,
        gateway,
        by_kernel: header.protocol == RouteProtocol::Kernel,
        is_static: header.protocol == RouteProtocol::Static,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        _ => None,
    }
}
