//! `metadata.yaml` of images.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lxd_image::Metadata;

fuzz_target!(|yaml: &[u8]| {
    let _ = Metadata::parse(yaml);
});
