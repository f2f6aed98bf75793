//! Paths and queries of requests, and addresses of servers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lxd_client::Address;
use lxd_server::path;

fuzz_target!(|text: &str| {
    assert_eq!(path::decode(&path::encode(text)).as_deref(), Some(text));
    let _ = (path::decode(text), path::query(text), Address::parse(text));
});
