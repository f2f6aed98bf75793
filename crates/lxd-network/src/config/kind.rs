//! Types of networks.

use lxd_config::Table;
use lxd_types::{Error, Result};

use super::{keys, uplink_keys};

/// The type of a network that this version makes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NetworkKind {
    /// A bridge of our own, with DHCP and DNS.
    Bridge,
    /// Instances get macvlan interfaces on an interface of the host.
    Macvlan,
    /// Instances get virtual functions of an interface of the host.
    Sriov,
    /// An interface of the host as the uplink of networks of type `ovn`.
    Physical,
}

impl NetworkKind {
    /// The type that a client asks for; the empty one is a bridge.
    ///
    /// # Errors
    /// It is unknown, or one of a later version.
    pub fn asked(word: &str) -> Result<Self> {
        match word {
            "" | "bridge" => Ok(Self::Bridge),
            "macvlan" => Ok(Self::Macvlan),
            "sriov" => Ok(Self::Sriov),
            "physical" => Ok(Self::Physical),
            "ovn" => Err(Error::bad_request("not supported yet: networks of type ovn")),
            _ => Err(Error::bad_request("Unknown driver")),
        }
    }

    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Macvlan => "macvlan",
            Self::Sriov => "sriov",
            Self::Physical => "physical",
        }
    }

    /// Its keys.
    pub fn table(self) -> &'static Table {
        match self {
            Self::Bridge => &keys::BRIDGE,
            Self::Macvlan => &uplink_keys::MACVLAN,
            Self::Sriov => &uplink_keys::SRIOV,
            Self::Physical => &uplink_keys::PHYSICAL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_back() {
        for kind in [NetworkKind::Bridge, NetworkKind::Macvlan, NetworkKind::Sriov, NetworkKind::Physical] {
            assert_eq!(NetworkKind::asked(kind.word()).unwrap(), kind);
        }
        assert_eq!(NetworkKind::asked("").unwrap(), NetworkKind::Bridge);
        assert_eq!(NetworkKind::asked("ovn").unwrap_err().chain(), "not supported yet: networks of type ovn");
        assert_eq!(NetworkKind::asked("nosuch").unwrap_err().chain(), "Unknown driver");
    }
}
