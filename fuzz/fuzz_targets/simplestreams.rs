//! Lists of products of image servers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lxd_client::simplestreams;

fuzz_target!(|body: &[u8]| {
    let _ = simplestreams::parse(body);
});
