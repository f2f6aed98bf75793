//! Type `nic` (manual 3.2.2): network interfaces. One file per `nictype`.

mod addresses;
mod bridged;
mod check;
mod functions;
mod keys;
mod limits;
mod macvlan;
mod p2p;
mod parent;
mod physical;
mod routed;
mod routes;
mod sriov;
mod veth;
mod vlans;

pub use bridged::BridgedNic;
pub use functions::{Function, Functions};
pub use keys::{
    BRIDGED, IPVLAN, MACVLAN, NIC_RULE, P2P, PHYSICAL, ROUTED, SRIOV, SUBNETS_RULE, restrictions,
};
pub use limits::Limiter;
pub use macvlan::{IpvlanNic, MacvlanNic};
pub use p2p::P2pNic;
pub use parent::name as parent_name;
pub use physical::PhysicalNic;
pub use routed::RoutedNic;
pub use sriov::SriovNic;
