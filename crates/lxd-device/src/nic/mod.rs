//! Type `nic` (manual 3.2.2): network interfaces. One file per `nictype`.

mod bridged;
mod check;
mod keys;
mod limits;

pub use bridged::BridgedNic;
pub use keys::BRIDGED;
