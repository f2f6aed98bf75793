//! `lxc launch`

use anyhow::Result;
use serde_json::json;

use super::{action, init};
use crate::cli::{Flag, Matches, Spec, spec::Kind, value};
use crate::cx::{Cx, Target};

const FLAGS: [Flag; init::FLAGS.len() + 1] = {
    let mut flags =
        [Flag { kind: Kind::Optional("console"), ..value("console", "Attach to the console at once") };
            init::FLAGS.len() + 1];
    let mut index = 0;
    while index < init::FLAGS.len() {
        flags[index] = init::FLAGS[index];
        index += 1;
    }
    flags
};

/// The command.
pub static SPEC: Spec = Spec {
    name: "launch",
    args: "[<remote>:]<image> [<remote>:][<name>]",
    about: "Make an instance and start it",
    examples: "  lxc launch ubuntu:22.04 u1\n\n  lxc launch ubuntu:22.04 u1 < config.yaml\n      With the configuration of a file.",
    flags: &FLAGS,
    count: (0, 2),
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let Some((client, name)) = init::create(cx, matches).await? else { return Ok(()) };
    if !cx.quiet {
        println!("Starting {name}");
    }
    let body = json!({"action": "start", "timeout": -1, "force": false, "stateful": false});
    action::change_state(cx, &client, &name, &body).await?;
    if matches.given("console") {
        let target = Target { remote: String::new(), name, client };
        return super::console::attach(cx, &target, matches.value("console")).await;
    }
    Ok(())
}
