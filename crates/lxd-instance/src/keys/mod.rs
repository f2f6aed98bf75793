//! Configuration keys of instances and profiles (manual 3.2.2), and the rules between them.
//!
//! A key that this version does not act upon is marked `not_yet()`: setting it on an instance is refused, profiles may
//! have it. Whoever makes it work removes the mark here.

mod boot;
mod free;
mod limits;
mod raw;
mod security;
mod validate;
pub mod volatile;

use lxd_config::Table;

pub use boot::*;
pub use free::*;
pub use limits::*;
pub use raw::*;
pub use security::*;
pub use validate::{check_profile, check_supported, validate, validate_new};

/// All keys that an instance can have.
pub static INSTANCE: Table = Table::new(
    "instance",
    &[
        BOOT,
        CLOUD_INIT,
        ENVIRONMENT,
        IMAGE,
        LIMITS,
        LINUX,
        MIGRATION,
        NVIDIA,
        RAW,
        SECURITY,
        SNAPSHOTS,
        USER,
        volatile::VOLATILE,
    ],
);

/// The beginning of volatile keys.
pub const VOLATILE_PREFIX: &str = "volatile.";

/// The beginning of keys that repeat the image's properties.
pub const IMAGE_PREFIX: &str = "image.";

/// The beginning of environment variables.
pub const ENVIRONMENT_PREFIX: &str = "environment.";

/// Limits of the kernel's resources: `limits.kernel.nofile`.
pub const KERNEL_LIMIT_PREFIX: &str = "limits.kernel.";
