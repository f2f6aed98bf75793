//! Websockets of operations: a secret names each, the first client with that secret gets it (rule R10).

use std::collections::BTreeMap;
use std::sync::Mutex;

use fastwebsockets::WebSocket;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use lxd_types::{Error, Result};
use serde_json::Value;
use subtle::ConstantTimeEq;
use tokio::sync::oneshot;

/// A connected websocket of a client.
pub type Socket = WebSocket<TokioIo<Upgraded>>;

/// The sockets that an operation waits for.
#[derive(Default)]
pub struct Sockets {
    /// Held for a look-up, never across an await.
    slots: Mutex<Vec<Slot>>,
}

struct Slot {
    name: String,
    secret: String,
    deliver: Option<oneshot::Sender<Socket>>,
}

/// A place to deliver one accepted socket to.
pub struct Delivery(oneshot::Sender<Socket>);

impl Delivery {
    /// Hands the socket over to the operation.
    ///
    /// # Errors
    /// The operation has ended meanwhile.
    pub fn deliver(self, socket: Socket) -> Result<()> {
        self.0.send(socket).map_err(|_| Error::not_found("Operation not found"))
    }
}

impl Sockets {
    /// Opens a slot; its receiver yields the socket once a client came.
    pub fn open(&self, name: &str) -> oneshot::Receiver<Socket> {
        let (deliver, socket) = oneshot::channel();
        let secret = hex::encode(rand::random::<[u8; 32]>());
        let slot = Slot { name: name.to_owned(), secret, deliver: Some(deliver) };
        self.slots.lock().expect("no panic happens while the lock is held").push(slot);
        socket
    }

    /// Takes the slot that the secret opens; each works once.
    ///
    /// # Errors
    /// No slot has this secret, or it was used.
    pub fn claim(&self, secret: &str) -> Result<Delivery> {
        let mut slots = self.slots.lock().expect("no panic happens while the lock is held");
        let mut found = None;
        // All are compared, so that the time tells nothing.
        for slot in slots.iter_mut() {
            if bool::from(slot.secret.as_bytes().ct_eq(secret.as_bytes())) {
                found = slot.deliver.take();
            }
        }
        found.map(Delivery).ok_or_else(|| Error::forbidden("not authorized"))
    }

    /// Names and secrets as they stand in the operation's metadata, shown to its creator only.
    pub fn secrets(&self) -> BTreeMap<String, Value> {
        let slots = self.slots.lock().expect("no panic happens while the lock is held");
        slots.iter().map(|slot| (slot.name.clone(), Value::String(slot.secret.clone()))).collect()
    }
}
