//! HTTP in front of the core: listeners, route table, replies (architecture section 3). No rule lives here.
//!
//! A handler is `async fn(Ctx) -> Result<Reply>`: it parses, calls the core, replies.

pub mod api;
pub mod body;
pub mod connection;
mod cors;
pub mod ctx;
pub mod debug;
pub mod devlxd;
pub mod dispatch;
pub mod error;
pub mod etag;
mod external;
mod filter;
mod link;
pub mod listener;
pub mod network;
pub mod path;
mod pki;
mod proxy_protocol;
pub mod reply;
pub mod router;
pub mod routes;
mod tls;
pub mod ws;

pub use ctx::{Collection, Ctx};
pub use dispatch::Service;
pub use lxd_types::{Error, Result};
pub use network::Network;
pub use reply::Reply;
