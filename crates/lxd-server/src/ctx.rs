//! What a handler gets: the core, the caller, and the parsed request.

use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, Method, Request, Uri};
use lxd_api::event::EventRequestor;
use lxd_auth::{Caller, Level, Permit};
use lxd_core::SharedCore;
use lxd_task::socket::Socket;
use lxd_types::names::ProjectName;
use lxd_types::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::Unread;
use crate::{Reply, body, etag, ws};

/// Which of the three names of the instances' tree the client used.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Collection {
    /// `/1.0/instances`: all instances.
    #[default]
    Instances,
    /// `/1.0/containers`: containers only.
    Containers,
    /// `/1.0/virtual-machines`: virtual machines only.
    VirtualMachines,
}

impl Collection {
    /// The path segment, e.g. for URLs in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Instances => "instances",
            Self::Containers => "containers",
            Self::VirtualMachines => "virtual-machines",
        }
    }
}

/// One request.
pub struct Ctx {
    /// The daemon's state.
    pub core: SharedCore,
    /// Who asks.
    pub caller: Arc<Caller>,
    /// `?project=`, else `default`. That it exists is for the use case to find out.
    pub project: ProjectName,
    /// Number of the request, for the log.
    pub id: u64,
    /// Which name of the instances' tree was used.
    pub collection: Collection,
    pub(crate) params: Vec<(&'static str, String)>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) request: Request<()>,
    pub(crate) body: Unread,
}

impl Ctx {
    /// The decoded path segment that the route calls `{name}`.
    ///
    /// # Panics
    /// When the route has no such segment: a mistake in the route table, found by its test.
    pub fn param(&self, name: &str) -> &str {
        let found = self.params.iter().find(|(key, _)| *key == name);
        &found.expect("the route names this segment").1
    }

    /// A path segment as a checked value.
    ///
    /// # Errors
    /// Bad request when the text is not allowed; no instance can have such a name, which the reference says first.
    pub fn parse<T>(&self, name: &str) -> Result<T>
    where
        T: FromStr,
        T::Err: Into<Error>,
    {
        let text = self.param(name);
        text.parse().map_err(|error: T::Err| match (name, text.contains('/')) {
            ("name", true) if self.in_instances() => Error::bad_request("Invalid instance name"),
            ("name", false) if self.in_instances() => Error::not_found("Instance not found"),
            _ => error.into(),
        })
    }

    /// True below `/1.0/instances` and its other names.
    fn in_instances(&self) -> bool {
        let collection = self.uri().path().split('/').nth(2);
        matches!(collection, Some("instances" | "containers" | "virtual-machines"))
    }

    /// The first value of a query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// True when a query parameter is `true`, `1` or the like.
    pub fn query_bool(&self, name: &str) -> bool {
        self.query(name)
            .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on"))
    }

    /// `?recursion=`: 0 (URLs), 1 (objects), 2 (objects with state). What is no number counts as 0.
    pub fn recursion(&self) -> u8 {
        self.query("recursion").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// True when `?all-projects=true` was asked for.
    pub fn all_projects(&self) -> bool {
        self.query_bool("all-projects")
    }

    /// Refuses a `?target=` that names another server; there is no cluster yet.
    ///
    /// # Errors
    /// Not found.
    pub fn this_member(&self) -> Result<()> {
        match self.query("target").filter(|target| !target.is_empty()) {
            None | Some("none") => Ok(()),
            Some(_) => Err(Error::not_found("Cluster member not found")),
        }
    }

    /// The request's headers.
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// The method.
    pub fn method(&self) -> &Method {
        self.request.method()
    }

    /// The address as the client sent it.
    pub fn uri(&self) -> &Uri {
        self.request.uri()
    }

    /// Proof that the caller may act in the request's project; the route's rule was checked before.
    ///
    /// # Errors
    /// Forbidden.
    pub fn permit(&self) -> Result<Permit> {
        lxd_auth::authorize(&self.caller, &self.project, Level::View)
    }

    /// Proof that the caller may configure the server.
    ///
    /// # Errors
    /// Forbidden.
    pub fn server_permit(&self) -> Result<Permit> {
        lxd_auth::authorize_server(&self.caller)
    }

    /// Who asks, as it stands in events and operations.
    pub fn requestor(&self) -> Option<EventRequestor> {
        self.caller.requestor()
    }

    /// Refuses when `If-Match` names another version of the object than the present one.
    ///
    /// # Errors
    /// Precondition failed.
    pub fn if_match(&self, fields: &impl Serialize) -> Result<()> {
        etag::check(self.request.headers(), fields)
    }

    /// The whole body, of at most `limit` bytes.
    ///
    /// # Errors
    /// Too large, or the client went away.
    pub async fn bytes(&mut self, limit: usize) -> Result<Bytes> {
        match self.body.take() {
            Some(incoming) => body::read(incoming, limit).await,
            None => Ok(Bytes::new()),
        }
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is too large, no JSON, or has members of the wrong type.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        body::json(&self.bytes(body::JSON_LIMIT).await?)
    }

    /// The fields of an object after this PATCH request.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub async fn patch<T: Serialize + DeserializeOwned>(&mut self, present: &T) -> Result<T> {
        body::patch(present, &self.bytes(body::JSON_LIMIT).await?)
    }

    /// The body as it arrives.
    pub fn stream(&mut self) -> impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin + 'static {
        use futures_util::StreamExt;
        futures_util::stream::iter(self.body.take()).flat_map(|body| body::stream(body).boxed()).boxed()
    }

    /// Answers a websocket's handshake and runs `serve` with the connected socket on a task of its own.
    ///
    /// # Errors
    /// The handshake is malformed.
    pub fn websocket<F>(&mut self, serve: impl FnOnce(Socket) -> F + Send + 'static) -> Result<Reply>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        ws::accept(self, serve)
    }
}
