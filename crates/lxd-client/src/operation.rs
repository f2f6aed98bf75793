//! Background operations: wait, cancel, connect to their websockets.

use lxd_api::StatusCode;
use lxd_api::response::{Response, ResponseType};
use serde_json::Value;

use crate::{Client, Error, Result, WebSocket};

/// An operation that a request started.
#[derive(Clone)]
pub struct Operation {
    client: Client,
    /// What is known of it; as it was when the operation was made or last waited for.
    pub state: lxd_api::operation::Operation,
    /// The whole answer, for metadata of operations that ended at once.
    done: bool,
}

/// The id in an operation's URL, without project.
pub fn operation_id(url: &str) -> &str {
    let path = url.split('?').next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path)
}

impl Operation {
    pub(crate) fn from_response(client: Client, response: Response) -> Result<Self> {
        let done = response.kind == ResponseType::Sync;
        let mut state: lxd_api::operation::Operation = if done {
            lxd_api::operation::Operation { status_code: StatusCode::SUCCESS, ..Default::default() }
        } else {
            lxd_api::from_value(response.metadata).map_err(Error::protocol)?
        };
        if state.id.is_empty() {
            state.id = operation_id(&response.operation).to_owned();
        }
        Ok(Self { client, state, done })
    }

    /// The operation with a known id.
    pub fn with_id(client: &Client, id: &str) -> Self {
        let state = lxd_api::operation::Operation { id: id.to_owned(), ..Default::default() };
        Self { client: client.clone(), state, done: false }
    }

    /// Its URL.
    pub fn path(&self) -> String {
        format!("/1.0/operations/{}", self.state.id)
    }

    /// The client that started it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for its end and returns its metadata.
    ///
    /// # Errors
    /// [`Error::Operation`] when it failed or was cancelled; connection errors.
    pub async fn wait(&mut self) -> Result<&lxd_api::operation::Operation> {
        self.wait_with(None).await
    }

    /// As [`Operation::wait`]; the secret lets a client wait that the server does not trust.
    ///
    /// # Errors
    /// As [`Operation::wait`].
    pub async fn wait_with(&mut self, secret: Option<&str>) -> Result<&lxd_api::operation::Operation> {
        while !self.state.status_code.is_final() && !self.done {
            let secret = secret.map(|secret| format!("secret={}&", crate::client::encode(secret)));
            let path = format!("{}/wait?{}timeout=-1", self.path(), secret.unwrap_or_default());
            self.state = self.client.get(&path).await?;
        }
        self.outcome()
    }

    /// The result of an operation that has ended.
    ///
    /// # Errors
    /// [`Error::Operation`] when it failed.
    pub fn outcome(&self) -> Result<&lxd_api::operation::Operation> {
        if self.state.status_code.0 < 400 && self.state.err.is_empty() {
            return Ok(&self.state);
        }
        Err(Error::Operation { code: self.state.status_code.0, text: self.state.err.clone() })
    }

    /// Reads its state anew.
    ///
    /// # Errors
    /// The server does not know it any more; connection errors.
    pub async fn refresh(&mut self) -> Result<&lxd_api::operation::Operation> {
        if !self.done {
            self.state = self.client.get(&self.path()).await?;
        }
        Ok(&self.state)
    }

    /// Asks the server to cancel it.
    ///
    /// # Errors
    /// It cannot be cancelled (any more).
    pub async fn cancel(&self) -> Result<()> {
        self.client.send::<Value>("DELETE", &self.path(), None).await.map(drop)
    }

    /// A secret from its metadata (`fds`): `"0"`, `"1"`, `"2"`, `"control"`.
    pub fn secret(&self, name: &str) -> Option<&str> {
        self.state.metadata.get("fds")?.get(name)?.as_str()
    }

    /// Connects to one of its websockets.
    ///
    /// # Errors
    /// The server refuses; connection errors.
    pub async fn websocket(&self, secret: &str) -> Result<WebSocket> {
        let path = format!("{}/websocket?secret={}", self.path(), crate::client::encode(secret));
        self.client.websocket(&path).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        assert_eq!(operation_id("/1.0/operations/abc?project=x"), "abc");
        assert_eq!(operation_id("/1.0/operations/abc"), "abc");
    }
}
