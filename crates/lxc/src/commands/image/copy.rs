//! `lxc image copy`

use anyhow::{Context, Result, bail};
use lxd_api::image::Image;
use lxd_client::{Client, Operation};
use serde_json::{Value, json};

use crate::cli::{Matches, Spec, list, switch, value};
use crate::commands::init::find_image;
use crate::cx::Cx;
use crate::follow;

/// The command.
pub static SPEC: Spec = Spec {
    name: "copy",
    aliases: &["cp"],
    args: "[<remote>:]<image> <remote>:",
    about: "Copy images between servers",
    flags: &[
        list("alias", "Alias for the new image"),
        switch("auto-update", "Keep the copied image up to date"),
        switch("copy-aliases", "Take the aliases of the source over"),
        value("mode", "Transfer mode: pull, push or relay").or("pull"),
        switch("public", "Visible to untrusted clients"),
        value("target-project", "Project of the copy"),
        switch("vm", "Virtual machine image"),
    ],
    count: (2, 2),
    run: Some(|cx, m| Box::pin(run(cx, m))),
    ..Spec::NEW
};

/// A secret with which another server may fetch a private image.
///
/// # Errors
/// The server's.
pub async fn secret(client: &Client, fingerprint: &str) -> Result<String> {
    let operation: Operation =
        client.start::<Value>("POST", &format!("/1.0/images/{fingerprint}/secret"), None).await?;
    let secret = operation.state.metadata.get("secret").and_then(Value::as_str);
    secret.map(str::to_owned).context("The server gave no secret")
}

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let (source_remote, name) = cx.split(matches.arg(0))?;
    let target = cx.target(matches.arg(1))?;
    if !target.name.is_empty() {
        bail!("Can't provide a name for the target image");
    }
    let project = matches.value("target-project");
    if matches.value("mode") != "pull" {
        bail!("The transfer mode {:?} is not supported yet", matches.value("mode"));
    }
    let destination =
        if project.is_empty() { target.client.clone() } else { target.client.with_project(project) };
    let (source, aliases) = source(cx, matches, &source_remote, &name).await?;
    if source_remote == target.remote && project.is_empty() {
        bail!("The source and target servers must be different");
    }
    let body = json!({
        "public": matches.is("public"),
        "auto_update": matches.is("auto-update"),
        "aliases": aliases,
        "source": source,
    });
    let mut operation = destination.start("POST", "/1.0/images", Some(&body)).await?;
    follow::wait(cx, &mut operation, "Copying the image").await?;
    if !cx.quiet {
        println!("Image copied successfully!");
    }
    Ok(())
}

/// Source member of the request, and the aliases of the copy.
async fn source(cx: &Cx, matches: &Matches, remote: &str, name: &str) -> Result<(Value, Vec<Value>)> {
    let server = cx.remote(remote)?;
    let named = |name: &String| json!({"name": name, "description": ""});
    let mut aliases: Vec<Value> = matches.list("alias").iter().map(named).collect();
    let kind = if matches.is("vm") { "virtual-machine" } else { "container" };
    let mut source = json!({
        "type": "image", "mode": "pull", "server": server.addr, "protocol": "lxd", "image_type": kind,
    });
    if server.is_image_server() {
        source["protocol"] = json!("simplestreams");
        source["alias"] = json!(name);
        return Ok((source, aliases));
    }
    let client = cx.image_client(remote)?;
    let image: Image = find_image(&client, name).await?;
    if matches.is("copy-aliases") {
        aliases.extend(image.aliases.iter().map(|a| json!({"name": a.name, "description": a.description})));
    }
    source["fingerprint"] = json!(image.fingerprint);
    source["project"] = json!(client.project());
    source["certificate"] =
        json!(std::fs::read_to_string(cx.conf().server_certificate(remote)).unwrap_or_default());
    if !image.public {
        source["secret"] = json!(secret(&client, &image.fingerprint).await?);
    }
    if matches.is("auto-update") {
        source["alias"] = json!(name);
    }
    Ok((source, aliases))
}
