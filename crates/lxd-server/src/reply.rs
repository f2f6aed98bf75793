//! What a handler answers with.

use std::fs::File;
use std::io;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::Frame;
use lxd_core::transfer;
use lxd_task::operation::Operation;
use lxd_types::{Error, Result};
use serde::Serialize;

use crate::error;

/// Body of every response: a block of bytes, or a stream.
pub type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, io::Error>>;

const SYNC_HEAD: &[u8] = b"{\"type\":\"sync\",\"status\":\"Success\",\"status_code\":200,\"operation\":\"\",\
                           \"error_code\":0,\"error\":\"\",\"metadata\":";
const SYNC_TAIL: &[u8] = b"}\n";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The answer to a request.
pub struct Reply(Response<Body>);

impl Reply {
    /// A result: envelope `sync` with this metadata (HTTP 200).
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn json(metadata: &(impl Serialize + ?Sized)) -> Result<Self> {
        Ok(Self::sync_bytes(sync_body(metadata)?))
    }

    /// A result without content: metadata `{}`.
    pub fn empty() -> Self {
        Self::sync_bytes(Bytes::from_static(
            b"{\"type\":\"sync\",\"status\":\"Success\",\"status_code\":200,\"operation\":\"\",\
              \"error_code\":0,\"error\":\"\",\"metadata\":{}}\n",
        ))
    }

    /// A complete envelope that was serialised before, see [`sync_body`].
    pub fn sync_bytes(body: Bytes) -> Self {
        let mut response = Response::new(Either::Left(Full::new(body)));
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        Self(response)
    }

    /// A thing was made at `url`: HTTP 201, metadata `null`.
    ///
    /// # Errors
    /// The URL has characters that no header may have.
    pub fn created(url: &str) -> Result<Self> {
        let mut reply = Self::json(&())?;
        *reply.0.status_mut() = StatusCode::CREATED;
        reply.header(LOCATION, url)
    }

    /// A started operation (HTTP 202); only its creator gets this, so the sockets' secrets are shown.
    ///
    /// # Errors
    /// The operation cannot be written as JSON.
    pub fn operation(operation: &Operation) -> Result<Self> {
        let url = operation.url();
        let view = serde_json::to_string(&operation.view(true)).map_err(unwritable)?;
        let body = format!(
            "{{\"type\":\"async\",\"status\":\"Operation created\",\"status_code\":100,\
             \"operation\":\"{url}\",\"error_code\":0,\"error\":\"\",\"metadata\":{view}}}\n"
        );
        let mut reply = Self::sync_bytes(Bytes::from(body));
        *reply.0.status_mut() = StatusCode::ACCEPTED;
        reply.header(LOCATION, &url)
    }

    /// Bytes as they are, without an envelope.
    pub fn raw(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut response = Response::new(Either::Left(Full::new(body.into())));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self(response)
    }

    /// `length` bytes of an open file, from its present position, as a download named `name`.
    ///
    /// # Errors
    /// The name cannot stand in a header.
    pub fn file(file: File, length: u64, name: &str) -> Result<Self> {
        let mut reply = Self::stream("application/octet-stream", transfer::send(file, length))?;
        reply.0.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        reply.header(http::header::CONTENT_DISPOSITION, &disposition(name))
    }

    /// A stream of bytes. An error of the stream breaks the connection, so that no client takes half an
    /// answer for a whole one.
    ///
    /// # Errors
    /// The content type cannot stand in a header.
    pub fn stream(
        content_type: &str,
        stream: impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<Self> {
        let body = StreamBody::new(stream.boxed().map_ok(Frame::data));
        Self(Response::new(Either::Right(BodyExt::boxed_unsync(body)))).header(CONTENT_TYPE, content_type)
    }

    /// Any response, e.g. that of a websocket's handshake.
    pub fn response<B>(response: Response<B>) -> Self
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self(response.map(|body| Either::Right(body.map_err(io::Error::other).boxed_unsync())))
    }

    /// The envelope of an error.
    pub fn error(error: &Error) -> Self {
        let mut reply = Self::raw("application/json", error::envelope(error));
        reply.0.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        *reply.0.status_mut() = error::status(error.kind());
        reply
    }

    /// Adds the version of the object: a hash over its fields that can be changed.
    ///
    /// # Errors
    /// The fields cannot be written as JSON.
    pub fn etag(self, fields: &impl Serialize) -> Result<Self> {
        self.version(&crate::etag::etag(fields)?)
    }

    /// Adds the version of the object as it was found out.
    ///
    /// # Errors
    /// It has characters that no header may have.
    pub fn version(self, version: &str) -> Result<Self> {
        self.header(ETAG, &format!("\"{version}\""))
    }

    /// Adds a header.
    ///
    /// # Errors
    /// The value has characters that no header may have.
    pub fn header(mut self, name: HeaderName, value: &str) -> Result<Self> {
        let value = HeaderValue::from_str(value)
            .map_err(|_| Error::internal(format!("The header {name} cannot hold {value:?}")))?;
        self.0.headers_mut().insert(name, value);
        Ok(self)
    }

    /// Another status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        *self.0.status_mut() = status;
        self
    }

    /// The HTTP status.
    pub fn code(&self) -> StatusCode {
        self.0.status()
    }

    /// What hyper sends.
    pub fn into_response(self) -> Response<Body> {
        self.0
    }
}

/// The header of a download. Plain names stand bare, as the reference has them; a container can name its files as it likes,
/// and those stay in their quotes.
fn disposition(name: &str) -> String {
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+@".contains(&byte)) {
        return format!("inline;filename={name}");
    }
    let name = name.replace(|letter: char| matches!(letter, '"' | '\\') || letter.is_control(), "_");
    format!("inline;filename=\"{name}\"")
}

/// A `sync` answer whose metadata is written as JSON text, piece by piece.
pub struct Envelope(Vec<u8>);

impl Envelope {
    /// Nothing is in it yet.
    pub fn begin() -> Self {
        let mut body = Vec::with_capacity(4096);
        body.extend_from_slice(SYNC_HEAD);
        Self(body)
    }

    /// Where to write the metadata: one JSON value.
    pub fn metadata(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// The answer.
    pub fn reply(mut self) -> Reply {
        self.0.extend_from_slice(SYNC_TAIL);
        Reply::sync_bytes(Bytes::from(self.0))
    }
}

/// The whole body of a `sync` answer; to be kept where the same is sent often.
///
/// # Errors
/// The value cannot be written as JSON.
pub fn sync_body(metadata: &(impl Serialize + ?Sized)) -> Result<Bytes> {
    let mut body = Vec::with_capacity(512);
    body.extend_from_slice(SYNC_HEAD);
    serde_json::to_writer(&mut body, metadata).map_err(unwritable)?;
    body.extend_from_slice(SYNC_TAIL);
    Ok(Bytes::from(body))
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::internal(format!("Failed to write the answer: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloads_have_names() {
        for (name, shown) in [
            ("lxc.log", "inline;filename=lxc.log"),
            ("", "inline;filename="),
            ("a b;c", "inline;filename=\"a b;c\""),
            ("a\"b\\c\nd", "inline;filename=\"a_b_c_d\""),
            ("\u{e4}", "inline;filename=\"\u{e4}\""),
        ] {
            let file = File::open("/dev/null").unwrap();
            let reply = Reply::file(file, 0, name).unwrap().into_response();
            assert_eq!(reply.headers()["content-disposition"].as_bytes(), shown.as_bytes());
        }
    }

    #[test]
    fn envelopes() {
        let body = sync_body(&["/1.0"]).unwrap();
        assert_eq!(body.len(), 114);
        assert!(body.ends_with(b"\"metadata\":[\"/1.0\"]}\n"));
        let created = Reply::created("/1.0/profiles/p1").unwrap().into_response();
        assert_eq!(created.status(), 201);
        assert_eq!(created.headers()["location"], "/1.0/profiles/p1");
        assert!(Reply::created("a\nb").is_err());
    }
}
