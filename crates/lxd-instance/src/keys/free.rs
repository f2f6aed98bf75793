//! Keys that carry data: `cloud-init.*`, `environment.*`, `image.*`, `user.*`.

use lxd_config::{Blob, Key, keys};
use lxd_types::ValueError;

keys! {
    /// `cloud-init.*`
    CLOUD_INIT = [
        /// Network configuration, content is used as seed value.
        CLOUD_INIT_NETWORK_CONFIG: Blob =
            Key::new("cloud-init.network-config").passive().safe().since("cloud_init"),
        /// User data, content is used as seed value.
        CLOUD_INIT_USER_DATA: Blob = Key::new("cloud-init.user-data").passive().safe().since("cloud_init"),
        /// Vendor data, content is used as seed value.
        CLOUD_INIT_VENDOR_DATA: Blob = Key::new("cloud-init.vendor-data").passive().safe().since("cloud_init"),
    ]
}

keys! {
    /// `environment.*`
    ENVIRONMENT = [
        /// Environment variables to export to the instance and to set on exec.
        ENVIRONMENT_ANY: Blob = Key::new("environment.*").live().safe().check(one_line),
    ]
}

keys! {
    /// `image.*`
    IMAGE = [
        /// Copy of the image's properties at the time of creation.
        IMAGE_ANY: Blob = Key::new("image.*").passive().safe().since("container_image_properties"),
    ]
}

keys! {
    /// `user.*`
    USER = [
        /// Meta data for cloud-init, content is appended to the seed value.
        USER_META_DATA: Blob = Key::new("user.meta-data").passive().safe(),
        /// Network configuration for cloud-init, content is used as seed value.
        USER_NETWORK_CONFIG: Blob = Key::new("user.network-config").passive().safe(),
        /// One of "dhcp" and "link-local". Used to configure the network in images that support it.
        USER_NETWORK_MODE: Blob = Key::new("user.network_mode").default("dhcp").passive().safe(),
        /// User data for cloud-init, content is used as seed value.
        USER_USER_DATA: Blob = Key::new("user.user-data").default("#cloud-config").passive().safe(),
        /// Vendor data for cloud-init, content is used as seed value.
        USER_VENDOR_DATA: Blob = Key::new("user.vendor-data").default("#cloud-config").passive().safe(),
        /// Free-form keys and values (can be used in searches).
        USER_ANY: Blob = Key::new("user.*").passive().safe(),
    ]
}

fn one_line(value: &str) -> Result<(), ValueError> {
    match value.contains(['\n', '\r']) {
        true => Err(ValueError::new("Environment variables cannot contain line breaks")),
        false => Ok(()),
    }
}
