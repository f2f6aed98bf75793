//! `lxc snapshot`

use anyhow::{Result, bail};
use lxd_client::encode;
use serde_json::{Value, json};

use crate::cli::{Matches, Spec, switch};
use crate::cx::Cx;
use crate::follow;

/// The command.
pub static SPEC: Spec = Spec {
    name: "snapshot",
    args: "[<remote>:]<instance> [<snapshot name>]",
    about: "Take a snapshot of an instance",
    examples: "  lxc snapshot u1 snap0\n      Take a snapshot of \"u1\" called \"snap0\".",
    flags: &[
        switch("no-expiry", "Ignore the configured expiry"),
        switch("reuse", "Replace a snapshot of that name"),
        switch("stateful", "With the running state"),
    ],
    count: (1, 2),
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.target(matches.arg(0))?;
    if target.name.contains('/') {
        bail!("Invalid instance name");
    }
    let name = matches.arg(1);
    let path = format!("/1.0/instances/{}/snapshots", target.segment());
    if matches.is("reuse") && !name.is_empty() {
        let one = format!("{path}/{}", encode(name));
        if target.client.get::<Value>(&one).await.is_ok() {
            let mut operation = target.client.start::<Value>("DELETE", &one, None).await?;
            follow::wait(cx, &mut operation, "").await?;
        }
    }
    let mut body = json!({"name": name, "stateful": matches.is("stateful")});
    if matches.is("no-expiry") {
        body["expires_at"] = json!("0001-01-01T00:00:00Z");
    }
    let mut operation = target.client.start("POST", &path, Some(&body)).await?;
    follow::wait(cx, &mut operation, "").await
}
