//! The event stream of a server (manual 3.5.5).

use lxd_api::event::Event;
use serde_json::Value;

use crate::{Client, Error, Message, Result, websocket::Receiver};

/// A subscription; dropped, it ends.
pub struct Events {
    receiver: Receiver,
    /// Keeps the writing side open.
    _sender: crate::Sender,
}

impl Client {
    /// Subscribes to events. `types` are `logging`, `operation`, `lifecycle`; none means all.
    ///
    /// # Errors
    /// The server refuses; connection errors.
    pub async fn events(&self, types: &[&str], all_projects: bool) -> Result<Events> {
        let mut path = "/1.0/events".to_owned();
        let mut query = Vec::new();
        if !types.is_empty() {
            query.push(format!("type={}", types.join(",")));
        }
        if all_projects {
            query.push("all-projects=true".to_owned());
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        let client = if all_projects { self.with_project("") } else { self.clone() };
        let socket = client.websocket(&path).await?;
        Ok(Events { receiver: socket.receiver, _sender: socket.sender })
    }
}

impl Events {
    /// The next event as the server wrote it; `None` when the stream ended.
    ///
    /// # Errors
    /// The connection broke, or the server sent no JSON.
    pub async fn next_value(&mut self) -> Result<Option<Value>> {
        match self.receiver.next().await? {
            None => Ok(None),
            Some(Message::Text(data) | Message::Binary(data)) => {
                serde_json::from_slice(&data).map(Some).map_err(Error::protocol)
            }
        }
    }

    /// The next event.
    ///
    /// # Errors
    /// As [`Events::next_value`]; another shape than an event.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        match self.next_value().await? {
            None => Ok(None),
            Some(value) => serde_json::from_value(value).map(Some).map_err(Error::protocol),
        }
    }
}
