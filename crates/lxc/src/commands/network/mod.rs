//! `lxc network`

mod acl;
mod attach;
mod describe;
mod forward;

use anyhow::{Result, bail};
use lxd_api::network::{Network, NetworkLease, NetworkPut};
use serde_json::{Value, json};

use super::entity::{Entity, key_commands, listed};
use crate::cli::{FORMAT, Matches, Spec, TARGET, value};
use crate::cx::{Cx, Target};
use crate::keyvalue;
use crate::output::Listing;

/// The group.
pub static SPEC: Spec = Spec {
    name: "network",
    about: "Manage networks and attach instances to them",
    subs: &[
        &acl::SPEC,
        &attach::ATTACH,
        &attach::ATTACH_PROFILE,
        &CREATE,
        &DELETE,
        &attach::DETACH,
        &attach::DETACH_PROFILE,
        &EDIT,
        &forward::FORWARD,
        &GET,
        &describe::INFO,
        &LIST,
        &LEASES,
        &RENAME,
        &SET,
        &SHOW,
        &UNSET,
    ],
    ..Spec::NEW
};

const NETWORK: &str = "[<remote>:]<network>";

fn target(cx: &Cx, matches: &Matches) -> Result<Target> {
    let mut target = cx.named(matches.arg(0), "Missing network name")?;
    target.client = target.client.with_target(matches.value("target"));
    Ok(target)
}

fn path(target: &Target) -> String {
    format!("/1.0/networks/{}", target.segment())
}

/// A network to be changed: not an interface that only happens to be there.
async fn managed(cx: &Cx, matches: &Matches) -> Result<Entity> {
    let target = target(cx, matches)?;
    let network: Network = target.client.get(&path(&target)).await?;
    if !network.managed {
        bail!("Only managed networks can be modified");
    }
    Ok(Entity::new(&target.client, path(&target)))
}

fn entity(cx: &Cx, matches: &Matches) -> Result<Entity> {
    let target = target(cx, matches)?;
    Ok(Entity::new(&target.client, path(&target)))
}

/// As messages name it.
fn what(cx: &Cx, matches: &Matches) -> Result<String> {
    Ok(format!("Network {}", target(cx, matches)?.name))
}

static CREATE: Spec = Spec {
    name: "create",
    args: "[<remote>:]<network> [key=value...]",
    about: "Make a network",
    examples: "  lxc network create foo\n      A bridge.\n\n  lxc network create bar network=baz --type ovn\n      An OVN network with baz as its uplink.",
    flags: &[TARGET, value("type", "Type of the network").short('t')],
    count: (1, usize::MAX),
    run: Some(|cx, m| Box::pin(create(cx, m))),
    ..Spec::NEW
};

async fn create(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = target(cx, matches)?;
    let config = keyvalue::config(matches.rest(1), |word| format!("Bad key/value pair: {word}"))?;
    let body =
        json!({"config": config, "description": "", "name": target.name, "type": matches.value("type")});
    target.client.send("POST", "/1.0/networks", Some(&body)).await?;
    match matches.value("target") {
        "" => cx.say(format_args!("Network {} created", target.name)),
        member => cx.say(format_args!("Network {} pending on member {member}", target.name)),
    }
    Ok(())
}

static DELETE: Spec = Spec {
    name: "delete",
    aliases: &["rm"],
    args: NETWORK,
    about: "Remove a network",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(async { entity(cx, m)?.delete(cx, &what(cx, m)?).await })),
    ..Spec::NEW
};

static RENAME: Spec = Spec {
    name: "rename",
    aliases: &["mv"],
    args: "[<remote>:]<network> <new-name>",
    about: "Give a network another name",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(async { entity(cx, m)?.rename(cx, &what(cx, m)?, m.arg(1)).await })),
    ..Spec::NEW
};

key_commands!(
    "network", "[<remote>:]<network>", NetworkPut, &[TARGET], get: print_set_key,
    |cx, m| read: entity(cx, m)?, write: managed(cx, m).await?
);

static EDIT: Spec = Spec {
    name: "edit",
    args: NETWORK,
    about: "Change a network as YAML, in the editor or from standard input",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(edit(cx, m))),
    ..Spec::NEW
};

const HINT: &str = "A network as YAML. Lines that begin with a # are ignored.
It holds configuration keys; name, used_by and the like are shown but cannot be changed.
An example:

name: lxdbr0
config:
  ipv4.address: 10.62.42.1/24
  ipv4.nat: true
  ipv6.address: fd00:56ad:9f7a:9800::1/64
  ipv6.nat: true
managed: true
type: bridge";

async fn edit(cx: &Cx, matches: &Matches) -> Result<()> {
    managed(cx, matches).await?.edit::<Network, NetworkPut>(cx, HINT).await
}

static SHOW: Spec = Spec {
    name: "show",
    args: NETWORK,
    about: "Print a network as YAML",
    flags: &[TARGET],
    count: (1, 1),
    run: Some(|cx, m| Box::pin(show(cx, m))),
    ..Spec::NEW
};

async fn show(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = target(cx, matches)?;
    let mut network: Network = target.client.get(&path(&target)).await?;
    network.used_by.sort();
    crate::output::print_yaml(&network)
}

static LIST: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    args: "[<remote>:]",
    about: "Print a table of every network",
    flags: &[FORMAT],
    count: (0, 1),
    run: Some(|cx, m| Box::pin(list(cx, m))),
    ..Spec::NEW
};

async fn list(cx: &Cx, matches: &Matches) -> Result<()> {
    let (raw, networks) = listed::<Network>(cx, matches, "/1.0/networks").await?;
    let mut listing =
        Listing::new(["NAME", "TYPE", "MANAGED", "IPV4", "IPV6", "DESCRIPTION", "USED BY", "STATE"]);
    for network in networks.iter().filter(|network| !matches!(network.kind.as_str(), "loopback" | "unknown"))
    {
        let key = |name: &str| network.config.get(name).cloned().unwrap_or_default();
        listing.row([
            network.name.clone(),
            network.kind.clone(),
            if network.managed { "YES" } else { "NO" }.to_owned(),
            key("ipv4.address"),
            key("ipv6.address"),
            network.description.clone(),
            network.used_by.len().to_string(),
            network.status.to_uppercase(),
        ]);
    }
    listing.sort();
    listing.print(matches.value("format"), &raw, &networks)
}

static LEASES: Spec = Spec {
    name: "list-leases",
    args: NETWORK,
    about: "Print the DHCP leases of a network",
    flags: &[FORMAT],
    count: (1, 1),
    run: Some(|cx, m| Box::pin(leases(cx, m))),
    ..Spec::NEW
};

async fn leases(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = target(cx, matches)?;
    let raw = target.client.send::<Value>("GET", &format!("{}/leases", path(&target)), None).await?;
    let leases: Vec<NetworkLease> = lxd_api::from_value(raw.clone())?;
    let located = leases.iter().any(|lease| !matches!(lease.location.as_str(), "" | "none"));
    let mut header = vec!["HOSTNAME", "MAC ADDRESS", "IP ADDRESS", "TYPE"];
    if located {
        header.push("LOCATION");
    }
    let mut listing = Listing::new(header);
    for lease in &leases {
        let mut row = vec![
            lease.hostname.clone(),
            lease.hwaddr.clone(),
            lease.address.clone(),
            lease.kind.to_uppercase(),
        ];
        if located {
            row.push(lease.location.clone());
        }
        listing.row(row);
    }
    listing.sort();
    listing.print(matches.value("format"), &raw, &leases)
}
