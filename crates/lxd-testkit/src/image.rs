//! The small image, built once per machine and run.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Path of the unified busybox image.
///
/// # Panics
/// It cannot be built (`scripts/make-busybox-image` says why).
pub fn busybox_image() -> PathBuf {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(build).clone()
}

fn build() -> PathBuf {
    let folder = crate::binary("lxd").parent().expect("binaries lie in a folder").to_owned();
    let image = folder.join("test-busybox.tar.gz");
    if !image.exists() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/make-busybox-image");
        let fresh = folder.join(format!("test-busybox.{}.tmp", std::process::id()));
        let status = Command::new(script).arg(&fresh).status().expect("bash is there");
        assert!(status.success(), "make-busybox-image: {status}");
        std::fs::rename(&fresh, &image).expect("both lie in one folder");
    }
    image
}
