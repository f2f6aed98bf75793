//! Static entries of the DHCP service: one file per interface of an instance, in the directory that dnsmasq reads.

use std::net::{Ipv4Addr, Ipv6Addr};

use lxd_types::names::{DeviceName, InstanceName, ProjectName};
use lxd_types::{Cidr, Mac};
use sha2::{Digest, Sha256};

use super::spec::{BridgeSpec, DnsMode};

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
        }
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
