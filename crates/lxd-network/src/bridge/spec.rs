//! A bridge as it shall be: the checked configuration with every default in its place.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::forwards::ForwardSpec;
use super::tunnel::TunnelSpec;
use lxd_types::names::NetworkName;
use lxd_types::{Cidr, Config, ConfigExt, Error, Flag, Ipv4Cidr, Ipv6Cidr, Mac, Result};

use crate::acl::BridgeAcls;

/// The MTU of a bridge with tunnels, in bytes, when the configuration gives none.
const TUNNEL_MTU: u32 = 1400;

/// A bridge as it shall be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BridgeSpec {
    /// Name of the network and of its interface.
    pub name: NetworkName,
    /// Hardware address of the interface.
    pub mac: Mac,
    /// MTU in bytes; the kernel's default when not given.
    pub mtu: Option<u32>,
    /// What makes the bridge.
    pub driver: Driver,
    /// Interfaces of the host that are ports of the bridge.
    pub external: Vec<String>,
    /// Tunnels to other hosts that are ports of the bridge.
    pub tunnels: Vec<TunnelSpec>,
    /// IPv4, when the bridge has an address.
    pub ipv4: Option<Ipv4>,
    /// IPv6, when the bridge has an address.
    pub ipv6: Option<Ipv6>,
    /// Addresses that are forwarded to instances; not part of the configuration.
    pub forwards: Vec<ForwardSpec>,
    /// The DNS service.
    pub dns: Dns,
    /// Lines appended to dnsmasq's configuration.
    pub raw_dnsmasq: String,
    /// The rules of its ACLs, when it has any. The configuration only names them.
    pub acls: Option<BridgeAcls>,
}

/// What makes a bridge.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Driver {
    /// The kernel.
    #[default]
    Native,
    /// Open vSwitch.
    OpenVswitch,
}

/// What both families have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Family<A> {
    /// Whether addresses are given out.
    pub dhcp: bool,
    /// How long a lease lasts.
    pub expiry: String,
    /// First and last address of each range that is given out; everything when there is none.
    pub ranges: Vec<(A, A)>,
    /// Whether firewall rules let services and forwarded packets pass.
    pub firewall: bool,
    /// Source address of translated packets.
    pub nat: Option<Nat<A>>,
    /// Whether it comes behind the rules of others, for drivers that share their chains.
    pub nat_last: bool,
    /// Whether packets are routed in and out.
    pub routing: bool,
    /// Further networks behind the bridge.
    pub routes: Vec<Cidr>,
}

/// Translation of source addresses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Nat<A> {
    /// To the address of the interface that a packet leaves by.
    Masquerade,
    /// To this address.
    To(A),
}

/// IPv4 of a bridge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ipv4 {
    /// The bridge's address.
    pub cidr: Ipv4Cidr,
    /// The gateway that clients are told, when it is not the bridge.
    pub gateway: Option<Ipv4Addr>,
    /// The rest.
    pub family: Family<Ipv4Addr>,
}

/// IPv6 of a bridge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ipv6 {
    /// The bridge's address.
    pub cidr: Ipv6Cidr,
    /// Whether addresses are given out by DHCPv6, too.
    pub stateful: bool,
    /// The rest.
    pub family: Family<Ipv6Addr>,
}

/// The DNS service of a bridge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Dns {
    /// Who names the clients.
    pub mode: DnsMode,
    /// The domain of the clients.
    pub domain: String,
    /// The search list that clients are told.
    pub search: Option<String>,
}

/// Who names the clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DnsMode {
    /// Nobody.
    None,
    /// We do.
    Managed,
    /// They do.
    Dynamic,
}

impl BridgeSpec {
    /// Reads a validated configuration. `mac` is the hardware address when the configuration gives none.
    ///
    /// # Errors
    /// The configuration came past validation.
    pub fn new(name: &NetworkName, config: &Config, mac: Mac) -> Result<Self> {
        let list = |key: &str| -> Vec<String> { words(config.value(key)).map(str::to_owned).collect() };
        let tunnels = super::tunnel::of(name.as_str(), config)?;
        let mtu = config.set("bridge.mtu").map(|text| parse("bridge.mtu", text)).transpose()?;
        Ok(Self {
            name: name.clone(),
            mac: config
                .set("bridge.hwaddr")
                .map(|text| parse("bridge.hwaddr", text))
                .transpose()?
                .unwrap_or(mac),
            // What a tunnel adds to a frame has to fit into a packet of the network below.
            mtu: mtu.or((!tunnels.is_empty()).then_some(TUNNEL_MTU)),
            driver: match config.value("bridge.driver") {
                "openvswitch" => Driver::OpenVswitch,
                _ => Driver::Native,
            },
            external: list("bridge.external_interfaces"),
            tunnels,
            forwards: Vec::new(),
            ipv4: ipv4(config)?,
            ipv6: ipv6(config)?,
            dns: dns(config),
            raw_dnsmasq: config.value("raw.dnsmasq").to_owned(),
            acls: None,
        })
    }

    /// Whether a DHCP and DNS service runs: there is an address to serve.
    pub fn has_service(&self) -> bool {
        self.ipv4.is_some() || self.ipv6.is_some()
    }

    /// Addresses of the interface.
    pub fn addresses(&self) -> Vec<Cidr> {
        let four = self.ipv4.iter().map(|ipv4| Cidr::V4(ipv4.cidr));
        four.chain(self.ipv6.iter().map(|ipv6| Cidr::V6(ipv6.cidr))).collect()
    }

    /// Further networks behind the bridge.
    pub fn routes(&self) -> Vec<Cidr> {
        let four = self.ipv4.iter().flat_map(|ipv4| &ipv4.family.routes);
        four.chain(self.ipv6.iter().flat_map(|ipv6| &ipv6.family.routes)).copied().collect()
    }
}

fn ipv4(config: &Config) -> Result<Option<Ipv4>> {
    let Some(text) = address(config, "ipv4.address") else { return Ok(None) };
    let gateway = config.set("ipv4.dhcp.gateway").map(|text| parse("ipv4.dhcp.gateway", text)).transpose()?;
    Ok(Some(Ipv4 { cidr: parse("ipv4.address", text)?, gateway, family: family(config, "ipv4")? }))
}

fn ipv6(config: &Config) -> Result<Option<Ipv6>> {
    let Some(text) = address(config, "ipv6.address") else { return Ok(None) };
    let stateful = config.flag("ipv6.dhcp.stateful", Flag::DefaultFalse);
    Ok(Some(Ipv6 { cidr: parse("ipv6.address", text)?, stateful, family: family(config, "ipv6")? }))
}

fn address<'a>(config: &'a Config, key: &str) -> Option<&'a str> {
    config.set(key).filter(|text| !matches!(*text, "none" | "auto"))
}

fn family<A: std::str::FromStr>(config: &Config, name: &str) -> Result<Family<A>> {
    let key = |rest: &str| format!("{name}.{rest}");
    let flag = |rest: &str, default| config.flag(&key(rest), default);
    let ranges = words(config.value(&key("dhcp.ranges"))).map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Ok((parse("dhcp.ranges", first)?, parse("dhcp.ranges", last)?))
    });
    let nat = match (flag("nat", Flag::DefaultFalse), config.set(&key("nat.address"))) {
        (false, _) => None,
        (true, None) => Some(Nat::Masquerade),
        (true, Some(text)) => Some(Nat::To(parse("nat.address", text)?)),
    };
    Ok(Family {
        dhcp: flag("dhcp", Flag::DefaultTrue),
        expiry: config.set(&key("dhcp.expiry")).unwrap_or("1h").to_owned(),
        ranges: ranges.collect::<Result<_>>()?,
        firewall: flag("firewall", Flag::DefaultTrue),
        nat,
        nat_last: config.value(&key("nat.order")) == "after",
        routing: flag("routing", Flag::DefaultTrue),
        routes: words(config.value(&key("routes")))
            .map(|text| parse("routes", text))
            .collect::<Result<_>>()?,
    })
}

fn dns(config: &Config) -> Dns {
    Dns {
        mode: match config.value("dns.mode") {
            "none" => DnsMode::None,
            "dynamic" => DnsMode::Dynamic,
            _ => DnsMode::Managed,
        },
        domain: config.set("dns.domain").unwrap_or("lxd").to_owned(),
        search: config.set("dns.search").map(|list| words(list).collect::<Vec<_>>().join(",")),
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

pub(super) fn parse<T: std::str::FromStr>(key: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::internal(format!("The stored value {text:?} of {key:?} is invalid")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_set_is_a_bare_bridge() {
        let spec =
            BridgeSpec::new(&"br1".parse().unwrap(), &Config::new(), Mac::instance([1, 2, 3])).unwrap();
        assert!(!spec.has_service() && spec.addresses().is_empty() && spec.routes().is_empty());
        assert_eq!((spec.mtu, spec.dns.domain.as_str()), (None, "lxd"));
    }
}
