//! The route table against the specification, and walked as a stranger.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::Method;
use lxd_auth::{Caller, Limits, Peer};
use lxd_core::{Core, Options};
use lxd_server::connection;
use lxd_server::router::{Found, Router};
use lxd_server::routes::{Access, routes};
use lxd_server::{Collection, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

/// The specification: method, path, class of the answer, type of the request, of the answer, of the answer to `recursion=1`.
const SPECIFIED: &str = include_str!("rest-api.tsv");

/// Rows of the specification that this version does not answer yet: "METHOD path". Take a line out when its
/// route comes.
const NOT_YET: &str = include_str!("not-yet.txt");

/// The only rows that strangers may call; the handlers show them less.
const FOR_ANYONE: &[(&str, &str)] = &[
    ("GET", "/"),
    ("GET", "/1.0"),
    ("POST", "/1.0/certificates"),
    ("GET", "/1.0/images"),
    ("POST", "/1.0/images"),
    ("GET", "/1.0/images/aliases/{name*}"),
    ("GET", "/1.0/images/{fingerprint}"),
    ("GET", "/1.0/images/{fingerprint}/export"),
    ("GET", "/1.0/operations/{id}/wait"),
    ("GET", "/1.0/operations/{id}/websocket"),
];

fn specified() -> impl Iterator<Item = (Method, &'static str)> {
    SPECIFIED.lines().map(|line| {
        let mut columns = line.split('\t');
        let (method, path) = (columns.next().unwrap(), columns.next().unwrap());
        (method.parse().unwrap(), path)
    })
}

#[test]
fn every_specified_path_is_answered_or_listed_as_not_yet() {
    let router = Router::new(routes());
    let mut missing = BTreeSet::new();
    let not_yet: BTreeSet<&str> = NOT_YET.lines().collect();
    let mut stale = not_yet.clone();
    for (method, path) in specified() {
        let is_there = matches!(router.find(&method, path), Found::Route { .. });
        let row = format!("{method} {path}");
        match (is_there, not_yet.contains(row.as_str())) {
            (false, false) => drop(missing.insert(row)),
            (false, true) => drop(stale.remove(row.as_str())),
            (true, _) => {}
        }
    }
    assert!(missing.is_empty(), "not answered: {missing:#?}");
    assert!(stale.is_empty(), "answered by now, or not specified: {stale:#?}");
}

#[test]
fn instances_have_three_names() {
    let router = Router::new(routes());
    for (path, expected) in [
        ("/1.0/instances/c1/state", Collection::Instances),
        ("/1.0/containers/c1/state", Collection::Containers),
        ("/1.0/virtual-machines/c1/state", Collection::VirtualMachines),
    ] {
        match router.find(&Method::GET, path) {
            Found::Route { collection, .. } => assert_eq!(collection, expected),
            _ => panic!("{path} is not there"),
        }
    }
}

#[test]
fn only_listed_rows_are_for_anyone() {
    let open: BTreeSet<_> = routes()
        .into_iter()
        .filter(|route| route.access == Access::Anyone)
        .map(|route| (route.method.to_string(), route.path))
        .collect();
    for (method, path) in &open {
        assert!(FOR_ANYONE.contains(&(method.as_str(), path)), "{method} {path} is open to everybody");
    }
}

#[test]
fn internal_rows_are_for_root() {
    for route in routes().iter().filter(|route| route.path.starts_with("/internal")) {
        assert_eq!(route.access, Access::Root, "{} {}", route.method, route.path);
    }
}

async fn service() -> (tempfile::TempDir, Arc<Service>) {
    let dir = tempfile::tempdir().unwrap();
    let core = Core::open(Options { dir: dir.path().to_owned(), group: None }).await.unwrap();
    (dir, Arc::new(Service::new(core)))
}

fn tls(trusted: bool, projects: Option<Vec<String>>) -> Arc<Caller> {
    let projects = projects.map(Limits::of_certificate);
    let address = "192.0.2.1:1".parse().unwrap();
    let peer = Peer::Tls { fingerprint: Some("f".repeat(64)), certificate: None, address };
    Arc::new(Caller { peer, trusted, projects })
}

/// Sends one request as this caller; the HTTP status.
async fn ask(service: &Arc<Service>, caller: &Arc<Caller>, head: &str, headers: &str) -> u16 {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let served = connection::serve(service.clone(), caller.clone(), server, CancellationToken::new());
    let served = tokio::spawn(served);
    let request = format!(
        "{head} HTTP/1.1\r\nHost: lxd\r\nConnection: close\r\nContent-Length: 2\r\n{headers}\r\n{{}}"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    served.await.unwrap();
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().parse().unwrap()
}

fn concrete(path: &str) -> String {
    let segments: Vec<&str> =
        path.split('/').map(|segment| if segment.starts_with('{') { "x" } else { segment }).collect();
    segments.join("/")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_everywhere() {
    let (_dir, service) = service().await;
    let stranger = tls(false, None);
    let mut walked = 0;
    for route in routes().iter().filter(|route| route.access != Access::Anyone) {
        let path = concrete(route.path);
        let names = match path.strip_prefix("/1.0/instances") {
            Some(rest) => ["instances", "containers", "virtual-machines"]
                .map(|name| format!("/1.0/{name}{rest}"))
                .to_vec(),
            None => vec![path],
        };
        for path in names {
            let status = ask(&service, &stranger, &format!("{} {path}", route.method), "").await;
            assert_eq!(status, 403, "{} {path}", route.method);
            walked += 1;
        }
    }
    assert!(walked > 40, "only {walked} rows walked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_client_changes_nothing_outside_its_projects() {
    let (_dir, service) = service().await;
    let limited = tls(true, Some(vec!["p1".to_owned()]));
    for route in routes().iter().filter(|route| !matches!(route.access, Access::Anyone | Access::Trusted)) {
        let path = concrete(route.path);
        let status = ask(&service, &limited, &format!("{} {path}?project=default", route.method), "").await;
        assert_eq!(status, 403, "{} {path}", route.method);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_pages_are_refused() {
    let (_dir, service) = service().await;
    let admin = tls(true, None);
    for (headers, expected) in [
        ("", 200),
        ("Origin: https://lxd\r\n", 200),
        ("Sec-Fetch-Site: same-origin\r\n", 200),
        ("Sec-Fetch-Site: none\r\n", 200),
        ("Origin: https://evil\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
    ] {
        assert_eq!(ask(&service, &admin, "GET /1.0/certificates", headers).await, expected, "{headers}");
    }
}
