//! Lines of `raw.lxc`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lxd_container::raw;

fuzz_target!(|text: &str| {
    for (key, value) in raw::parse(text).unwrap_or_default() {
        assert!(!key.contains(['\n', '\0']) && !value.contains(['\n', '\0']));
    }
});
