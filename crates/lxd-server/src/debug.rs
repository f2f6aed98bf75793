//! Debug pages (`core.debug_address`): plain HTTP without authentication, so bind it to a local address only.

use std::convert::Infallible;
use std::fmt::Write;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lxd_core::SharedCore;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::listener::pause_after;

/// The pages and what they show.
const PAGES: &[(&str, &str)] = &[
    ("/debug/tasks", "operations, gates, database"),
    ("/debug/memory", "memory, as the kernel sees it"),
    ("/debug/cpu", "processor time of every thread"),
];

/// Serves the pages until `stop` is cancelled.
pub async fn accept(listener: TcpListener, core: SharedCore, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        let core = core.clone();
        let pages = service_fn(move |request: Request<Incoming>| {
            let core = core.clone();
            async move { Ok::<_, Infallible>(page(&core, request.uri().path())) }
        });
        tokio::spawn(async move {
            // A client that goes away early is no news.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), pages).await;
        });
    }
}

fn page(core: &SharedCore, path: &str) -> Response<Full<Bytes>> {
    let text = match path {
        "/" | "/debug" | "/debug/" => index(),
        "/debug/tasks" => tasks(core),
        "/debug/memory" => memory(),
        "/debug/cpu" => threads(),
        _ => {
            let mut response = Response::new(Full::new(Bytes::from_static(b"not found\n")));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
    };
    Response::new(Full::new(Bytes::from(text)))
}

fn index() -> String {
    PAGES.iter().map(|(path, what)| format!("{path}  {what}\n")).collect()
}

/// What runs and what waits.
pub fn tasks(core: &SharedCore) -> String {
    let mut text = String::from("== operations\n");
    for operation in core.operations.list(|_| true) {
        let (step, since) = operation.step();
        let view = operation.view(false);
        // Writing into a string cannot fail.
        let _ =
            writeln!(text, "{} {} {} step={step:?} since={since}", view.id, view.status, view.description);
    }
    let _ = writeln!(text, "== database\n{:#?}", core.db.stats());
    text
}

fn memory() -> String {
    ["/proc/self/status", "/proc/self/smaps_rollup"]
        .iter()
        .map(|path| format!("== {path}\n{}", std::fs::read_to_string(path).unwrap_or_default()))
        .collect()
}

/// User and system time of every thread, in clock ticks.
fn threads() -> String {
    let mut text = String::from("thread user system name\n");
    for entry in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((head, rest)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let name = head.split_once('(').map_or("", |(_, name)| name);
        let (user, system) = (fields.get(11).unwrap_or(&"?"), fields.get(12).unwrap_or(&"?"));
        let _ = writeln!(text, "{} {user} {system} {name}", entry.file_name().to_string_lossy());
    }
    text
}
