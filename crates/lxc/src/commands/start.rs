//! `lxc start`

use super::action::{self, Action};
use crate::cli::{Flag, Spec, spec::Kind, switch, value};

const ACTION: Action = Action { name: "start", verb: "start" };

/// The command.
pub static SPEC: Spec = Spec {
    name: "start",
    args: "[<remote>:]<instance> [[<remote>:]<instance>...]",
    about: "Start instances",
    flags: &[
        switch("all", "Act on all instances"),
        Flag { kind: Kind::Optional("console"), ..value("console", "Attach to the console at once") },
        switch("stateless", "Without the running state"),
    ],
    run: Some(|cx, matches| Box::pin(action::run(cx, matches, &ACTION))),
    ..Spec::NEW
};
