//! The keys that the server keeps in an instance's configuration (`volatile.*`). Pure.

use lxd_types::{Config, Devices};

use super::create::CreateInstance;
use super::source::Source;

/// Adds what a new instance starts with.
pub fn new_instance(own: &mut Config, devices: &Devices, request: &CreateInstance) {
    own.insert("volatile.uuid".to_owned(), request.uuid.clone());
    let mut set = |key: &str, value: String| {
        own.entry(key.to_owned()).or_insert(value);
    };
    set("volatile.cloud-init.instance-id", uuid::Uuid::new_v4().to_string());
    if let Source::Image { fingerprint, .. } = &request.source {
        set("volatile.apply_template", "create".to_owned());
        set("volatile.base_image", fingerprint.to_string());
    }
    if let Source::Copy(_) = &request.source {
        set("volatile.apply_template", "copy".to_owned());
    }
    crate::networks::nics::remember(own, &Devices::new(), devices);
}
