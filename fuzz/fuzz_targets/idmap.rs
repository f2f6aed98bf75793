//! Stored id maps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lxd_types::{IdMap, RawIdMap};

fuzz_target!(|input: (&str, &str)| {
    if let (Ok(map), Ok(raw)) = (serde_json::from_str::<IdMap>(input.0), input.1.parse::<RawIdMap>()) {
        let _ = map.overlay(&raw);
    }
});
