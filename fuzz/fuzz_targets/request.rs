//! Bodies of requests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lxd_api::from_request;
use lxd_api::instance::InstancesPost;

fuzz_target!(|body: &[u8]| {
    let _ = from_request::<InstancesPost>(body);
});
