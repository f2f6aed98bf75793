//! The YAML writer: what it writes is read back as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lxd_image::parse_yaml;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let Ok(Value::String(text)) = serde_json::from_slice(body) else { return };
    let yaml = lxd_api::yaml::text(&text).expect("a text can be written");
    assert_eq!(parse_yaml::<String>(yaml.as_bytes()).ok(), Some(text).filter(|_| yaml.len() <= 1 << 20));
});
