//! `lxc profile add`, `assign` and `remove`: the profiles of an instance.

use anyhow::{Result, bail};
use lxd_api::instance::InstancePut;
use serde_json::json;

use crate::cli::{Matches, Spec};
use crate::commands::entity::Entity;
use crate::cx::Cx;

/// `lxc profile add`
pub static ADD: Spec = Spec {
    name: "add",
    args: "[<remote>:]<instance> <profile>",
    about: "Add a profile to an instance",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(add(cx, m))),
    ..Spec::NEW
};

/// `lxc profile assign`
pub static ASSIGN: Spec = Spec {
    name: "assign",
    aliases: &["apply"],
    args: "[<remote>:]<instance> <profiles>",
    about: "Set the list of profiles of an instance",
    examples: "  lxc profile assign foo default,bar\n      The profiles default and bar.\n\n  lxc profile assign foo ''\n      No profile.",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(assign(cx, m))),
    ..Spec::NEW
};

/// `lxc profile remove`
pub static REMOVE: Spec = Spec {
    name: "remove",
    args: "[<remote>:]<instance> <profile>",
    about: "Take a profile away from an instance",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(remove(cx, m))),
    ..Spec::NEW
};

async fn add(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.named(matches.arg(0), "Missing instance name")?;
    let entity = Entity::new(&target.client, super::instance_path(&target));
    entity
        .change::<InstancePut>(cx, |instance| {
            if let Some(profiles) = instance["profiles"].as_array_mut() {
                profiles.push(json!(matches.arg(1)));
            }
            Ok(())
        })
        .await?;
    if !cx.quiet {
        println!("Profile {} added to {}", matches.arg(1), target.name);
    }
    Ok(())
}

async fn assign(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.named(matches.arg(0), "Missing instance name")?;
    let names: Vec<&str> = matches.arg(1).split(',').filter(|name| !name.is_empty()).collect();
    let entity = Entity::new(&target.client, super::instance_path(&target));
    entity
        .change::<InstancePut>(cx, |instance| {
            instance["profiles"] = json!(names);
            Ok(())
        })
        .await?;
    if !cx.quiet {
        let shown = if matches.arg(1).is_empty() { "(none)" } else { matches.arg(1) };
        println!("Profiles {shown} applied to {}", target.name);
    }
    Ok(())
}

async fn remove(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.named(matches.arg(0), "Missing instance name")?;
    let entity = Entity::new(&target.client, super::instance_path(&target));
    entity
        .change::<InstancePut>(cx, |instance| {
            let Some(profiles) = instance["profiles"].as_array_mut() else { return Ok(()) };
            let before = profiles.len();
            profiles.retain(|profile| profile != matches.arg(1));
            if profiles.len() == before {
                bail!("Profile {} isn't currently applied to {}", matches.arg(1), target.name);
            }
            Ok(())
        })
        .await?;
    if !cx.quiet {
        println!("Profile {} removed from {}", matches.arg(1), target.name);
    }
    Ok(())
}
