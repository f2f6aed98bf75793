//! `lxc project`

mod edit;
mod info;
mod list;
mod switch;

use anyhow::Result;
use lxd_api::project::{Project, ProjectPut};
use serde_json::json;

use super::entity::{Entity, key_commands};
use crate::cli::{Matches, Spec, list as many};
use crate::cx::{Cx, Target};
use crate::keyvalue;

/// The group.
pub static SPEC: Spec = Spec {
    name: "project",
    about: "Manage projects",
    subs: &[
        &CREATE,
        &DELETE,
        &edit::SPEC,
        &GET,
        &info::SPEC,
        &list::SPEC,
        &RENAME,
        &SET,
        &SHOW,
        &switch::SPEC,
        &UNSET,
    ],
    ..Spec::NEW
};

const PROJECT: &str = "[<remote>:]<project>";

fn target(cx: &Cx, text: &str) -> Result<Target> {
    cx.named(text, "Missing project name")
}

fn entity(target: &Target) -> Entity {
    Entity::new(&target.client, path(target))
}

fn path(target: &Target) -> String {
    format!("/1.0/projects/{}", target.segment())
}

static CREATE: Spec = Spec {
    name: "create",
    args: PROJECT,
    about: "Make a project",
    flags: &[many("config", "Configuration key of the project").short('c')],
    count: (1, 1),
    run: Some(|cx, m| Box::pin(create(cx, m))),
    ..Spec::NEW
};

async fn create(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = target(cx, matches.arg(0))?;
    let config =
        keyvalue::config(matches.list("config"), |setting| format!("Bad key=value pair: {setting:?}"))?;
    let body = json!({"name": target.name, "config": config, "description": ""});
    target.client.send("POST", "/1.0/projects", Some(&body)).await?;
    cx.say(format_args!("Project {} created", target.name));
    Ok(())
}

static DELETE: Spec = Spec {
    name: "delete",
    aliases: &["rm"],
    args: PROJECT,
    about: "Remove a project",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(delete(cx, m))),
    ..Spec::NEW
};

async fn delete(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = target(cx, matches.arg(0))?;
    entity(&target).delete(cx, &format!("Project {}", target.name)).await?;
    // Who worked in it goes on in the project that always exists.
    let mut conf = cx.conf_mut();
    match conf.remotes.get_mut(&target.remote) {
        Some(remote) if remote.project == target.name => {
            remote.project.clear();
            conf.save()
        }
        _ => Ok(()),
    }
}

static RENAME: Spec = Spec {
    name: "rename",
    aliases: &["mv"],
    args: "[<remote>:]<project> <new-name>",
    about: "Give a project another name",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(rename(cx, m))),
    ..Spec::NEW
};

async fn rename(cx: &Cx, matches: &Matches) -> Result<()> {
    let (target, new) = (target(cx, matches.arg(0))?, matches.arg(1));
    entity(&target).rename(cx, &format!("Project {}", target.name), new).await?;
    let mut conf = cx.conf_mut();
    match conf.remotes.get_mut(&target.remote) {
        Some(remote) if remote.project == target.name => {
            new.clone_into(&mut remote.project);
            conf.save()
        }
        _ => Ok(()),
    }
}

key_commands!(
    "project", "[<remote>:]<project>", ProjectPut, &[], get: print_key,
    |cx, m| read: entity(&target(cx, m.arg(0))?), write: entity(&target(cx, m.arg(0))?)
);

static SHOW: Spec = Spec {
    name: "show",
    args: PROJECT,
    about: "Print a project as YAML",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(async { entity(&target(cx, m.arg(0))?).show::<Project>().await })),
    ..Spec::NEW
};
