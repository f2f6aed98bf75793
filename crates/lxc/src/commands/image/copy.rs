//! `lxc image copy`: the target fetches the image (pull), the source sends it (push), or it goes through this client (relay).

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use lxd_api::image::{Image, ImageAlias, ImageAliasesEntry};
use lxd_client::simplestreams::StreamImage;
use lxd_client::{Call, Client, Operation, Reply, encode};
use serde_json::{Value, json};

use super::{import, streams};
use crate::cli::{Matches, Spec, list, switch, value};
use crate::commands::init::find_image;
use crate::cx::{Cx, Target};
use crate::follow;
use crate::upload::{self, Meter};

/// The command.
pub static SPEC: Spec = Spec {
    name: "copy",
    aliases: &["cp"],
    args: "[<remote>:]<image> <remote>:",
    about: "Copy images between servers",
    long: "With --auto-update the target looks for newer images at the source by itself: the source must be named by an
alias, and be public.

Modes: in mode pull the target server fetches the image from the source, in mode push the source server sends it to the
target, in mode relay it goes through this client.",
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

/// Before the progress.
const LABEL: &str = "Copying the image";

/// A secret with which another server may fetch a private image.
///
/// # Errors
/// The server's.
pub async fn secret(client: &Client, fingerprint: &str) -> Result<String> {
    let operation: Operation =
        client.start::<Value>("POST", &format!("/1.0/images/{fingerprint}/secret"), None).await?;
    secret_of(&operation)
}

fn secret_of(operation: &Operation) -> Result<String> {
    let secret = operation.state.metadata.get("secret").and_then(Value::as_str);
    secret.map(str::to_owned).context("The server gave no secret")
}

/// Where an image is.
enum Place {
    Lxd(Client),
    Stream(Box<StreamImage>),
}

/// The image to be copied.
struct Source {
    remote: String,
    name: String,
    place: Place,
    image: Image,
}

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = target(cx, matches)?;
    let source = source(cx, matches).await?;
    if source.remote == target.remote && matches.value("target-project").is_empty() {
        bail!("The source and target servers must be different");
    }
    match matches.value("mode") {
        "pull" => pull(cx, matches, &source, &target).await?,
        "push" => push(cx, matches, &source, &target).await?,
        "relay" => relay(cx, matches, &source, &target).await?,
        other => bail!("Unknown transfer mode {other:?}: it is pull, push or relay"),
    }
    if !cx.quiet {
        println!("Image copied successfully!");
    }
    name_it(matches, &source.image, &target.client).await
}

/// The server of the copy.
fn target(cx: &Cx, matches: &Matches) -> Result<Target> {
    let target = cx.target(matches.arg(1))?;
    if !target.name.is_empty() {
        bail!("Can't provide a name for the target image");
    }
    if matches.is("auto-update") && matches.value("mode") != "pull" {
        bail!("Auto update is only available in pull mode");
    }
    // `--project` is that of the source.
    let own = cx.remote(&target.remote)?.project;
    let project = Some(matches.value("target-project")).filter(|project| !project.is_empty()).unwrap_or(&own);
    Ok(Target { client: target.client.with_project(project), ..target })
}

async fn source(cx: &Cx, matches: &Matches) -> Result<Source> {
    let (remote, name) = cx.split(matches.arg(0))?;
    let name = if name.is_empty() { "default".to_owned() } else { name };
    let virtual_machine = matches.is("vm");
    if cx.remote(&remote)?.is_image_server() {
        let found = streams::find(cx, &remote, &name, virtual_machine).await?;
        let image = found.as_listed(streams::native()?);
        return Ok(Source { remote, name, place: Place::Stream(Box::new(found)), image });
    }
    let client = cx.image_client(&remote)?;
    let image = find_image(&client, &name).await?;
    if virtual_machine && image.kind == "container" {
        bail!("Image not found");
    }
    Ok(Source { remote, name, place: Place::Lxd(client), image })
}

/// The target fetches the image.
async fn pull(cx: &Cx, matches: &Matches, source: &Source, target: &Target) -> Result<()> {
    let mut from = json!({"type": "image", "mode": "pull", "image_type": source.image.kind});
    match &source.place {
        Place::Stream(_) => {
            let pinned = std::fs::read_to_string(cx.conf().server_certificate(&source.remote));
            from["server"] = json!(cx.remote(&source.remote)?.addr);
            from["protocol"] = json!("simplestreams");
            from["certificate"] = json!(pinned.unwrap_or_default());
            from["alias"] = json!(source.name);
        }
        Place::Lxd(client) => {
            let (server, certificate) = cx.reachable(&source.remote).await?;
            from["server"] = json!(server);
            from["protocol"] = json!("lxd");
            from["certificate"] = json!(certificate);
            from["fingerprint"] = json!(source.image.fingerprint);
            from["project"] = json!(client.project());
            if !source.image.public {
                from["secret"] = json!(secret(client, &source.image.fingerprint).await?);
            }
            if matches.is("auto-update") && source.image.aliases.iter().any(|alias| alias.name == source.name)
            {
                from["alias"] = json!(source.name);
            }
        }
    }
    let body = json!({
        "public": matches.is("public"), "auto_update": matches.is("auto-update"), "source": from,
    });
    let mut operation = target.client.start("POST", "/1.0/images", Some(&body)).await?;
    follow::wait(cx, &mut operation, LABEL).await
}

/// The source sends the image: the target makes a secret for it.
async fn push(cx: &Cx, matches: &Matches, source: &Source, target: &Target) -> Result<()> {
    let Place::Lxd(client) = &source.place else {
        bail!("A simplestreams server cannot send images: use --mode pull or --mode relay");
    };
    let image = &source.image;
    let body = json!({
        "public": matches.is("public"), "properties": image.properties, "expires_at": image.expires_at,
        "source": {"mode": "push", "fingerprint": image.fingerprint},
    });
    let token = target.client.start("POST", "/1.0/images", Some(&body)).await?;
    let sent = send(cx, client, image, target, &token).await;
    // A token that was used is gone by itself.
    let _ = token.cancel().await;
    sent
}

async fn send(cx: &Cx, client: &Client, image: &Image, target: &Target, token: &Operation) -> Result<()> {
    let (url, certificate) = cx.reachable(&target.remote).await?;
    let body = json!({
        "target": url, "certificate": certificate, "secret": secret_of(token)?,
        "project": target.client.project(),
    });
    let path = format!("/1.0/images/{}/export", image.fingerprint);
    let mut operation = client.start("POST", &path, Some(&body)).await?;
    follow::wait(cx, &mut operation, LABEL).await
}

/// The image goes through this client, without being kept here.
async fn relay(cx: &Cx, matches: &Matches, source: &Source, target: &Target) -> Result<()> {
    let image = &source.image;
    let present = target.client.get::<Image>(&format!("/1.0/images/{}", image.fingerprint)).await;
    if present.is_ok() {
        return Ok(());
    }
    let mut meter = Meter::new(cx, LABEL, u64::try_from(image.size).unwrap_or(0));
    let (content_type, body) = content(cx, source).await?;
    let properties: Vec<_> = image.properties.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let call = Call::new("POST", "/1.0/images")
        .header("content-type", &content_type)
        .header("x-lxd-fingerprint", &image.fingerprint)
        .header("x-lxd-filename", &image.filename)
        .header("x-lxd-public", if matches.is("public") { "true" } else { "false" })
        .header("x-lxd-properties", &import::query(&properties))
        .stream(body.inspect_ok(move |piece| meter.pass(piece.len())));
    let mut operation = target.client.start_call(call).await?;
    follow::wait(cx, &mut operation, LABEL).await
}

type Body = stream::BoxStream<'static, std::io::Result<Bytes>>;

/// The files of the image, as one body.
async fn content(cx: &Cx, source: &Source) -> Result<(String, Body)> {
    match &source.place {
        Place::Lxd(client) => {
            let path = format!("/1.0/images/{}/export", source.image.fingerprint);
            let reply = client.stream(Call::new("GET", &path)).await?;
            Ok((reply.header("content-type").to_owned(), pieces(reply).boxed()))
        }
        Place::Stream(image) if image.files.len() == 1 => {
            let reply = streams::open(cx, &source.remote, &image.files[0]).await?;
            Ok(("application/octet-stream".to_owned(), pieces(reply).boxed()))
        }
        Place::Stream(image) => {
            let boundary = format!("lxc{:032x}", upload::random());
            let root = if image.virtual_machine { "rootfs.img" } else { "rootfs" };
            let mut parts = Vec::new();
            for (file, field) in image.files.iter().zip(["metadata", root]) {
                let before = if parts.is_empty() { "" } else { "\r\n" };
                let head = import::form_head(&boundary, field, streams::name_of(file));
                parts.push(text(format!("{before}{head}")));
                parts.push(pieces(streams::open(cx, &source.remote, file).await?).boxed());
            }
            parts.push(text(format!("\r\n--{boundary}--\r\n")));
            let body = stream::iter(parts).flatten().boxed();
            Ok((format!("multipart/form-data; boundary={boundary}"), body))
        }
    }
}

fn text(text: String) -> Body {
    stream::once(async move { Ok(Bytes::from(text)) }).boxed()
}

fn pieces(reply: Reply) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    stream::try_unfold(reply, |mut reply| async move {
        let piece = reply.chunk().await.map_err(std::io::Error::other)?;
        Ok(piece.map(|piece| (piece, reply)))
    })
}

/// Gives the copy its aliases; one that another image had is taken from it.
async fn name_it(matches: &Matches, image: &Image, target: &Client) -> Result<()> {
    let named = |name: &String| ImageAlias { name: name.clone(), ..ImageAlias::default() };
    let mut aliases: Vec<ImageAlias> = matches.list("alias").iter().map(named).collect();
    if matches.is("copy-aliases") {
        let copied = image.aliases.iter().filter(|alias| !matches.list("alias").contains(&alias.name));
        aliases.extend(copied.cloned());
    }
    for alias in aliases {
        let url = format!("/1.0/images/aliases/{}", encode(&alias.name));
        if target.get::<ImageAliasesEntry>(&url).await.is_ok() {
            target.send::<Value>("DELETE", &url, None).await?;
        }
        let body = json!({
            "name": alias.name, "description": alias.description, "target": image.fingerprint, "type": image.kind,
        });
        target.send("POST", "/1.0/images/aliases", Some(&body)).await?;
    }
    Ok(())
}
