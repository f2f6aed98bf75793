//! Typed client of the LXD API: over the unix socket and over TLS, with operations, websockets and events.
//!
//! ```no_run
//! # async fn f() -> Result<(), lxd_client::Error> {
//! let client = lxd_client::Client::local();
//! let server: lxd_api::server::Server = client.get("/1.0").await?;
//! let body = serde_json::json!({"action": "start"});
//! client.start("PUT", "/1.0/instances/c1/state", Some(&body)).await?.wait().await?;
//! # Ok(()) }
//! ```
//!
//! A client keeps one idle connection and uses it again; clones share it.

mod address;
pub mod bakery;
mod client;
mod connect;
mod egress;
mod error;
mod events;
mod identity;
mod operation;
mod proxy;
mod request;
pub mod simplestreams;
mod tls;
pub mod web;
mod websocket;

pub use address::{Address, default_socket, unix_socket};
pub use client::{Client, encode};
pub use egress::{Egress, Reach};
pub use error::{Error, Result};
pub use events::Events;
pub use identity::{Identity, fingerprint, pem_to_der};
pub use operation::{Operation, operation_id};
pub use proxy::Proxies;
pub use request::{Body, Call, Reply};
pub use tls::{CHANGED, TlsSettings, fetch_certificate};
pub use websocket::{Message, Receiver, Sender, WebSocket};
