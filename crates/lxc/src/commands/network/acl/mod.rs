//! `lxc network acl`

mod rule;

use anyhow::Result;
use lxd_api::network_acl::{NetworkAcl, NetworkAclPut};
use serde_json::{Value, json};

use crate::cli::{FORMAT, Matches, Spec};
use crate::commands::entity::{Entity, key_commands, listed};
use crate::cx::{Cx, Target};
use crate::output::Listing;
use crate::{editor, keyvalue, stdin};

/// The group.
pub static SPEC: Spec = Spec {
    name: "acl",
    about: "Manage network ACLs",
    subs: &[&CREATE, &DELETE, &EDIT, &GET, &LIST, &RENAME, &rule::SPEC, &SET, &SHOW, &SHOW_LOG, &UNSET],
    ..Spec::NEW
};

const ACL: &str = "[<remote>:]<ACL>";

fn target(cx: &Cx, matches: &Matches) -> Result<Target> {
    cx.named(matches.arg(0), "Missing network ACL name")
}

fn path(target: &Target) -> String {
    format!("/1.0/network-acls/{}", target.segment())
}

fn entity(cx: &Cx, matches: &Matches) -> Result<Entity> {
    let target = target(cx, matches)?;
    Ok(Entity::new(&target.client, path(&target)))
}

/// As messages name it.
fn what(cx: &Cx, matches: &Matches) -> Result<String> {
    Ok(format!("Network ACL {}", target(cx, matches)?.name))
}

static CREATE: Spec = Spec {
    name: "create",
    args: "[<remote>:]<ACL> [key=value...]",
    about: "Make a network ACL",
    examples: "  lxc network acl create web < web.yaml\n      With the rules of web.yaml.",
    count: (1, usize::MAX),
    run: Some(|cx, m| Box::pin(create(cx, m))),
    ..Spec::NEW
};

async fn create(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = target(cx, matches)?;
    let fields: NetworkAclPut = match stdin::is_terminal() {
        true => NetworkAclPut::default(),
        false => editor::from_yaml(&stdin::read_all()?)?,
    };
    let mut body = serde_json::to_value(fields)?;
    body["name"] = json!(target.name);
    for (key, value) in keyvalue::config(matches.rest(1), |word| format!("Bad key/value pair: {word}"))? {
        body["config"][key] = value;
    }
    target.client.send("POST", "/1.0/network-acls", Some(&body)).await?;
    cx.say(format_args!("Network ACL {} created", target.name));
    Ok(())
}

static DELETE: Spec = Spec {
    name: "delete",
    aliases: &["rm"],
    args: ACL,
    about: "Remove a network ACL",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(async { entity(cx, m)?.delete(cx, &what(cx, m)?).await })),
    ..Spec::NEW
};

static RENAME: Spec = Spec {
    name: "rename",
    aliases: &["mv"],
    args: "[<remote>:]<ACL> <new-name>",
    about: "Give a network ACL another name",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(async { entity(cx, m)?.rename(cx, &what(cx, m)?, m.arg(1)).await })),
    ..Spec::NEW
};

key_commands!(
    "network ACL", "[<remote>:]<ACL>", NetworkAclPut, &[], get: print_set_key,
    |cx, m| read: entity(cx, m)?, write: entity(cx, m)?
);

static SHOW: Spec = Spec {
    name: "show",
    args: ACL,
    about: "Print a network ACL as YAML",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(async { entity(cx, m)?.show::<NetworkAcl>().await })),
    ..Spec::NEW
};

static SHOW_LOG: Spec = Spec {
    name: "show-log",
    args: ACL,
    about: "Print the log of a network ACL",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(show_log(cx, m))),
    ..Spec::NEW
};

async fn show_log(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = target(cx, matches)?;
    let log = target.client.send::<Value>("GET", &format!("{}/log", path(&target)), None).await?;
    println!("{}", crate::commands::entity::text_of(Some(&log)));
    Ok(())
}

static EDIT: Spec = Spec {
    name: "edit",
    args: ACL,
    about: "Change a network ACL as YAML, in the editor or from standard input",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(async { entity(cx, m)?.edit::<NetworkAcl, NetworkAclPut>(cx, HINT).await })),
    ..Spec::NEW
};

const HINT: &str = "A network ACL as YAML. Lines that begin with a # are ignored.
It holds rules for both directions and configuration keys; the name is shown but cannot be changed.
An example:

name: allow-all-inbound
description: test desc
egress: []
ingress:
- action: allow
  state: enabled
  protocol: \"\"
  source: \"\"
  source_port: \"\"
  destination: \"\"
  destination_port: \"\"
  icmp_type: \"\"
  icmp_code: \"\"
config:
  user.foo: bah";

static LIST: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    args: "[<remote>:]",
    about: "Print a table of every network ACL",
    flags: &[FORMAT],
    count: (0, 1),
    run: Some(|cx, m| Box::pin(list(cx, m))),
    ..Spec::NEW
};

async fn list(cx: &Cx, matches: &Matches) -> Result<()> {
    let (raw, acls) = listed::<NetworkAcl>(cx, matches, "/1.0/network-acls").await?;
    let mut listing = Listing::new(["NAME", "DESCRIPTION", "USED BY"]);
    for acl in &acls {
        listing.row([acl.name.clone(), acl.description.clone(), acl.used_by.len().to_string()]);
    }
    listing.sort();
    listing.print(matches.value("format"), &raw, &acls)
}
