//! `lxc move`

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::copy;
use crate::cli::{Matches, Spec};
use crate::cx::Cx;
use crate::follow;

/// The command.
pub static SPEC: Spec = Spec {
    name: "move",
    aliases: &["mv"],
    args: "[<remote>:]<instance>[/<snapshot>] [<remote>:][<instance>[/<snapshot>]]",
    about: "Move or rename an instance",
    flags: copy::FLAGS,
    count: (1, 2),
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let source = cx.target(matches.arg(0))?;
    let elsewhere = ["storage", "target", "target-project"].iter().any(|flag| matches.given(flag));
    if matches.args.len() < 2 && !elsewhere {
        bail!("Invalid number of arguments");
    }
    let target = if matches.args.len() < 2 { cx.target(matches.arg(0))? } else { cx.target(matches.arg(1))? };
    if source.remote != target.remote {
        bail!("Moving instances between servers is not supported yet");
    }
    if source.name.contains('/') {
        return super::rename::rename(cx, matches).await;
    }
    let overridden = matches.given("config")
        || matches.given("device")
        || matches.given("profile")
        || matches.is("no-profiles");
    let path = format!("/1.0/instances/{}", source.segment());
    if !elsewhere {
        if overridden {
            bail!("Can't override configuration or profiles in local rename");
        }
        return super::rename::rename(cx, matches).await;
    }
    let name = if target.name.is_empty() { source.name.clone() } else { target.name.clone() };
    if overridden {
        // Whatever is changed on the way: a copy, then the original goes.
        if source.name == name && !matches.given("target-project") {
            bail!("Changing the configuration of a move needs another name");
        }
        let target = cx.target(&format!("{}:{name}", target.remote))?;
        copy::copy(cx, matches, &source, &target, false).await?;
        let mut operation = source.client.start::<Value>("DELETE", &path, None).await?;
        return follow::wait(cx, &mut operation, "").await;
    }
    let body = json!({
        "name": name,
        "migration": true,
        "pool": matches.value("storage"),
        "project": matches.value("target-project"),
        "instance_only": matches.is("instance-only"),
        "live": false,
    });
    let started = source.client.start("POST", &path, Some(&body)).await;
    let mut operation = started.context("Migration API failure")?;
    follow::wait(cx, &mut operation, "Transferring instance").await.context("Migration operation failure")
}
