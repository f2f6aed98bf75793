//! dnsmasq's file of leases.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lxd_network::bridge::leases;

fuzz_target!(|text: &str| {
    for lease in leases::parse(text) {
        assert!(lease.hostname.is_ascii() && !lease.hostname.contains(['\n', ' ']));
    }
});
