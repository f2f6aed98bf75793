//! `lxc profile`

mod device;
mod edit;
mod members;

use anyhow::Result;
use lxd_api::profile::{Profile, ProfilePut};
use lxd_client::encode;
use serde_json::json;

use super::entity::{Entity, key_commands, listed};
use crate::cli::{FORMAT, Matches, Spec, value};
use crate::cx::{Cx, Target};
use crate::output::Listing;

/// The group.
pub static SPEC: Spec = Spec {
    name: "profile",
    about: "Manage profiles",
    subs: &[
        &members::ADD,
        &members::ASSIGN,
        &COPY,
        &CREATE,
        &DELETE,
        &device::SPEC,
        &edit::SPEC,
        &GET,
        &LIST,
        &members::REMOVE,
        &RENAME,
        &SET,
        &SHOW,
        &UNSET,
    ],
    ..Spec::NEW
};

const PROFILE: &str = "[<remote>:]<profile>";

fn target(cx: &Cx, text: &str) -> Result<Target> {
    cx.named(text, "Missing profile name")
}

fn entity(target: &Target) -> Entity {
    Entity::new(&target.client, format!("/1.0/profiles/{}", target.segment()))
}

static CREATE: Spec = Spec {
    name: "create",
    args: PROFILE,
    about: "Make a profile",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(create(cx, m))),
    ..Spec::NEW
};

async fn create(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = target(cx, matches.arg(0))?;
    let body = json!({"name": target.name, "config": {}, "description": "", "devices": {}});
    target.client.send("POST", "/1.0/profiles", Some(&body)).await?;
    cx.say(format_args!("Profile {} created", target.name));
    Ok(())
}

static DELETE: Spec = Spec {
    name: "delete",
    aliases: &["rm"],
    args: PROFILE,
    about: "Remove a profile",
    count: (1, 1),
    run: Some(|cx, m| {
        Box::pin(async {
            let target = target(cx, m.arg(0))?;
            entity(&target).delete(cx, &format!("Profile {}", target.name)).await
        })
    }),
    ..Spec::NEW
};

static COPY: Spec = Spec {
    name: "copy",
    aliases: &["cp"],
    args: "[<remote>:]<profile> [<remote>:]<profile>",
    about: "Make a copy of a profile",
    flags: &[value("target-project", "Project of the copy")],
    count: (2, 2),
    run: Some(|cx, m| Box::pin(copy(cx, m))),
    ..Spec::NEW
};

async fn copy(cx: &Cx, matches: &Matches) -> Result<()> {
    let source = cx.named(matches.arg(0), "Missing source profile name")?;
    let target = cx.target(matches.arg(1))?;
    let profile: Profile = source.client.get(&format!("/1.0/profiles/{}", source.segment())).await?;
    let name = if target.name.is_empty() { &source.name } else { &target.name };
    let client = match matches.value("target-project") {
        "" => target.client.clone(),
        project => target.client.with_project(project),
    };
    let body = json!({
        "name": name,
        "config": profile.config,
        "description": profile.description,
        "devices": profile.devices,
    });
    client.send("POST", "/1.0/profiles", Some(&body)).await?;
    Ok(())
}

static RENAME: Spec = Spec {
    name: "rename",
    aliases: &["mv"],
    args: "[<remote>:]<profile> <new-name>",
    about: "Give a profile another name",
    count: (2, 2),
    run: Some(|cx, m| {
        Box::pin(async {
            let target = target(cx, m.arg(0))?;
            entity(&target).rename(cx, &format!("Profile {}", target.name), m.arg(1)).await
        })
    }),
    ..Spec::NEW
};

key_commands!(
    "profile", "[<remote>:]<profile>", ProfilePut, &[], get: print_key,
    |cx, m| read: entity(&target(cx, m.arg(0))?), write: entity(&target(cx, m.arg(0))?)
);

static SHOW: Spec = Spec {
    name: "show",
    args: PROFILE,
    about: "Print a profile as YAML",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(async { entity(&target(cx, m.arg(0))?).show::<Profile>().await })),
    ..Spec::NEW
};

static LIST: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    args: "[<remote>:]",
    about: "Print a table of every profile",
    flags: &[FORMAT],
    count: (0, 1),
    run: Some(|cx, m| Box::pin(list(cx, m))),
    ..Spec::NEW
};

async fn list(cx: &Cx, matches: &Matches) -> Result<()> {
    let (raw, profiles) = listed::<Profile>(cx, matches, "/1.0/profiles").await?;
    let mut listing = Listing::new(["NAME", "DESCRIPTION", "USED BY"]);
    for profile in &profiles {
        listing.row([profile.name.clone(), profile.description.clone(), profile.used_by.len().to_string()]);
    }
    listing.sort();
    listing.print(matches.value("format"), &raw, &profiles)
}

/// URL of an instance, for the commands that change its profiles.
fn instance_path(target: &Target) -> String {
    format!("/1.0/instances/{}", encode(&target.name))
}
