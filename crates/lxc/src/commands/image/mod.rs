//! `lxc image`

mod alias;
mod copy;
mod describe;
mod export;
mod import;
mod list;
mod properties;
mod streams;

use anyhow::{Result, bail};
use lxd_api::image::Image;
use lxd_client::Client;
use serde_json::Value;

use crate::cli::{Matches, Spec};
use crate::commands::entity::send;
use crate::commands::init::find_image;
use crate::cx::Cx;

pub use copy::secret;

/// The group.
pub static SPEC: Spec = Spec {
    name: "image",
    about: "Manage images",
    long: "Images are named by their fingerprint, or the beginning of it, or by an alias.",
    subs: &[
        &alias::SPEC,
        &copy::SPEC,
        &DELETE,
        &properties::EDIT,
        &export::SPEC,
        &properties::GET,
        &import::SPEC,
        &describe::INFO,
        &list::SPEC,
        &REFRESH,
        &properties::SET,
        &describe::SHOW,
        &properties::UNSET,
    ],
    ..Spec::NEW
};

const IMAGE: &str = "[<remote>:]<image>";
const IMAGES: &str = "[<remote>:]<image> [[<remote>:]<image>...]";

static DELETE: Spec = Spec {
    name: "delete",
    aliases: &["rm"],
    args: IMAGES,
    about: "Remove images",
    count: (1, usize::MAX),
    run: Some(|cx, m| Box::pin(delete(cx, m))),
    ..Spec::NEW
};

async fn delete(cx: &Cx, matches: &Matches) -> Result<()> {
    for arg in &matches.args {
        let target = cx.named(arg, "Image identifier missing")?;
        let image = find_image(&target.client, &target.name).await?;
        send(cx, &target.client, "DELETE", &path(&image.fingerprint), None).await?;
    }
    Ok(())
}

static REFRESH: Spec = Spec {
    name: "refresh",
    args: IMAGES,
    about: "Look for a newer version of images at their source",
    count: (1, usize::MAX),
    run: Some(|cx, m| Box::pin(refresh(cx, m))),
    ..Spec::NEW
};

async fn refresh(cx: &Cx, matches: &Matches) -> Result<()> {
    for arg in &matches.args {
        let target = cx.named(arg, "Image identifier missing")?;
        let image = find_image(&target.client, &target.name).await?;
        let path = format!("{}/refresh", path(&image.fingerprint));
        let operation = send(cx, &target.client, "POST", &path, None).await?;
        let refreshed = operation.state.metadata.get("refreshed").and_then(Value::as_bool).unwrap_or(false);
        println!("{}", if refreshed { "Image refreshed successfully!" } else { "Image already up to date." });
    }
    Ok(())
}

fn path(fingerprint: &str) -> String {
    format!("/1.0/images/{fingerprint}")
}

/// Server and name of an image that is only read: it may be on a public server.
fn readable(cx: &Cx, text: &str) -> Result<(Client, String)> {
    let (remote, name) = cx.split(text)?;
    if name.is_empty() {
        bail!("Image identifier missing");
    }
    Ok((cx.image_client(&remote)?, name))
}

/// An image that is only looked at: it may be on a server of any kind.
async fn look_at(cx: &Cx, matches: &Matches) -> Result<Image> {
    let (remote, name) = cx.split(matches.arg(0))?;
    if !cx.remote(&remote)?.is_image_server() {
        let (client, name) = readable(cx, matches.arg(0))?;
        return find_image(&client, &name).await;
    }
    let found = streams::find(cx, &remote, &name, matches.is("vm")).await?;
    Ok(found.as_listed(streams::native()?))
}
