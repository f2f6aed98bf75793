//! Storage pools and volumes behind one small trait.
//!
//! [`Volumes`] is what a pool driver offers for volumes, [`Snapshots`] for their snapshots, [`Pool`] for itself;
//! [`transfer`] copies between pools; [`dir`] keeps everything in plain
//! directories, [`btrfs`] in subvolumes. `tests/contract` holds the tests that each driver
//! runs. Nothing here knows the database, projects' rules or HTTP: a volume is named by a [`VolumeRef`].
//!
//! On disk a pool looks as the manual's servers make it: one directory per volume type
//! (`containers`, `custom`, …), volumes below it by their storage name ([`VolumeRef::storage_name`]).

mod blocking;
pub mod btrfs;
pub mod config;
pub mod dir;
pub mod driver;
mod folder;
pub mod transfer;
pub mod tree;
mod volume;

pub use driver::{
    Driver, Filler, IncomingPart, Mounted, Outgoing, OutgoingPart, Pool, PoolDriver, PoolResources, PoolSpec,
    Quota, Snapshots, Stream, Streams, Subvolume, Volumes, available, driver_by_name, fill_with, open_pool,
};
pub use folder::DISK;
pub use volume::{Content, Origin, SnapshotRef, VolumeKind, VolumeRef};
