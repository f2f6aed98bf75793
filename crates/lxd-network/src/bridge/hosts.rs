//! Static entries of the DHCP service: one file per interface of an instance, in the directory that dnsmasq reads.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lxd_types::names::{DeviceName, InstanceName, ProjectName};
use lxd_types::{Cidr, Error, Mac, Result};
use sha2::{Digest, Sha256};

use super::spec::{BridgeSpec, DnsMode, Ipv4};

/// An interface of an instance on a managed bridge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StaticHost {
    /// Project of the instance.
    pub project: ProjectName,
    /// Name of the instance, which becomes its DNS name.
    pub instance: InstanceName,
    /// Name of the device.
    pub device: DeviceName,
    /// Hardware address.
    pub mac: Mac,
    /// Its fixed IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its fixed IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// An IPv4 address is to be fixed even when none is given: its traffic is filtered by it.
    pub fix_ipv4: bool,
    /// The same for IPv6.
    pub fix_ipv6: bool,
}

impl StaticHost {
    /// The name of its file: `INSTANCE.DEVICE`, with the project in front where it is not `default`.
    pub fn file_name(&self) -> String {
        file_name(&self.project, &self.instance, &self.device)
    }

    /// Its line; `None` when dnsmasq need not know it.
    pub fn line(&self, spec: &BridgeSpec) -> Option<String> {
        let mut line = self.mac.to_string();
        if let Some(address) = self.ipv4.filter(|_| spec.ipv4.is_some()) {
            line.push_str(&format!(",{address}"));
        }
        if let Some(address) = self.ipv6.filter(|_| spec.ipv6.is_some()) {
            line.push_str(&format!(",[{address}]"));
        }
        let plain = line.len() == self.mac.to_string().len();
        match spec.dns.mode {
            DnsMode::Managed => line.push_str(&format!(",{}", self.instance)),
            DnsMode::None | DnsMode::Dynamic if plain => return None,
            DnsMode::None | DnsMode::Dynamic => {}
        }
        line.push('\n');
        Some(line)
    }

    /// The addresses that the entry fixes.
    pub fn addresses(&self) -> Vec<Cidr> {
        let four = self.ipv4.and_then(|address| Cidr::new(address.into(), 32).ok());
        four.into_iter().chain(self.ipv6.and_then(|address| Cidr::new(address.into(), 128).ok())).collect()
    }
}

/// The addresses that the text of an entry fixes.
pub fn addresses_of(line: &str) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
    let mut found = (None, None);
    for field in line.trim().split(',') {
        if let Ok(address) = field.parse() {
            found.0 = Some(address);
        } else if let Some(address) = field.strip_prefix('[').and_then(|f| f.strip_suffix(']')?.parse().ok())
        {
            found.1 = Some(address);
        }
    }
    found
}

/// Chooses the addresses that are to be fixed and are not given: what was fixed before, else one that nobody has. The
/// choice depends on the hardware address only, so that it is the same again when nothing was kept.
///
/// # Errors
/// The network gives no addresses of the kind, or none is free.
pub fn fix(
    mut host: StaticHost,
    spec: &BridgeSpec,
    kept: (Option<Ipv4Addr>, Option<Ipv6Addr>),
    taken: &HashSet<IpAddr>,
) -> Result<StaticHost> {
    if host.fix_ipv4 && host.ipv4.is_none() {
        let ipv4 = spec.ipv4.as_ref().filter(|ipv4| ipv4.family.dhcp).ok_or_else(|| needs("ipv4", spec))?;
        let kept = kept.0.filter(|kept| ipv4.cidr.contains(*kept) && !taken.contains(&(*kept).into()));
        host.ipv4 = Some(kept.map_or_else(|| free_ipv4(ipv4, host.mac, taken), Ok)?);
    }
    if host.fix_ipv6 && host.ipv6.is_none() {
        let ipv6 = spec.ipv6.as_ref().filter(|ipv6| ipv6.cidr.prefix() == 64);
        let ipv6 = ipv6.ok_or_else(|| needs("ipv6", spec))?;
        host.ipv6 = Some(host.mac.eui64(ipv6.cidr.network()));
    }
    Ok(host)
}

fn needs(family: &str, spec: &BridgeSpec) -> Error {
    Error::bad_request(format!(
        "security.{family}_filtering needs {family}.address to be set: network {:?} does not give addresses",
        spec.name.as_str()
    ))
}

/// The first free address of the ranges, beginning at one that the hardware address decides.
fn free_ipv4(ipv4: &Ipv4, mac: Mac, taken: &HashSet<IpAddr>) -> Result<Ipv4Addr> {
    let all = (u32::from(ipv4.cidr.network()) + 1, u32::from(ipv4.cidr.last()).saturating_sub(1));
    let ranges: Vec<(u32, u32)> = match ipv4.family.ranges.as_slice() {
        [] => vec![all],
        ranges => ranges.iter().map(|(first, last)| (u32::from(*first), u32::from(*last))).collect(),
    };
    let size = |(first, last): &(u32, u32)| u64::from(last.saturating_sub(*first)) + 1;
    let total: u64 = ranges.iter().map(size).sum();
    let hash = Sha256::digest(mac.bytes());
    let begin = u64::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])) % total.max(1);
    let address = |offset: u64| {
        let mut rest = offset % total;
        for range in &ranges {
            if rest < size(range) {
                return range.0.checked_add(u32::try_from(rest).ok()?).map(Ipv4Addr::from);
            }
            rest -= size(range);
        }
        None
    };
    let own = ipv4.cidr.address();
    (0..total.min(1 << 16))
        .filter_map(|step| address(begin + step))
        .find(|address| *address != own && !taken.contains(&(*address).into()))
        .ok_or_else(|| Error::unavailable("The network has no free address for a filtered interface"))
}

/// The name of an entry's file. Names of devices may hold slashes, and names together may be too long for a file.
pub fn file_name(project: &ProjectName, instance: &InstanceName, device: &DeviceName) -> String {
    let device = device.as_str().replace('%', "%25").replace('/', "%2f");
    let name = match project.as_str() {
        "default" => format!("{instance}.{device}"),
        project => format!("{project}_{instance}.{device}"),
    };
    if name.len() <= 255 {
        return name;
    }
    let hash: String = Sha256::digest(&name).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{instance}.{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::testing::spec;

    fn host() -> StaticHost {
        StaticHost {
            project: ProjectName::default_project(),
            instance: "c1".parse().unwrap(),
            device: "eth0".parse().unwrap(),
            mac: "00:16:3e:95:4a:a5".parse().unwrap(),
            ipv4: None,
            ipv6: None,
            fix_ipv4: false,
            fix_ipv6: false,
        }
    }

    #[test]
    fn filtered_interfaces_get_an_address_for_good() {
        let net = spec(&[
            ("ipv4.address", "10.77.0.1/24"),
            ("ipv4.dhcp.ranges", "10.77.0.2-10.77.0.3,10.77.0.9-10.77.0.9"),
            ("ipv6.address", "fd77:1::1/64"),
        ]);
        let wanted = StaticHost { fix_ipv4: true, fix_ipv6: true, ..host() };
        let mut taken = HashSet::new();
        let mut found = Vec::new();
        for _ in 0..3 {
            let fixed = fix(wanted.clone(), &net, (None, None), &taken).unwrap();
            assert_eq!(fixed.ipv6, Some("fd77:1::216:3eff:fe95:4aa5".parse().unwrap()));
            found.extend(fixed.ipv4);
            taken.extend(fixed.ipv4.map(IpAddr::from));
        }
        found.sort();
        assert_eq!(found, ["10.77.0.2", "10.77.0.3", "10.77.0.9"].map(|a| a.parse::<Ipv4Addr>().unwrap()));
        assert!(fix(wanted.clone(), &net, (None, None), &taken).is_err(), "none is left");
        let kept = addresses_of("00:16:3e:95:4a:a5,10.77.0.200,[fd77:1::5],c1\n");
        assert_eq!(fix(wanted.clone(), &net, kept, &taken).unwrap().ipv4, kept.0);
        assert!(fix(wanted, &spec(&[("ipv4.address", "none")]), kept, &taken).is_err());
    }

    #[test]
    fn lines_are_those_of_the_reference() {
        let net = [("ipv4.address", "10.77.0.1/24"), ("ipv6.address", "fd77:1::1/64")];
        let managed = spec(&net);
        let none = spec(&[net[0], net[1], ("dns.mode", "none")]);
        assert_eq!(host().line(&managed).as_deref(), Some("00:16:3e:95:4a:a5,c1\n"));
        assert_eq!(host().line(&none), None);
        let fixed = StaticHost {
            ipv4: Some("10.77.0.20".parse().unwrap()),
            ipv6: Some("fd77:1::20".parse().unwrap()),
            ..host()
        };
        assert_eq!(fixed.line(&managed).as_deref(), Some("00:16:3e:95:4a:a5,10.77.0.20,[fd77:1::20],c1\n"));
        assert_eq!(fixed.line(&none).as_deref(), Some("00:16:3e:95:4a:a5,10.77.0.20,[fd77:1::20]\n"));
    }

    #[test]
    fn file_names_stay_in_their_directory() {
        assert_eq!(host().file_name(), "c1.eth0");
        let slashed = StaticHost { device: "a/b".parse().unwrap(), ..host() };
        assert_eq!(slashed.file_name(), "c1.a%2fb");
        let long = StaticHost { project: "p".repeat(255).parse().unwrap(), ..host() };
        assert!(long.file_name().len() <= 255 && !long.file_name().contains('/'));
    }
}
