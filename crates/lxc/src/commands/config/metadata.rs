//! `lxc config metadata`

use anyhow::Result;
use lxd_api::image::ImageMetadata;

use crate::cli::Spec;
use crate::commands::entity::Entity;
use crate::cx::Cx;

/// The group.
pub static SPEC: Spec = Spec {
    name: "metadata",
    about: "Manage the image metadata kept in instances",
    subs: &[&EDIT, &SHOW],
    ..Spec::NEW
};

static SHOW: Spec = Spec {
    name: "show",
    args: "[<remote>:]<instance>",
    about: "Print the image metadata kept in an instance",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(async { entity(cx, m.arg(0))?.show::<ImageMetadata>().await })),
    ..Spec::NEW
};

static EDIT: Spec = Spec {
    name: "edit",
    args: "[<remote>:]<instance>",
    about: "Edit the image metadata kept in an instance",
    count: (1, 1),
    run: Some(|cx, m| {
        Box::pin(async { entity(cx, m.arg(0))?.edit::<ImageMetadata, ImageMetadata>(cx, HINT).await })
    }),
    ..Spec::NEW
};

const HINT: &str = "The metadata of the instance's image as YAML. Lines that begin with a # are ignored.";

fn entity(cx: &Cx, text: &str) -> Result<Entity> {
    let target = cx.named(text, "Missing instance name")?;
    Ok(Entity::new(&target.client, format!("/1.0/instances/{}/metadata", target.segment())))
}
