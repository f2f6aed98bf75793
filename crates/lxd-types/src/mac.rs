//! Hardware addresses of network interfaces.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::words::ValueError;

/// A 48-bit hardware address, written as six pairs of hexadecimal digits with colons.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mac([u8; 6]);

impl Mac {
    /// An address of the range that instances get (`00:16:3e`), with these random last bytes.
    pub fn instance(random: [u8; 3]) -> Self {
        let [a, b, c] = random;
        Self([0x00, 0x16, 0x3e, a, b, c])
    }

    /// The address as bytes.
    pub fn bytes(self) -> [u8; 6] {
        self.0
    }

    /// An address of these bytes.
    pub fn from_bytes(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// The address that a host with this MAC takes in a /64 by stateless autoconfiguration (EUI-64).
    pub fn eui64(self, network: Ipv6Addr) -> Ipv6Addr {
        let [a, b, c, d, e, g] = self.0;
        let mut bytes = network.octets();
        bytes[8..].copy_from_slice(&[a ^ 0x02, b, c, 0xff, 0xfe, d, e, g]);
        Ipv6Addr::from(bytes)
    }
}

impl FromStr for Mac {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        parse(text)
            .map(Self)
            .ok_or_else(|| ValueError::new("Invalid MAC address, must be 6 bytes of hex separated by colons"))
    }
}

fn parse(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut pairs = text.split(':');
    for byte in &mut bytes {
        let pair =
            pairs.next().filter(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    pairs.next().is_none().then_some(bytes)
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn eui64_flips_the_local_bit() {
        let mac: Mac = "00:16:3e:6e:a3:41".parse().unwrap();
        assert_eq!(mac.eui64("fd77:1::".parse().unwrap()).to_string(), "fd77:1::216:3eff:fe6e:a341");
    }

    #[test]
    fn six_pairs_with_colons() {
        assert_eq!("00:16:3E:0a:00:01".parse::<Mac>().unwrap().to_string(), "00:16:3e:0a:00:01");
        assert_eq!(Mac::instance([1, 2, 3]).to_string(), "00:16:3e:01:02:03");
        for bad in ["", "x", "00-16-3e-00-00-01", "00:16:3e:00:00", "00:16:3e:00:00:01:02", "0:16:3e:0:0:1"] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn an_address_reads_back(bytes: [u8; 6], text in "[0-9a-fA-F:+ -]{0,20}", any: String) {
            let mac = Mac::from_bytes(bytes);
            prop_assert_eq!(mac.to_string().parse::<Mac>().unwrap(), mac);
            let _ = any.parse::<Mac>();
            if let Ok(mac) = text.parse::<Mac>() {
                prop_assert_eq!(mac.to_string(), text.to_lowercase());
            }
        }
    }
}
