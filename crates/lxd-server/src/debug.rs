//! Debug pages (`core.debug_address`): plain HTTP without authentication, so bind it to a local address only.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
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
    ("/debug/tasks", "operations, gates, lanes, background tasks, journal, database"),
    ("/debug/memory", "memory, as the kernel sees it"),
    ("/debug/cpu", "processor time of every thread while looking, 5 seconds or ?seconds=N"),
];

/// Seconds that a look at the threads takes when nothing is said, and at most.
const LOOK: u64 = 5;
const LONGEST_LOOK: u64 = 60;

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
            async move { Ok::<_, Infallible>(page(&core, request.uri()).await) }
        });
        tokio::spawn(async move {
            // A client that goes away early is no news.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), pages).await;
        });
    }
}

async fn page(core: &SharedCore, uri: &Uri) -> Response<Full<Bytes>> {
    let text = match uri.path() {
        "/" | "/debug" | "/debug/" => index(),
        "/debug/tasks" => tasks(core).await,
        "/debug/memory" => memory(),
        "/debug/cpu" => threads(seconds(uri)).await,
        _ => {
            let mut response = Response::new(Full::new(Bytes::from_static(b"not found\n")));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn index() -> String {
    PAGES.iter().map(|(path, what)| format!("{path}  {what}\n")).collect()
}

/// What runs and what waits.
async fn tasks(core: &SharedCore) -> String {
    let text = match core.report().await {
        Ok(report) => serde_json::to_string_pretty(&report).unwrap_or_else(|error| error.to_string()),
        Err(error) => error.chain(),
    };
    text + "\n"
}

fn memory() -> String {
    ["/proc/self/status", "/proc/self/smaps_rollup"]
        .iter()
        .map(|path| format!("== {path}\n{}", std::fs::read_to_string(path).unwrap_or_default()))
        .collect()
}

/// How long a look takes: `?seconds=N`.
fn seconds(uri: &Uri) -> u64 {
    let given = uri.query().and_then(|query| query.strip_prefix("seconds=")?.parse().ok());
    given.unwrap_or(LOOK).clamp(1, LONGEST_LOOK)
}

/// Processor time of every thread while somebody looks: user and system, in percent of one processor; the busiest first.
async fn threads(seconds: u64) -> String {
    let before = times();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let mut busy: Vec<(u64, u64, String)> = times()
        .into_iter()
        .map(|(id, (user, system, name))| {
            let (old_user, old_system) = before.get(&id).map_or((0, 0), |(user, system, _)| (*user, *system));
            (user.saturating_sub(old_user), system.saturating_sub(old_system), format!("{name} ({id})"))
        })
        .collect();
    busy.sort_by(|a, b| (b.0 + b.1).cmp(&(a.0 + a.1)).then(a.2.cmp(&b.2)));
    // A tick is a hundredth of a second.
    let percent = |ticks: u64| ticks as f64 / seconds as f64;
    let mut text = format!("{seconds} s\n  user system thread\n");
    for (user, system, name) in busy {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{:5.1}% {:5.1}% {name}", percent(user), percent(system));
    }
    text
}

/// User and system time of every thread, in clock ticks, and its name.
fn times() -> BTreeMap<String, (u64, u64, String)> {
    let entries = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let (head, rest) = stat.rsplit_once(')')?;
            let mut fields = rest.split_whitespace().skip(11);
            let (user, system) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            let name = head.split_once('(')?.1.to_owned();
            Some((entry.file_name().to_string_lossy().into_owned(), (user, system, name)))
        })
        .collect()
}
