//! `lxc config`

mod device;
mod metadata;
mod template;
mod trust;
mod values;

use crate::cli::Spec;

/// The group.
pub static SPEC: Spec = Spec {
    name: "config",
    about: "Manage the configuration of instances and of the server",
    subs: &[
        &device::SPEC,
        &values::EDIT,
        &values::GET,
        &metadata::SPEC,
        &values::SET,
        &values::SHOW,
        &template::SPEC,
        &trust::SPEC,
        &values::UNSET,
    ],
    ..Spec::NEW
};
