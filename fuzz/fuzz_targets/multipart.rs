//! Forms of image uploads: the same whatever the blocks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lxd_image::multipart::Form;

fuzz_target!(|body: &[u8]| {
    let mut form = Form::new("multipart/form-data; boundary=X").ok().flatten().expect("a form");
    for block in body.chunks(7) {
        form.feed(block);
        while let Ok(Some(_)) = form.next_event() {}
    }
});
