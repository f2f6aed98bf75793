//! Storage pools: one file per action (`/1.0/storage-pools`).

mod open;

pub use open::open;
