//! Trust tokens.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lxd_auth::token_secret;

fuzz_target!(|text: &str| {
    let _ = token_secret(text);
});
