//! `lxc image alias`

use anyhow::Result;
use lxd_api::image::ImageAliasesEntry;
use serde_json::{Value, json};

use super::streams;
use crate::cli::{FORMAT, Matches, Spec};
use crate::commands::init::find_image;
use crate::cx::Cx;
use crate::output::Listing;

/// The group.
pub static SPEC: Spec = Spec {
    name: "alias",
    about: "Manage image aliases",
    subs: &[&CREATE, &DELETE, &LIST, &RENAME],
    ..Spec::NEW
};

static CREATE: Spec = Spec {
    name: "create",
    args: "[<remote>:]<alias> <fingerprint>",
    about: "Make an image alias",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(create(cx, m))),
    ..Spec::NEW
};

async fn create(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.named(matches.arg(0), "Alias name missing")?;
    let image = find_image(&target.client, matches.arg(1)).await?;
    let body =
        json!({"description": "", "target": image.fingerprint, "name": target.name, "type": image.kind});
    target.client.send("POST", "/1.0/images/aliases", Some(&body)).await?;
    Ok(())
}

static DELETE: Spec = Spec {
    name: "delete",
    aliases: &["rm"],
    args: "[<remote>:]<alias>",
    about: "Remove an image alias",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(delete(cx, m))),
    ..Spec::NEW
};

async fn delete(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.named(matches.arg(0), "Alias name missing")?;
    target.client.send::<Value>("DELETE", &format!("/1.0/images/aliases/{}", target.segment()), None).await?;
    Ok(())
}

static RENAME: Spec = Spec {
    name: "rename",
    aliases: &["mv"],
    args: "[<remote>:]<alias> <new-name>",
    about: "Give an image alias another name",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(rename(cx, m))),
    ..Spec::NEW
};

async fn rename(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.named(matches.arg(0), "Alias name missing")?;
    let body = json!({"name": matches.arg(1)});
    target.client.send("POST", &format!("/1.0/images/aliases/{}", target.segment()), Some(&body)).await?;
    Ok(())
}

static LIST: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    args: "[<remote>:] [<filters>...]",
    about: "Print a table of every image alias",
    long: "Filters are parts of an alias's name or the beginning of a fingerprint.",
    flags: &[FORMAT],
    run: Some(|cx, m| Box::pin(list(cx, m))),
    ..Spec::NEW
};

async fn list(cx: &Cx, matches: &Matches) -> Result<()> {
    let (remote, filters) = super::list::remote_and_filters(cx, matches)?;
    let raw = match cx.remote(&remote)?.is_image_server() {
        true => serde_json::to_value(streams::aliases(cx, &remote).await?)?,
        false => {
            let client = cx.image_client(&remote)?;
            client.send::<Value>("GET", "/1.0/images/aliases?recursion=1", None).await?
        }
    };
    let aliases: Vec<ImageAliasesEntry> = lxd_api::from_value(raw.clone())?;
    let mut listing = Listing::new(["ALIAS", "FINGERPRINT", "TYPE", "DESCRIPTION"]);
    let holds = |alias: &&ImageAliasesEntry| {
        filters
            .iter()
            .all(|filter| alias.name.contains(filter.as_str()) || alias.target.starts_with(filter.as_str()))
    };
    for alias in aliases.iter().filter(holds) {
        let fingerprint: String = alias.target.chars().take(12).collect();
        let kind = if alias.kind.is_empty() { "container" } else { &alias.kind };
        listing.row([alias.name.clone(), fingerprint, kind.to_uppercase(), alias.description.clone()]);
    }
    listing.sort();
    listing.print(matches.value("format"), &raw, &aliases)
}
