//! `lxc delete`

use anyhow::{Context, Result, bail};
use lxd_api::StatusCode;
use lxd_api::instance::Instance;
use lxd_client::encode;
use serde_json::{Value, json};

use super::action;
use crate::cli::{Matches, Spec, switch};
use crate::cx::{Cx, Target};
use crate::{follow, stdin};

/// The command.
pub static SPEC: Spec = Spec {
    name: "delete",
    aliases: &["rm"],
    args: "[<remote>:]<instance>[/<snapshot>] [[<remote>:]<instance>[/<snapshot>]...]",
    about: "Remove instances and snapshots",
    flags: &[
        switch("force", "Stop running instances first").short('f'),
        switch("interactive", "Ask before each").short('i'),
    ],
    count: (1, usize::MAX),
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let mut targets = Vec::new();
    for arg in &matches.args {
        targets.push(cx.target(arg)?);
    }
    for target in &targets {
        check(target).await?;
    }
    for target in &targets {
        if matches.is("interactive") && !confirm(target)? {
            bail!("User aborted delete operation");
        }
        match target.name.split_once('/') {
            Some((instance, snapshot)) => remove(cx, target, &snapshot_path(instance, snapshot)).await?,
            None => instance(cx, matches, target).await?,
        }
    }
    Ok(())
}

fn snapshot_path(instance: &str, snapshot: &str) -> String {
    format!("/1.0/instances/{}/snapshots/{}", encode(instance), encode(snapshot))
}

/// Everything is looked up before anything is deleted.
async fn check(target: &Target) -> Result<()> {
    match target.name.split_once('/') {
        Some((instance, snapshot)) => {
            let found = target.client.get::<Value>(&snapshot_path(instance, snapshot)).await;
            found.with_context(|| format!("Failed checking instance snapshot exists {:?}", target.full()))?;
        }
        None => {
            let found = target.client.get::<Value>(&format!("/1.0/instances/{}", target.segment())).await;
            found.with_context(|| format!("Failed checking instance exists {:?}", target.full()))?;
        }
    }
    Ok(())
}

fn confirm(target: &Target) -> Result<bool> {
    stdin::ask_yes_no(&format!("Remove {} (yes/no): ", target.name), Some(false))
}

async fn instance(cx: &Cx, matches: &Matches, target: &Target) -> Result<()> {
    let path = format!("/1.0/instances/{}", target.segment());
    let found: Instance = target.client.get(&path).await?;
    if found.status_code.0 != 0 && found.status_code != StatusCode::STOPPED {
        if !matches.is("force") {
            bail!("The instance is currently running, stop it first or pass --force");
        }
        let body = json!({"action": "stop", "timeout": -1, "force": true, "stateful": false});
        action::change_state(cx, &target.client, &target.name, &body)
            .await
            .context("Stopping the instance failed")?;
        if found.ephemeral {
            return Ok(());
        }
    }
    remove(cx, target, &path).await
}

async fn remove(cx: &Cx, target: &Target, path: &str) -> Result<()> {
    let mut operation = target.client.start::<Value>("DELETE", path, None).await?;
    follow::wait(cx, &mut operation, "").await
}
