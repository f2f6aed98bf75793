//! `lxc profile device`

use crate::cli::Spec;
use crate::commands::device::{self, Holder};

/// The group.
pub static SPEC: Spec = Spec {
    name: "device",
    about: "Manage devices of profiles",
    subs: &[&ADD, &GET, &LIST, &REMOVE, &SET, &SHOW, &UNSET],
    ..Spec::NEW
};

static ADD: Spec = Spec {
    name: "add",

    args: "[<remote>:]<profile> <device> <type> [key=value...]",
    about: "Put a new device in place",
    count: (3, usize::MAX),
    run: Some(|cx, m| Box::pin(device::add(cx, m, Holder::Profile))),
    ..Spec::NEW
};

static GET: Spec = Spec {
    name: "get",

    args: "[<remote>:]<profile> <device> <key>",
    about: "Print one key of a device",
    count: (3, 3),
    run: Some(|cx, m| Box::pin(device::get(cx, m, Holder::Profile))),
    ..Spec::NEW
};

static LIST: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    args: "[<remote>:]<profile>",
    about: "Print the names of the devices",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(device::list(cx, m, Holder::Profile))),
    ..Spec::NEW
};

static REMOVE: Spec = Spec {
    name: "remove",
    aliases: &["rm"],
    args: "[<remote>:]<profile> <name>...",
    about: "Take devices away",
    count: (2, usize::MAX),
    run: Some(|cx, m| Box::pin(device::remove(cx, m, Holder::Profile))),
    ..Spec::NEW
};

static SET: Spec = Spec {
    name: "set",

    args: "[<remote>:]<profile> <device> <key>=<value>...",
    about: "Set keys of a device",
    count: (3, usize::MAX),
    run: Some(|cx, m| Box::pin(device::set(cx, m, Holder::Profile))),
    ..Spec::NEW
};

static SHOW: Spec = Spec {
    name: "show",

    args: "[<remote>:]<profile>",
    about: "Print all devices as YAML",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(device::show(cx, m, Holder::Profile))),
    ..Spec::NEW
};

static UNSET: Spec = Spec {
    name: "unset",

    args: "[<remote>:]<profile> <device> <key>",
    about: "Drop a key of a device",
    count: (3, 3),
    run: Some(|cx, m| Box::pin(device::unset(cx, m, Holder::Profile))),
    ..Spec::NEW
};
