//! From a parsed HTTP request to a response: route, access rule, handler, log.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use http::header::ORIGIN;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use lxd_auth::{Caller, Level, Peer};
use lxd_core::SharedCore;
use lxd_types::names::ProjectName;
use lxd_types::{Error, Result};
use tracing::Instrument;

use crate::body::{Unread, drain};
use crate::cors;
use crate::ctx::{Collection, Ctx};
use crate::external;
use crate::path;
use crate::reply::{Body, Reply};
use crate::router::{Found, Router};
use crate::routes::{self, Access, Route};

/// The API of one daemon; shared by all listeners.
pub struct Service {
    core: SharedCore,
    router: Router,
}

impl Service {
    /// The API over a core, with the whole route table.
    pub fn new(core: SharedCore) -> Self {
        Self { core, router: Router::new(routes::routes()) }
    }

    /// The core.
    pub fn core(&self) -> &SharedCore {
        &self.core
    }

    /// Answers one request. Never fails: errors and panics become envelopes.
    pub async fn call(&self, caller: Arc<Caller>, request: Request<Incoming>) -> Response<Body> {
        let from_page = request.headers().contains_key(ORIGIN);
        let result = self.route(caller, request).await;
        let mut response = match result {
            Ok(reply) => reply.into_response(),
            Err(error) => Reply::error(&error).into_response(),
        };
        cors::add(&self.core.server.config(), from_page, response.headers_mut());
        response
    }

    async fn route(&self, caller: Arc<Caller>, request: Request<Incoming>) -> Result<Reply> {
        if request.method() == Method::OPTIONS {
            return Ok(Reply::response(Response::new(http_body_util::Full::default())));
        }
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, ());
        let speaks = external::is_spoken(&self.core, request.headers());
        match self.admit(caller, request).await {
            Ok((route, mut cx)) => {
                cx.body = Unread::new(body);
                self.run(route, cx).await
            }
            Err(refused) => {
                drain(body).await;
                match refused {
                    Refused::Stranger(error) if speaks => external::challenge(&self.core, error).await,
                    Refused::Stranger(error) | Refused::Other(error) => Err(error),
                }
            }
        }
    }

    /// Finds the route and refuses what may not go there, before any of the body is read.
    async fn admit(
        &self,
        caller: Arc<Caller>,
        mut request: Request<()>,
    ) -> Result<(Arc<Route>, Ctx), Refused> {
        let (route, collection, params) = match self.router.find(request.method(), request.uri().path()) {
            Found::Route { route, collection, params } => (route.clone(), collection, params),
            Found::OtherMethods => return Err(other_method(request.method()).into()),
            Found::Nothing => {
                tracing::info!(method = %request.method(), url = %request.uri(), "Sending top level 404");
                return Err(Error::not_found("not found").into());
            }
            Found::Malformed => return Err(Error::bad_request("Invalid path").into()),
        };
        let caller = external::recognise(&self.core, caller, &mut request).await?;
        let cx = self.context(caller, request, collection, params)?;
        let insists = external::insists(cx.headers()) && route.path != "/";
        let allowed =
            if insists && !cx.caller.trusted { Err(lxd_auth::denied()) } else { check(&route, &cx) };
        if let Err(error) = allowed {
            return Err(if cx.caller.trusted { Refused::Other(error) } else { Refused::Stranger(error) });
        }
        refuse_foreign_pages(&cx)?;
        refuse_foreign_things(&cx, route.path).await?;
        tracing::debug!(
            ip = cx.caller.address(),
            method = %cx.method(),
            protocol = cx.caller.protocol(),
            url = %cx.uri(),
            username = cx.caller.username(),
            request = cx.id,
            "Handling API request"
        );
        Ok((route, cx))
    }

    fn context(
        &self,
        caller: Arc<Caller>,
        request: Request<()>,
        collection: Collection,
        params: Vec<(&'static str, String)>,
    ) -> Result<Ctx> {
        let query = request.uri().query().map(path::query).unwrap_or_default();
        let project = query.iter().find(|(key, value)| key == "project" && !value.is_empty());
        let project = match project {
            None => ProjectName::default_project(),
            Some((_, name)) => name.parse().map_err(|_| Error::not_found("Project not found"))?,
        };
        Ok(Ctx {
            core: self.core.clone(),
            caller,
            project,
            id: self.core.quiet.request(),
            collection,
            params,
            query,
            request,
            body: Unread::default(),
        })
    }

    /// Reading requests run in the connection's task. What may change something runs in a task of the
    /// daemon, so that a client that goes away never leaves it half done.
    async fn run(&self, route: Arc<Route>, cx: Ctx) -> Result<Reply> {
        let reads = cx.method() == Method::GET || cx.method() == Method::HEAD;
        if reads {
            let handler = AssertUnwindSafe(async { (route.handler)(cx).await });
            return handler.catch_unwind().await.unwrap_or_else(|panic| Err(panicked(&*panic)));
        }
        let span =
            tracing::info_span!("request", request = cx.id, project = %cx.project, object = cx.uri().path());
        let core = self.core.clone();
        core.run(route.path, async move { (route.handler)(cx).await }.instrument(span)).await
    }
}

/// The reference knows six methods; anything else is told so.
fn other_method(method: &Method) -> Error {
    match *method {
        Method::GET | Method::PUT | Method::POST | Method::DELETE | Method::PATCH | Method::HEAD => {
            Error::not_implemented("not implemented")
        }
        _ => Error::not_found(format!("Method {:?} not found", method.as_str())),
    }
}

/// Why a request goes no further.
enum Refused {
    /// Nobody knows who asks: proof may help.
    Stranger(Error),
    /// Anything else.
    Other(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

fn check(route: &Route, cx: &Ctx) -> Result<()> {
    let allowed = match route.access {
        Access::Anyone => true,
        Access::Trusted => cx.caller.trusted,
        Access::Project(Level::Manage) => {
            return lxd_auth::authorize(&cx.caller, &cx.project, level_of(route.path)).map(drop);
        }
        Access::Project(level) => return lxd_auth::authorize(&cx.caller, &cx.project, level).map(drop),
        Access::NamedProject => {
            let name = cx.param("name").parse().map_err(|_| lxd_auth::denied())?;
            return lxd_auth::authorize(&cx.caller, &name, Level::Project).map(drop);
        }
        Access::Server => cx.caller.is_admin(),
        Access::Root => cx.caller.is_root(),
    };
    if allowed { Ok(()) } else { Err(lxd_auth::denied()) }
}

/// A browser sends the client certificate by itself, whatever page asks for it: requests of pages of
/// other origins are refused, websocket handshakes too (security.md D5).
fn refuse_foreign_pages(cx: &Ctx) -> Result<()> {
    let origin = cx.headers().get(ORIGIN);
    if matches!(cx.caller.peer, Peer::Unix { .. }) || cors::names(&cx.core.server.config(), origin) {
        return Ok(());
    }
    let site_is_own = cx.header("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    let origin_is_own = origin.is_none_or(|origin| {
        let host = cx.headers().get("host").map(http::HeaderValue::as_bytes);
        origin.as_bytes().strip_prefix(b"https://") == host && host.is_some()
    });
    if site_is_own && origin_is_own { Ok(()) } else { Err(lxd_auth::denied()) }
}

/// Things that a project has from `default` are changed by those who may act in `default`; others only use them
/// (security.md C11).
async fn refuse_foreign_things(cx: &Ctx, path: &str) -> Result<()> {
    let reads = cx.method() == Method::GET || cx.method() == Method::HEAD;
    if reads || !cx.caller.trusted || cx.caller.is_admin() {
        return Ok(());
    }
    let Some(feature) = feature_of(path) else { return Ok(()) };
    // Whether a project of others exists is not told: the handler refuses, or knows a secret.
    if lxd_auth::authorize(&cx.caller, &cx.project, Level::View).is_err() {
        return Ok(());
    }
    let owner = lxd_core::projects::owner_name(&cx.core, &cx.project, feature).await?;
    let owner = owner.parse().map_err(|_| lxd_auth::denied())?;
    lxd_auth::authorize(&cx.caller, &owner, level_of(path)).map(drop)
}

/// What must be allowed to change the things at a path.
fn level_of(path: &str) -> Level {
    match feature_of(path) {
        Some("images") => Level::Images,
        Some("profiles") => Level::Profiles,
        Some("networks") => Level::Networks,
        Some("storage.volumes") => Level::Volumes,
        _ => Level::Manage,
    }
}

/// The feature that decides which project has the things at a path.
fn feature_of(path: &str) -> Option<&'static str> {
    let begins =
        |start: &str| path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if begins("/1.0/images") {
        Some("images")
    } else if begins("/1.0/profiles") {
        Some("profiles")
    } else if begins("/1.0/networks") || begins("/1.0/network-acls") {
        Some("networks")
    } else if path.starts_with("/1.0/storage-pools/") && path.contains("/volumes") {
        Some("storage.volumes")
    } else {
        None
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(panic = text, "A request panicked");
    Error::internal("Internal error, see the server's log")
}
