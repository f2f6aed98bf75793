//! Storage pools: one file per action (`/1.0/storage-pools`).

mod create;
mod delete;
mod fullness;
mod get;
mod images;
mod open;
mod start;
mod update;

pub use create::create;
pub use delete::{delete, undo_create};
pub use fullness::look_at_space;
pub use get::{get, list, names, resources};
pub use images::{create_from_image, forget_image};
pub use open::{Lanes, open, open_row};
pub use start::{Unavailable, mount_all};
pub use update::update;

/// The URL of a pool.
pub(crate) fn url(name: &str) -> String {
    format!("/1.0/storage-pools/{name}")
}
