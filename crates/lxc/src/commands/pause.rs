//! `lxc pause`

use super::action::{self, Action};
use crate::cli::{Spec, switch};

const ACTION: Action = Action { name: "freeze", verb: "pause" };

/// The command.
pub static SPEC: Spec = Spec {
    name: "pause",
    args: "[<remote>:]<instance> [[<remote>:]<instance>...]",
    about: "Freeze instances",
    flags: &[switch("all", "Act on all instances")],
    hidden: true,
    run: Some(|cx, matches| Box::pin(action::run(cx, matches, &ACTION))),
    ..Spec::NEW
};
