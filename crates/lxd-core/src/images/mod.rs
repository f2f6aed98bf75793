//! Images: one file per action (`/1.0/images`).

mod resolve;
mod unpack;

pub use resolve::resolve;
pub use unpack::unpack;
