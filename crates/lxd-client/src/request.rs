//! Requests and answers as values.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use serde::Serialize;

use crate::{Error, Reach, Result};

/// Error of a streamed body.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Body of a request.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A request: method, path with query, headers and body.
pub struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    /// The body can be made again: the request may be repeated on a fresh connection.
    pub(crate) replay: Option<Bytes>,
}

fn never(error: Infallible) -> BodyError {
    match error {}
}

impl Call {
    /// A request without a body. `path` begins with `/` and may have a query.
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET),
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Empty::new().map_err(never).boxed_unsync(),
            replay: Some(Bytes::new()),
        }
    }

    /// The same request once more; `None` when its body was a stream.
    pub(crate) fn again(&self) -> Option<Self> {
        let bytes = self.replay.clone()?;
        let Self { method, path, headers, .. } = self;
        let body = Full::new(bytes.clone()).map_err(never).boxed_unsync();
        let (method, path, headers) = (method.clone(), path.clone(), headers.clone());
        Some(Self { method, path, headers, body, replay: Some(bytes) })
    }

    /// Adds a header; a value that no header may have is left out.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Sends a value as JSON.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self> {
        let text = serde_json::to_vec(value).map_err(Error::protocol)?;
        Ok(self.header("content-type", "application/json").bytes(text))
    }

    /// Sends bytes that are in memory.
    #[must_use]
    pub fn bytes(mut self, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        self.replay = Some(bytes.clone());
        self.body = Full::new(bytes).map_err(never).boxed_unsync();
        self
    }

    /// Sends a stream, chunked; a failing stream breaks the request off.
    #[must_use]
    pub fn stream(mut self, stream: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static) -> Self {
        self.replay = None;
        let frames = stream.map(|item| item.map(Frame::data).map_err(BodyError::from));
        self.body = StreamBody::new(frames).boxed_unsync();
        self
    }
}

/// An answer whose body has not been read yet.
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    pub(crate) body: Incoming,
    /// Where a URL in this answer may lead.
    pub next: Reach,
}

impl Reply {
    /// A header as text; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Bytes that the body will have, when the server said so.
    pub fn length(&self) -> Option<u64> {
        self.header("content-length").parse().ok()
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame.map_err(Error::protocol)?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The whole body.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn bytes(self) -> Result<Bytes> {
        Ok(self.body.collect().await.map_err(Error::protocol)?.to_bytes())
    }
}
