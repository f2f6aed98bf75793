//! Addresses with a prefix length, such as `10.0.0.1/24`, and the networks they lie in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::words::ValueError;

/// An IPv4 address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ipv4Cidr {
    address: Ipv4Addr,
    prefix: u8,
}

/// An IPv6 address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ipv6Cidr {
    address: Ipv6Addr,
    prefix: u8,
}

/// Either kind.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Cidr {
    /// IPv4.
    V4(Ipv4Cidr),
    /// IPv6.
    V6(Ipv6Cidr),
}

macro_rules! cidr {
    ($name:ident, $address:ty, $word:ty, $bits:literal) => {
        impl $name {
            /// An address in a network with this prefix length.
            ///
            /// # Errors
            /// The prefix is longer than an address.
            pub fn new(address: $address, prefix: u8) -> Result<Self, ValueError> {
                match prefix {
                    0..=$bits => Ok(Self { address, prefix }),
                    _ => Err(ValueError(format!("invalid CIDR address: {address}/{prefix}"))),
                }
            }

            /// The address.
            pub fn address(&self) -> $address {
                self.address
            }

            /// The length of the prefix, in bits.
            pub fn prefix(&self) -> u8 {
                self.prefix
            }

            /// The mask, as an address.
            pub fn mask(&self) -> $address {
                <$address>::from(self.mask_bits())
            }

            /// The first address of the network.
            pub fn network(&self) -> $address {
                <$address>::from(<$word>::from(self.address) & self.mask_bits())
            }

            /// The last address of the network.
            pub fn last(&self) -> $address {
                <$address>::from(<$word>::from(self.address) | !self.mask_bits())
            }

            /// The network itself: the address with its host bits cleared.
            #[must_use]
            pub fn subnet(&self) -> Self {
                Self { address: self.network(), prefix: self.prefix }
            }

            /// Whether the address lies in this network.
            pub fn contains(&self, address: $address) -> bool {
                (self.network()..=self.last()).contains(&address)
            }

            /// Whether the two networks have an address in common.
            pub fn overlaps(&self, other: &Self) -> bool {
                self.contains(other.network()) || other.contains(self.network())
            }

            fn mask_bits(&self) -> $word {
                <$word>::MAX.checked_shl(u32::from($bits - self.prefix)).unwrap_or(0)
            }
        }

        impl FromStr for $name {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                let invalid = || ValueError(format!("invalid CIDR address: {text}"));
                let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
                let address: $address = address.parse().map_err(|_| invalid())?;
                if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(invalid());
                }
                Self::new(address, prefix.parse().map_err(|_| invalid())?).map_err(|_| invalid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.address, self.prefix)
            }
        }
    };
}

cidr!(Ipv4Cidr, Ipv4Addr, u32, 32);
cidr!(Ipv6Cidr, Ipv6Addr, u128, 128);

impl Cidr {
    /// An address in a network with this prefix length.
    ///
    /// # Errors
    /// The prefix is longer than an address of its family.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, ValueError> {
        match address {
            IpAddr::V4(address) => Ipv4Cidr::new(address, prefix).map(Self::V4),
            IpAddr::V6(address) => Ipv6Cidr::new(address, prefix).map(Self::V6),
        }
    }

    /// The network itself: the address with its host bits cleared.
    #[must_use]
    pub fn subnet(&self) -> Self {
        match self {
            Self::V4(cidr) => Self::V4(cidr.subnet()),
            Self::V6(cidr) => Self::V6(cidr.subnet()),
        }
    }

    /// Whether the two networks are of one family and have an address in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::V4(one), Self::V4(other)) => one.overlaps(other),
            (Self::V6(one), Self::V6(other)) => one.overlaps(other),
            _ => false,
        }
    }

    /// The address.
    pub fn address(&self) -> IpAddr {
        match self {
            Self::V4(cidr) => cidr.address().into(),
            Self::V6(cidr) => cidr.address().into(),
        }
    }

    /// The length of the prefix, in bits.
    pub fn prefix(&self) -> u8 {
        match self {
            Self::V4(cidr) => cidr.prefix(),
            Self::V6(cidr) => cidr.prefix(),
        }
    }

    /// Whether the address is of this family and lies in this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4(cidr), IpAddr::V4(address)) => cidr.contains(address),
            (Self::V6(cidr), IpAddr::V6(address)) => cidr.contains(address),
            _ => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse().map(Self::V4).or_else(|_| text.parse().map(Self::V6))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(cidr) => cidr.fmt(f),
            Self::V6(cidr) => cidr.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_network_has_first_last_and_mask() {
        let cidr: Ipv4Cidr = "10.0.3.7/22".parse().unwrap();
        assert_eq!(cidr.network().to_string(), "10.0.0.0");
        assert_eq!(cidr.last().to_string(), "10.0.3.255");
        assert_eq!(cidr.mask().to_string(), "255.255.252.0");
        assert_eq!(cidr.subnet().to_string(), "10.0.0.0/22");
        assert!(cidr.overlaps(&"10.0.2.0/30".parse().unwrap()));
        assert!(!cidr.overlaps(&"10.0.4.0/24".parse().unwrap()));
        assert!("0.0.0.0/0".parse::<Ipv4Cidr>().unwrap().contains(Ipv4Addr::BROADCAST));
        let six: Ipv6Cidr = "fd42::1/64".parse().unwrap();
        assert_eq!(six.last().to_string(), "fd42::ffff:ffff:ffff:ffff");
        assert!("::/0".parse::<Cidr>().unwrap().contains(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    }

    #[test]
    fn malformed_ones_are_refused() {
        for bad in ["", "10.0.0.1", "10.0.0.1/", "10.0.0.1/33", "10.0.0/8", "10.0.0.1/+8", "::1/129", "x/8"] {
            assert_eq!(bad.parse::<Cidr>().unwrap_err().0, format!("invalid CIDR address: {bad}"));
        }
    }

    proptest! {
        #[test]
        fn an_address_lies_in_its_network(address: u128, prefix in 0u8..=128) {
            let cidr = Ipv6Cidr::new(address.into(), prefix).unwrap();
            prop_assert!(cidr.contains(cidr.address()));
            prop_assert_eq!(cidr.to_string().parse::<Ipv6Cidr>().unwrap(), cidr);
        }

        #[test]
        fn subnets_read_back(address: u32, prefix in 0u8..=32, other: u32, text in "[0-9a-f:./]{0,24}", any: String) {
            let cidr = Ipv4Cidr::new(address.into(), prefix).unwrap();
            prop_assert_eq!(cidr.to_string().parse::<Cidr>(), Ok(Cidr::V4(cidr)));
            prop_assert!(cidr.overlaps(&cidr.subnet()) && cidr.subnet().subnet() == cidr.subnet());
            let mask = u32::from(cidr.mask());
            prop_assert_eq!(cidr.contains(other.into()), (other ^ address) & mask == 0);
            let _ = any.parse::<Cidr>();
            if let Ok(read) = text.parse::<Cidr>() {
                prop_assert_eq!(read.to_string().parse::<Cidr>(), Ok(read));
            }
        }
    }
}
