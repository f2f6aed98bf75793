//! `lxc network forward`

use anyhow::{Result, bail};
use lxd_api::network_forward::{NetworkForward, NetworkForwardPort, NetworkForwardPut};
use lxd_client::encode;
use serde_json::{Value, json};

use super::{path, target};
use crate::cli::{FORMAT, Matches, Spec, TARGET, switch};
use crate::commands::entity::{Entity, key_commands};
use crate::cx::Cx;
use crate::keyvalue;
use crate::output::Listing;

/// The group.
pub static FORWARD: Spec = Spec {
    name: "forward",
    about: "Manage addresses that a network forwards",
    subs: &[&CREATE, &DELETE, &EDIT, &GET, &LIST, &PORT, &SET, &SHOW, &UNSET],
    ..Spec::NEW
};

const ONE: &str = "[<remote>:]<network> <listen_address>";

fn entity(cx: &Cx, matches: &Matches) -> Result<Entity> {
    let target = target(cx, matches)?;
    if matches.arg(1).is_empty() {
        bail!("Missing listen address");
    }
    Ok(Entity::new(&target.client, format!("{}/forwards/{}", path(&target), encode(matches.arg(1)))))
}

static CREATE: Spec = Spec {
    name: "create",
    args: "[<remote>:]<network> <listen_address> [key=value...]",
    about: "Make a network forward",
    flags: &[TARGET],
    count: (2, usize::MAX),
    run: Some(|cx, m| Box::pin(create(cx, m))),
    ..Spec::NEW
};

async fn create(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = target(cx, matches)?;
    let config = keyvalue::config(matches.rest(2), |word| format!("Bad key/value pair: {word}"))?;
    let address = matches.arg(1);
    let body = json!({"config": config, "description": "", "ports": [], "listen_address": address});
    target.client.send("POST", &format!("{}/forwards", path(&target)), Some(&body)).await?;
    cx.say(format_args!("Network forward {address} created"));
    Ok(())
}

static DELETE: Spec = Spec {
    name: "delete",
    aliases: &["rm"],
    args: ONE,
    about: "Remove a network forward",
    flags: &[TARGET],
    count: (2, 2),
    run: Some(|cx, m| {
        Box::pin(async { entity(cx, m)?.delete(cx, &format!("Network forward {}", m.arg(1))).await })
    }),
    ..Spec::NEW
};

key_commands!(
    "network forward", "[<remote>:]<network> <listen_address>", NetworkForwardPut, &[TARGET], get: print_set_key,
    |cx, m| read: entity(cx, m)?, write: entity(cx, m)?, key: 2
);

static SHOW: Spec = Spec {
    name: "show",
    args: ONE,
    about: "Print a network forward as YAML",
    flags: &[TARGET],
    count: (2, 2),
    run: Some(|cx, m| Box::pin(async { entity(cx, m)?.show::<NetworkForward>().await })),
    ..Spec::NEW
};

static EDIT: Spec = Spec {
    name: "edit",
    args: ONE,
    about: "Change a network forward as YAML, in the editor or from standard input",
    flags: &[TARGET],
    count: (2, 2),
    run: Some(|cx, m| Box::pin(edit(cx, m))),
    ..Spec::NEW
};

const HINT: &str = "A network forward as YAML. Lines that begin with a # are ignored.
It holds a default target address and port specifications; listen_address is shown but cannot be changed.
An example:

listen_address: 192.0.2.1
config:
  target_address: 198.51.100.2
description: test desc
ports:
- description: port forward
  protocol: tcp
  listen_port: 80,81,8080-8090
  target_address: 198.51.100.3
  target_port: 80,81,8080-8090";

async fn edit(cx: &Cx, matches: &Matches) -> Result<()> {
    entity(cx, matches)?.edit::<NetworkForward, NetworkForwardPut>(cx, HINT).await
}

static LIST: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    args: "[<remote>:]<network>",
    about: "Print a table of every network forward",
    flags: &[FORMAT],
    count: (1, 1),
    run: Some(|cx, m| Box::pin(list(cx, m))),
    ..Spec::NEW
};

async fn list(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = target(cx, matches)?;
    let url = format!("{}/forwards?recursion=1", path(&target));
    let raw = target.client.send::<Value>("GET", &url, None).await?;
    let forwards: Vec<NetworkForward> = lxd_api::from_value(raw.clone())?;
    let located = forwards.iter().any(|forward| !matches!(forward.location.as_str(), "" | "none"));
    let mut header = vec!["LISTEN ADDRESS", "DESCRIPTION", "DEFAULT TARGET ADDRESS", "PORTS"];
    if located {
        header.push("LOCATION");
    }
    let mut listing = Listing::new(header);
    for forward in &forwards {
        let mut row = vec![
            forward.listen_address.clone(),
            forward.description.clone(),
            forward.config.get("target_address").cloned().unwrap_or_default(),
            forward.ports.len().to_string(),
        ];
        if located {
            row.push(forward.location.clone());
        }
        listing.row(row);
    }
    listing.sort();
    listing.print(matches.value("format"), &raw, &forwards)
}

static PORT: Spec = Spec {
    name: "port",
    about: "Manage the ports of a network forward",
    subs: &[&PORT_ADD, &PORT_REMOVE],
    ..Spec::NEW
};

static PORT_ADD: Spec = Spec {
    name: "add",
    args: "[<remote>:]<network> <listen_address> <protocol> <listen_port(s)> <target_address> [<target_port(s)>]",
    about: "Put a new port entry of a network forward in place",
    flags: &[TARGET],
    count: (5, 6),
    run: Some(|cx, m| Box::pin(port_add(cx, m))),
    ..Spec::NEW
};

async fn port_add(cx: &Cx, matches: &Matches) -> Result<()> {
    let port = NetworkForwardPort {
        protocol: matches.arg(2).to_owned(),
        listen_port: matches.arg(3).to_owned(),
        target_address: matches.arg(4).to_owned(),
        target_port: matches.arg(5).to_owned(),
        ..NetworkForwardPort::default()
    };
    let port = serde_json::to_value(port)?;
    let add = |object: &mut Value| {
        match object["ports"].as_array_mut() {
            Some(ports) => ports.push(port),
            None => object["ports"] = json!([port]),
        }
        Ok(())
    };
    entity(cx, matches)?.change::<NetworkForwardPut>(cx, add).await
}

static PORT_REMOVE: Spec = Spec {
    name: "remove",
    args: "[<remote>:]<network> <listen_address> [<protocol>] [<listen_port(s)>]",
    about: "Take a port entry of a network forward away",
    flags: &[switch("force", "Remove all ports that match"), TARGET],
    count: (2, 4),
    run: Some(|cx, m| Box::pin(port_remove(cx, m))),
    ..Spec::NEW
};

async fn port_remove(cx: &Cx, matches: &Matches) -> Result<()> {
    let matching = |port: &Value| {
        let is = |member: &str, wanted: &str| wanted.is_empty() || port[member] == wanted;
        is("protocol", matches.arg(2)) && is("listen_port", matches.arg(3))
    };
    let remove = |object: &mut Value| {
        let ports = object["ports"].as_array().cloned().unwrap_or_default();
        let (gone, left): (Vec<Value>, Vec<Value>) = ports.into_iter().partition(matching);
        if gone.is_empty() {
            bail!("No matching port(s) found");
        }
        if gone.len() > 1 && !matches.is("force") {
            bail!("Multiple ports match. Use --force to remove them all");
        }
        object["ports"] = json!(left);
        Ok(())
    };
    entity(cx, matches)?.change::<NetworkForwardPut>(cx, remove).await
}
