//! `lxc stop`

use super::action::{self, Action};
use crate::cli::{Flag, Spec, number, spec::Kind, switch, value};

const ACTION: Action = Action { name: "stop", verb: "stop" };

/// The command.
pub static SPEC: Spec = Spec {
    name: "stop",
    args: "[<remote>:]<instance> [[<remote>:]<instance>...]",
    about: "Stop instances",
    flags: &[
        switch("all", "Act on all instances"),
        Flag { kind: Kind::Optional("console"), ..value("console", "Attach to the console at once") },
        switch("force", "Do not wait for a clean shutdown").short('f'),
        number("timeout", "Seconds to wait for a clean shutdown").or("-1"),
        switch("stateful", "Keep the running state"),
    ],
    run: Some(|cx, matches| Box::pin(action::run(cx, matches, &ACTION))),
    ..Spec::NEW
};
