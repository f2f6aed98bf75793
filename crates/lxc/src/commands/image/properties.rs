//! `lxc image edit`, `get-property`, `set-property`, `unset-property`

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use lxd_api::Timestamp;
use lxd_api::image::ImagePut;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cli::{Matches, Spec};
use crate::commands::entity::Entity;
use crate::commands::init::find_image;
use crate::cx::Cx;

/// `lxc image edit`
pub static EDIT: Spec = Spec {
    name: "edit",
    args: super::IMAGE,
    about: "Edit the properties of an image as YAML",
    examples: "  lxc image edit <image> < image.yaml\n      With the content of image.yaml.",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(async { entity(cx, m).await?.edit::<ImagePut, Edited>(cx, HINT).await })),
    ..Spec::NEW
};

/// What is sent: a document that does not name profiles keeps those of the image.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Edited {
    auto_update: bool,
    properties: BTreeMap<String, String>,
    public: bool,
    expires_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    profiles: Option<Vec<String>>,
}

const HINT: &str = "The properties of an image as YAML. Lines that begin with a # are ignored.
An example:

description: My custom image
architecture: x86_64";

/// `lxc image get-property`
pub static GET: Spec = Spec {
    name: "get-property",
    args: "[<remote>:]<image> <key>",
    about: "Print one property of an image",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(get(cx, m))),
    ..Spec::NEW
};

/// `lxc image set-property`
pub static SET: Spec = Spec {
    name: "set-property",
    args: "[<remote>:]<image> <key> <value>",
    about: "Set a property of an image",
    count: (3, 3),
    run: Some(|cx, m| Box::pin(set(cx, m))),
    ..Spec::NEW
};

/// `lxc image unset-property`
pub static UNSET: Spec = Spec {
    name: "unset-property",
    args: "[<remote>:]<image> <key>",
    about: "Drop a property of an image",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(unset(cx, m))),
    ..Spec::NEW
};

async fn entity(cx: &Cx, matches: &Matches) -> Result<Entity> {
    let target = cx.named(matches.arg(0), "Image identifier missing")?;
    let image = find_image(&target.client, &target.name).await?;
    Ok(Entity::new(&target.client, super::path(&image.fingerprint)))
}

async fn get(cx: &Cx, matches: &Matches) -> Result<()> {
    let (client, name) = super::readable(cx, matches.arg(0))?;
    let image = find_image(&client, &name).await?;
    let Some(value) = image.properties.get(matches.arg(1)) else { bail!("Property not found") };
    println!("{value}");
    Ok(())
}

async fn set(cx: &Cx, matches: &Matches) -> Result<()> {
    let set = |image: &mut serde_json::Value| {
        image["properties"][matches.arg(1)] = json!(matches.arg(2));
        Ok(())
    };
    entity(cx, matches).await?.change::<ImagePut>(cx, set).await
}

async fn unset(cx: &Cx, matches: &Matches) -> Result<()> {
    let unset = |image: &mut serde_json::Value| {
        if let Some(properties) = image["properties"].as_object_mut() {
            properties.shift_remove(matches.arg(1));
        }
        Ok(())
    };
    entity(cx, matches).await?.change::<ImagePut>(cx, unset).await
}
