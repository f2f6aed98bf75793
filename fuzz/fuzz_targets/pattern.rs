//! Patterns of filters against texts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lxd_types::Pattern;

fuzz_target!(|input: (&str, &str)| {
    let _ = Pattern::ignoring_case(input.0).matches(input.1);
});
