//! `lxc publish`

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use lxd_api::StatusCode;
use lxd_api::image::{ImageAlias, ImagesPost, ImagesPostSource};
use lxd_api::instance::Instance;
use lxd_client::encode;
use serde_json::{Value, json};

use super::action;
use crate::cli::{Matches, Spec, list, switch, value};
use crate::cx::{Cx, Target};
use crate::{follow, keyvalue};

/// The command.
pub static SPEC: Spec = Spec {
    name: "publish",
    args: "[<remote>:]<instance>[/<snapshot>] [<remote>:] [key=value...]",
    about: "Make an image from an instance or snapshot",
    flags: &[
        list("alias", "Alias of the new image"),
        value("compression", "Compression algorithm"),
        value("expire", "Date (RFC 3339) on which the image expires"),
        switch("force", "Stop the instance if it runs").short('f'),
        switch("public", "Make the image public"),
    ],
    count: (1, usize::MAX),
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let source = cx.target(matches.arg(0))?;
    let mut words = &matches.args[1..];
    if let Some(first) = words.first().filter(|word| !word.contains('=')) {
        let target = cx.target(first)?;
        if !target.name.is_empty() {
            bail!("There is no \"image name\".  Did you want an alias?");
        }
        if target.remote != source.remote {
            bail!("Publishing to another server is not supported yet");
        }
        words = &words[1..];
    }
    if source.name.is_empty() {
        bail!("Instance name is mandatory");
    }
    let mut properties = BTreeMap::new();
    for word in words {
        let (key, value) = keyvalue::pair(word)?;
        properties.insert(key.to_owned(), value.to_owned());
    }
    let stopped = if source.name.contains('/') { None } else { stop(cx, matches, &source).await? };
    let done = publish(cx, matches, &source, properties).await;
    if let Some(ephemeral) = stopped {
        // Whatever became of the image, the instance goes on.
        restart(cx, &source, ephemeral).await?;
    }
    println!("Instance published with fingerprint: {}", done?);
    Ok(())
}

/// Stops a running instance for `--force`, kept from being deleted by that; whether it was ephemeral.
async fn stop(cx: &Cx, matches: &Matches, source: &Target) -> Result<Option<bool>> {
    let path = format!("/1.0/instances/{}", source.segment());
    let instance: Instance = source.client.get(&path).await?;
    if instance.status_code == StatusCode::STOPPED || instance.status_code.0 == 0 {
        return Ok(None);
    }
    if !matches.is("force") {
        bail!("The instance is currently running. Use --force to have it stopped and restarted");
    }
    if instance.ephemeral {
        source.client.send("PATCH", &path, Some(&json!({"ephemeral": false}))).await?;
    }
    let body = json!({"action": "stop", "timeout": -1, "force": true, "stateful": false});
    action::change_state(cx, &source.client, &source.name, &body)
        .await
        .context("Stopping the instance failed")?;
    Ok(Some(instance.ephemeral))
}

async fn restart(cx: &Cx, source: &Target, ephemeral: bool) -> Result<()> {
    if ephemeral {
        let path = format!("/1.0/instances/{}", source.segment());
        source.client.send("PATCH", &path, Some(&json!({"ephemeral": true}))).await?;
    }
    let body = json!({"action": "start", "timeout": -1, "force": false, "stateful": false});
    action::change_state(cx, &source.client, &source.name, &body).await
}

/// Makes the image; its fingerprint.
async fn publish(
    cx: &Cx,
    matches: &Matches,
    source: &Target,
    properties: BTreeMap<String, String>,
) -> Result<String> {
    let aliases = matches.list("alias");
    for alias in aliases {
        let path = format!("/1.0/images/aliases/{}", encode(alias));
        if let Ok(present) = source.client.get::<Value>(&path).await {
            bail!("The image already exists: {}", present["target"].as_str().unwrap_or_default());
        }
    }
    let mut post = ImagesPost {
        public: matches.is("public"),
        properties,
        compression_algorithm: matches.value("compression").to_owned(),
        aliases: aliases
            .iter()
            .map(|name| ImageAlias { name: name.clone(), ..ImageAlias::default() })
            .collect(),
        source: ImagesPostSource {
            kind: if source.name.contains('/') { "snapshot" } else { "instance" }.to_owned(),
            name: source.name.clone(),
            ..ImagesPostSource::default()
        },
        ..ImagesPost::default()
    };
    if matches.given("expire") {
        post.expires_at = matches
            .value("expire")
            .parse()
            .with_context(|| format!("Invalid expiration date: {}", matches.value("expire")))?;
    }
    let mut operation = source.client.start("POST", "/1.0/images", Some(&post)).await?;
    follow::wait(cx, &mut operation, "Publishing instance").await?;
    let fingerprint = operation.state.metadata.get("fingerprint").and_then(Value::as_str);
    Ok(fingerprint.context("The server told no fingerprint")?.to_owned())
}
