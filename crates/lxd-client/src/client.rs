//! The client: requests over one kept connection, envelopes, projects and targets.

use std::sync::{Arc, Mutex, PoisonError};

use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HeaderMap;
use hyper_util::rt::TokioIo;
use lxd_api::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::address::Address;
use crate::bakery::{self, User};
use crate::connect::{self, Link};
use crate::request::{Body, Call, Reply};
use crate::tls::TlsSettings;
use crate::{Egress, Error, Operation, Reach, Result};

/// A server, with the project and cluster member that requests name. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    project: Option<String>,
    target: Option<String>,
}

struct Shared {
    address: Address,
    tls: Option<TlsSettings>,
    egress: Egress,
    /// How we prove who we are to a server that wants macaroons.
    user: Option<User>,
    /// A connection that waits for the next request.
    idle: Mutex<Option<SendRequest<Body>>>,
}

impl Client {
    /// The server on this machine (`LXD_SOCKET`, `LXD_DIR`).
    pub fn local() -> Self {
        Self::new(Address::Unix(crate::default_socket()), None)
    }

    /// A server at an address; HTTPS needs TLS settings.
    pub fn new(address: Address, tls: Option<TlsSettings>) -> Self {
        Self::through(Egress::from_env(), address, tls)
    }

    /// As [`Client::new`], on another way out than that of the environment.
    pub fn through(egress: Egress, address: Address, tls: Option<TlsSettings>) -> Self {
        Self::of_user(egress, address, tls, None)
    }

    /// A server that wants macaroons, for a user of an identity server.
    pub fn of_user(egress: Egress, address: Address, tls: Option<TlsSettings>, user: Option<User>) -> Self {
        Self {
            shared: Arc::new(Shared { address, tls, egress, user, idle: Mutex::new(None) }),
            project: None,
            target: None,
        }
    }

    /// The same server, with requests in a project (`?project=`); empty and `default` are not sent.
    #[must_use]
    pub fn with_project(&self, project: &str) -> Self {
        let project = (!project.is_empty() && project != "default").then(|| project.to_owned());
        Self { project, ..self.clone() }
    }

    /// The same server, with requests for a cluster member (`?target=`); empty means none.
    #[must_use]
    pub fn with_target(&self, target: &str) -> Self {
        Self { target: (!target.is_empty()).then(|| target.to_owned()), ..self.clone() }
    }

    /// Address of the server.
    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    /// The project of requests; `default` when none was chosen.
    pub fn project(&self) -> &str {
        self.project.as_deref().unwrap_or("default")
    }

    /// Reads an object.
    ///
    /// # Errors
    /// The server's error, or an answer of another shape.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        Ok(self.get_etag(path).await?.0)
    }

    /// Reads an object as the JSON text that the server sent, for large ones.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_text(&self, path: &str) -> Result<Box<RawValue>> {
        Ok(self.envelope_of::<Box<RawValue>>(Call::new("GET", path)).await?.0.metadata)
    }

    /// Reads an object with its ETag.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_etag<T: DeserializeOwned>(&self, path: &str) -> Result<(T, String)> {
        let (response, headers) = self.envelope(Call::new("GET", path)).await?;
        let etag = headers.get("etag").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let value = lxd_api::from_value(or_empty(response.metadata)).map_err(Error::protocol)?;
        Ok((value, etag))
    }

    /// Sends a request that is answered at once; returns the answer's `metadata`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn send<T: Serialize + ?Sized>(
        &self,
        method: &str,
        path: &str,
        body: Option<&T>,
    ) -> Result<Value> {
        Ok(self.envelope(with_body(Call::new(method, path), body)?).await?.0.metadata)
    }

    /// As [`Client::send`] for a changed version of an object: `If-Match` holds the ETag that was read.
    ///
    /// # Errors
    /// As [`Client::get`]; 412 when the object was changed by others.
    pub async fn send_if_match<T: Serialize + ?Sized>(
        &self,
        method: &str,
        path: &str,
        body: &T,
        etag: &str,
    ) -> Result<Value> {
        let mut call = Call::new(method, path).json(body)?;
        if !etag.is_empty() {
            call = call.header("if-match", etag);
        }
        Ok(self.envelope(call).await?.0.metadata)
    }

    /// Sends a request that is answered with an operation.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn start<T: Serialize + ?Sized>(
        &self,
        method: &str,
        path: &str,
        body: Option<&T>,
    ) -> Result<Operation> {
        self.start_call(with_body(Call::new(method, path), body)?).await
    }

    /// As [`Client::start`] with `If-Match`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn start_if_match<T: Serialize + ?Sized>(
        &self,
        method: &str,
        path: &str,
        body: &T,
        etag: &str,
    ) -> Result<Operation> {
        let mut call = Call::new(method, path).json(body)?;
        if !etag.is_empty() {
            call = call.header("if-match", etag);
        }
        self.start_call(call).await
    }

    /// As [`Client::start`] with a request of any kind (uploads). An answer that is complete at once counts as
    /// an operation that has ended well.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn start_call(&self, call: Call) -> Result<Operation> {
        let (response, _) = self.envelope(call).await?;
        Operation::from_response(self.clone(), response)
    }

    /// Sends a request and reads the envelope; an error in it becomes [`Error::Api`].
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn envelope(&self, call: Call) -> Result<(Response, HeaderMap)> {
        self.envelope_of(call).await
    }

    async fn envelope_of<M>(&self, call: Call) -> Result<(Response<M>, HeaderMap)>
    where
        M: Default + DeserializeOwned,
    {
        let mut reply = self.raw(call).await?;
        let headers = std::mem::take(&mut reply.headers);
        let status = reply.status;
        let bytes = reply.bytes().await?;
        let response = match serde_json::from_slice::<Response<M>>(&bytes) {
            Ok(response) => response,
            Err(_) if status >= 400 => return Err(plain_error(status, &bytes)),
            Err(error) => return Err(Error::protocol(error)),
        };
        check(&response, status)?;
        Ok((response, headers))
    }

    /// Sends a request and returns the answer with its body unread; HTTP errors become [`Error::Api`].
    ///
    /// # Errors
    /// No connection, a broken one, or the server's error.
    pub async fn stream(&self, call: Call) -> Result<Reply> {
        let reply = self.raw(call).await?;
        if reply.status < 400 {
            return Ok(reply);
        }
        let status = reply.status;
        let bytes = reply.bytes().await?;
        match serde_json::from_slice::<Response>(&bytes) {
            Ok(response) => {
                check(&response, status)?;
                Err(plain_error(status, &bytes))
            }
            Err(_) => Err(plain_error(status, &bytes)),
        }
    }

    /// Sends a request and returns whatever the server answers.
    ///
    /// # Errors
    /// No connection, or a broken one.
    pub async fn raw(&self, call: Call) -> Result<Reply> {
        let Some(user) = &self.shared.user else { return self.once(call).await };
        let again = call.again();
        let reply = self.once(user.on(call)).await?;
        if reply.status != 401 {
            return Ok(reply);
        }
        let body = reply.bytes().await?;
        let challenge = bakery::challenge(401, &body).ok_or_else(|| plain_error(401, &body))?;
        user.answer(&challenge).await?;
        let again = again.ok_or_else(|| {
            Error::Protocol("The login has ended. It was renewed: please try again".to_owned())
        })?;
        self.once(user.on(again)).await
    }

    async fn once(&self, call: Call) -> Result<Reply> {
        // Taken apart: a body must not be borrowed while something is waited for.
        let Call { method, path, headers, body, replay } = call;
        let head = Head { method, path, headers };
        let kept = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut sender) = kept
            && let Some(again) = replay
            && sender.ready().await.is_ok()
            && let Ok(reply) = self.exchange(sender, &head, memory(again)).await
        {
            return Ok(reply);
        }
        // The server had closed the idle connection, or there was none.
        let sender = self.connect().await?;
        self.exchange(sender, &head, body).await.map_err(|error| {
            Error::Protocol(format!(
                "{} {:?}: {error}",
                go_method(head.method.as_str()),
                self.url(&head.path)
            ))
        })
    }

    async fn exchange(
        &self,
        mut sender: SendRequest<Body>,
        head: &Head,
        body: Body,
    ) -> Result<Reply, hyper::Error> {
        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = self.path(&head.path).parse().unwrap_or_default();
        *request.headers_mut() = head.headers.clone();
        let host = HeaderValue::from_str(&self.shared.address.authority());
        request.headers_mut().insert(HOST, host.unwrap_or(HeaderValue::from_static("unix.socket")));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("LXD 4.18"));
        let response = sender.send_request(request).await?;
        *self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        let (parts, body) = response.into_parts();
        Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body, next: Reach::Outside(None) })
    }

    async fn connect(&self) -> Result<SendRequest<Body>> {
        let link = self.link().await?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(512 * 1024)
            .handshake(TokioIo::new(link))
            .await
            .map_err(Error::protocol)?;
        tokio::spawn(async move {
            // The requester sees the failure as an error of its own request.
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// Headers with which the user of a server that wants macaroons proves who it is.
    pub(crate) fn proof(&self) -> HeaderMap {
        self.shared.user.as_ref().map(User::headers).unwrap_or_default()
    }

    /// A fresh connection without HTTP on it.
    pub(crate) async fn link(&self) -> Result<Link> {
        connect::open(&self.shared.address, self.shared.tls.as_ref(), &self.shared.egress).await
    }

    /// The path with `project` and `target` in its query.
    pub(crate) fn path(&self, path: &str) -> String {
        let mut full = path.to_owned();
        let pairs = [("project", &self.project), ("target", &self.target)];
        for (name, value) in pairs.iter().filter_map(|(name, value)| value.as_ref().map(|v| (name, v))) {
            let query = full.split_once('?').map_or("", |(_, query)| query);
            if query.split('&').any(|pair| pair.split('=').next() == Some(name)) {
                continue;
            }
            full.push(if full.contains('?') { '&' } else { '?' });
            full.push_str(name);
            full.push('=');
            full.push_str(&encode(value));
        }
        full
    }

    /// The URL of a path, as error texts show it.
    pub fn url(&self, path: &str) -> String {
        format!("{}{}", self.shared.address.base_url(), self.path(path))
    }
}

/// A request without its body.
struct Head {
    method: http::Method,
    path: String,
    headers: HeaderMap,
}

/// The reference answers an empty list with `null`.
fn or_empty(value: Value) -> Value {
    if value.is_null() { Value::Array(Vec::new()) } else { value }
}

/// Percent-encodes a value for a path segment or a query.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn with_body<T: Serialize + ?Sized>(call: Call, body: Option<&T>) -> Result<Call> {
    match body {
        Some(body) => call.json(body),
        None => Ok(call),
    }
}

fn memory(bytes: bytes::Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn check<M>(response: &Response<M>, status: u16) -> Result<()> {
    if response.kind != lxd_api::response::ResponseType::Error {
        return Ok(());
    }
    let code = if response.error_code == 0 { status } else { response.error_code };
    Err(Error::Api { code, text: response.error.clone() })
}

fn plain_error(status: u16, body: &[u8]) -> Error {
    let text = String::from_utf8_lossy(body).trim().to_owned();
    Error::Api { code: status, text: if text.is_empty() { format!("HTTP status {status}") } else { text } }
}

/// `GET` as Go's client writes it in its errors: `Get`.
fn go_method(method: &str) -> String {
    let lower = method.to_ascii_lowercase();
    let mut chars = lower.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_and_target_go_into_the_query() {
        let client = Client::local().with_project("a b").with_target("m1");
        assert_eq!(client.path("/1.0/x"), "/1.0/x?project=a%20b&target=m1");
        assert_eq!(client.path("/1.0/x?project=p"), "/1.0/x?project=p&target=m1");
        assert_eq!(Client::local().with_project("default").path("/1.0"), "/1.0");
    }

    #[test]
    fn methods_in_errors() {
        assert_eq!(go_method("DELETE"), "Delete");
    }
}
