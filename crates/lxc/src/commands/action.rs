//! What start, stop, restart and pause have in common: one action on many instances.

use anyhow::{Context, Result, bail};
use futures_util::stream::{self, StreamExt};
use lxd_api::instance::Instance;
use lxd_client::Client;
use serde_json::json;

use crate::cli::{Matches, usage};
use crate::cx::{Cx, Target};
use crate::follow;

/// How many instances are worked on at once.
const AT_ONCE: usize = 8;

/// An action and the words for it.
pub struct Action {
    /// `start`, `stop`, `restart` or `freeze`.
    pub name: &'static str,
    /// The command, as the summary of failures names it.
    pub verb: &'static str,
}

/// Runs an action on the instances that the command line names.
///
/// # Errors
/// The failure of the only instance, or a summary.
pub async fn run(cx: &Cx, matches: &Matches, action: &Action) -> Result<()> {
    if matches.args.is_empty() && !matches.is("all") {
        eprint!("{}", usage(matches));
        return Ok(());
    }
    let console = matches.given("console");
    if console && !matches.is("all") && matches.args.len() != 1 {
        bail!("--console only works with a single instance");
    }
    if matches.is("all") {
        return all(cx, matches, action).await;
    }
    let targets: Vec<Target> = matches.args.iter().map(|arg| cx.target(arg)).collect::<Result<_>>()?;
    if let Some(empty) = targets.iter().find(|target| target.name.is_empty()) {
        bail!("Must supply instance name for: {:?}", format!("{}:", empty.remote));
    }
    if let [target] = &targets[..] {
        one(cx, matches, action, target).await?;
        return if console {
            super::console::attach(cx, target, matches.value("console")).await
        } else {
            Ok(())
        };
    }
    let results = stream::iter(&targets)
        .map(|target| async move { (target.name.clone(), one(cx, matches, action, target).await) })
        .buffer_unordered(AT_ONCE);
    report(results.collect().await, action)
}

fn report(results: Vec<(String, Result<()>)>, action: &Action) -> Result<()> {
    let failed: Vec<_> =
        results.into_iter().filter_map(|(name, result)| Some((name, result.err()?))).collect();
    if failed.is_empty() {
        return Ok(());
    }
    for (name, error) in failed {
        eprintln!("{name}: error: {error:#}");
    }
    eprintln!();
    bail!("Some instances failed to {}", action.verb);
}

/// One request for all instances of each remote.
async fn all(cx: &Cx, matches: &Matches, action: &Action) -> Result<()> {
    let remotes: Vec<String> =
        if matches.args.is_empty() { vec![String::new()] } else { matches.args.clone() };
    for arg in remotes {
        let target = cx.target(&arg)?;
        if !target.name.is_empty() {
            bail!("Both --all and instance name given");
        }
        let body = json!({"state": state(matches, action.name, matches.is("stateful"))});
        let mut operation = target.client.start("PUT", "/1.0/instances", Some(&body)).await?;
        follow::wait(cx, &mut operation, "").await.with_context(|| target.remote.clone())?;
    }
    Ok(())
}

fn state(matches: &Matches, action: &str, stateful: bool) -> serde_json::Value {
    json!({
        "action": action,
        "timeout": if matches.given("timeout") { matches.number("timeout") } else { -1 },
        "force": matches.is("force"),
        "stateful": stateful,
    })
}

async fn one(cx: &Cx, matches: &Matches, action: &Action, target: &Target) -> Result<()> {
    let path = format!("/1.0/instances/{}", target.segment());
    let mut name = action.name;
    let mut stateful = matches.is("stateful");
    if name == "start" {
        let instance: Instance = target.client.get(&path).await?;
        if instance.status_code == lxd_api::StatusCode::FROZEN {
            name = "unfreeze";
        }
        stateful = instance.stateful && !matches.is("stateless");
    }
    let body = state(matches, name, stateful);
    change_state(cx, &target.client, &target.name, &body).await
}

/// Sends a change of state and waits; a failure of the operation points to the log.
///
/// # Errors
/// The server's.
pub async fn change_state(cx: &Cx, client: &Client, name: &str, body: &serde_json::Value) -> Result<()> {
    let path = format!("/1.0/instances/{}/state", lxd_client::encode(name));
    let mut operation = client.start("PUT", &path, Some(body)).await?;
    follow::wait(cx, &mut operation, "").await.map_err(|error| {
        let text = error.to_string();
        if error.downcast_ref::<lxd_client::Error>().is_none() || text.starts_with("The instance is already")
        {
            return error;
        }
        anyhow::anyhow!("{error:#}\nTry `lxc info --show-log {name}` for more info")
    })
}
