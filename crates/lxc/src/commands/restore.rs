//! `lxc restore`

use anyhow::Result;
use serde_json::json;

use crate::cli::{Matches, Spec, switch};
use crate::cx::Cx;
use crate::follow;

/// The command.
pub static SPEC: Spec = Spec {
    name: "restore",
    args: "[<remote>:]<instance> <snapshot>",
    about: "Put an instance back to a snapshot",
    examples: "  lxc restore u1 snap0\n      Put \"u1\" back to what it was when \"snap0\" was taken.",
    flags: &[switch("stateful", "With the running state")],
    count: (2, 2),
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.target(matches.arg(0))?;
    let snapshot = match matches.arg(1) {
        own if own.contains('/') => own.to_owned(),
        own => format!("{}/{own}", target.name),
    };
    let path = format!("/1.0/instances/{}", target.segment());
    let body = json!({"restore": snapshot, "stateful": matches.is("stateful")});
    let mut operation = target.client.start("PUT", &path, Some(&body)).await?;
    follow::wait(cx, &mut operation, "").await
}
