//! `lxc config get`, `set`, `unset`, `show` and `edit`: keys of an instance, a snapshot or the server.

use anyhow::{Result, bail};
use lxd_api::instance::{Instance, InstancePut, InstanceSnapshot, InstanceSnapshotPut};
use lxd_api::server::ServerPut;
use lxd_client::{Client, encode};
use serde_json::Value;

use crate::cli::{Matches, Spec, TARGET, switch};
use crate::commands::entity::{Entity, text_of};
use crate::cx::{Cx, Target};
use crate::output;

/// `lxc config get`
pub static GET: Spec = Spec {
    name: "get",
    args: "[<remote>:][<instance>] <key>",
    about: "Print one key of an instance or of the server",
    flags: &[EXPANDED, TARGET],
    count: (1, 2),
    run: Some(|cx, m| Box::pin(get(cx, m))),
    ..Spec::NEW
};

/// `lxc config set`
pub static SET: Spec = Spec {
    name: "set",
    args: "[<remote>:][<instance>] <key>=<value>...",
    about: "Set keys of an instance or of the server",
    examples: "  lxc config set [<remote>:]<instance> limits.cpu=2\n      A limit of 2 CPUs for the instance.\n\n  lxc config set core.https_address=[::]:8443\n      The server listens on IPv4 and IPv6, port 8443.",
    flags: &[TARGET],
    count: (1, usize::MAX),
    run: Some(|cx, m| Box::pin(set(cx, m))),
    ..Spec::NEW
};

/// `lxc config unset`
pub static UNSET: Spec = Spec {
    name: "unset",
    args: "[<remote>:][<instance>] <key>",
    about: "Drop a key of an instance or of the server",
    flags: &[TARGET],
    count: (1, 2),
    run: Some(|cx, m| Box::pin(unset(cx, m))),
    ..Spec::NEW
};

/// `lxc config show`
pub static SHOW: Spec = Spec {
    name: "show",
    args: "[<remote>:][<instance>[/<snapshot>]]",
    about: "Print the configuration of an instance or of the server as YAML",
    flags: &[EXPANDED, TARGET],
    count: (0, 1),
    run: Some(|cx, m| Box::pin(show(cx, m))),
    ..Spec::NEW
};

/// `lxc config edit`
pub static EDIT: Spec = Spec {
    name: "edit",
    args: "[<remote>:][<instance>[/<snapshot>]]",
    about: "Edit the configuration of an instance or of the server as YAML",
    examples: "  lxc config edit <instance> < instance.yaml\n      With the content of instance.yaml.",
    flags: &[TARGET],
    count: (0, 1),
    run: Some(|cx, m| Box::pin(edit(cx, m))),
    ..Spec::NEW
};

const EXPANDED: crate::cli::Flag = switch("expanded", "With the keys and devices of the profiles").short('e');

fn server(target: &Target, matches: &Matches) -> (Client, Entity) {
    let client = target.client.with_target(matches.value("target"));
    let entity = Entity::new(&client, "/1.0".to_owned());
    (client, entity)
}

/// The instance that the first argument names, unless only a key (or nothing) is given.
fn place(cx: &Cx, matches: &Matches, words: usize) -> Result<Target> {
    let first = if matches.args.len() >= words { matches.arg(0) } else { "" };
    let target = cx.target(first)?;
    if !target.name.is_empty() && matches.given("target") {
        bail!("--target cannot be used with instances");
    }
    Ok(target)
}

fn path(target: &Target) -> String {
    match target.name.split_once('/') {
        Some((instance, snapshot)) => {
            format!("/1.0/instances/{}/snapshots/{}", encode(instance), encode(snapshot))
        }
        None => format!("/1.0/instances/{}", target.segment()),
    }
}

async fn get(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = place(cx, matches, 2)?;
    let key = matches.args.last().map_or("", String::as_str);
    if target.name.is_empty() {
        if matches.is("expanded") {
            bail!("--expanded cannot be used with a server");
        }
        return server(&target, matches).1.print_key(key).await;
    }
    let value: Value = target.client.get(&path(&target)).await?;
    let config = if matches.is("expanded") { "expanded_config" } else { "config" };
    println!("{}", text_of(value.get(config).and_then(|config| config.get(key))));
    Ok(())
}

/// True when the words have no instance: `key=value …`, or the old form `key value`.
fn is_server_form(cx: &Cx, words: &[String]) -> Result<bool> {
    let Some(first) = words.first() else { return Ok(true) };
    if first.contains('=') || words.len() == 2 && !words[1].contains('=') {
        return Ok(true);
    }
    Ok(cx.split(first)?.1.is_empty())
}

async fn set(cx: &Cx, matches: &Matches) -> Result<()> {
    let words = &matches.args;
    if is_server_form(cx, words)? {
        let named_remote = words.first().is_some_and(|word| word.ends_with(':'));
        let target = cx.target(if named_remote { &words[0] } else { "" })?;
        let words = if named_remote { &words[1..] } else { &words[..] };
        if words.is_empty() {
            bail!("Invalid number of arguments");
        }
        return server(&target, matches).1.set::<ServerPut>(cx, words).await;
    }
    let target = place(cx, matches, 1)?;
    if words.len() < 2 {
        bail!("Invalid number of arguments");
    }
    Entity::new(&target.client, path(&target)).set::<InstancePut>(cx, &words[1..]).await
}

async fn unset(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = place(cx, matches, 2)?;
    let key = matches.args.last().map_or("", String::as_str);
    if target.name.is_empty() {
        return server(&target, matches).1.unset_loosely::<ServerPut>(cx, key).await;
    }
    Entity::new(&target.client, path(&target)).unset::<InstancePut>(cx, key).await
}

async fn show(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = place(cx, matches, 1)?;
    if target.name.is_empty() {
        if matches.is("expanded") {
            bail!("--expanded cannot be used with a server");
        }
        let put: ServerPut = server(&target, matches).0.get("/1.0").await?;
        return output::print_yaml(&put);
    }
    if target.name.contains('/') {
        let mut snapshot: InstanceSnapshot = target.client.get(&path(&target)).await?;
        if matches.is("expanded") {
            snapshot.config.clone_from(&snapshot.expanded_config);
            snapshot.devices.clone_from(&snapshot.expanded_devices);
        }
        return output::print_yaml(&snapshot);
    }
    let instance: Instance = target.client.get(&path(&target)).await?;
    output::print_yaml(&writable(instance, matches.is("expanded")))
}

fn writable(instance: Instance, expanded: bool) -> InstancePut {
    let (config, devices) = if expanded {
        (instance.expanded_config, instance.expanded_devices)
    } else {
        (instance.config, instance.devices)
    };
    InstancePut {
        architecture: instance.architecture,
        config,
        devices,
        ephemeral: instance.ephemeral,
        profiles: instance.profiles,
        restore: instance.restore,
        stateful: instance.stateful,
        description: instance.description,
    }
}

async fn edit(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = place(cx, matches, 1)?;
    if target.name.is_empty() {
        return server(&target, matches).1.edit::<ServerPut, ServerPut>(cx, SERVER_HINT).await;
    }
    let entity = Entity::new(&target.client, path(&target));
    if target.name.contains('/') {
        return entity.edit::<InstanceSnapshotPut, InstanceSnapshotPut>(cx, INSTANCE_HINT).await;
    }
    entity.edit::<InstancePut, InstancePut>(cx, INSTANCE_HINT).await
}

const INSTANCE_HINT: &str = "The configuration as YAML. Lines that begin with a # are ignored.
An example:

name: instance1
profiles:
- default
config:
  volatile.eth0.hwaddr: 00:16:3e:e9:f8:7f
devices:
  homedir:
    path: /extra
    source: /home/user
    type: disk
ephemeral: false

The name is shown but cannot be changed.";

const SERVER_HINT: &str = "The server's configuration as YAML. Lines that begin with a # are ignored.
An example:

config:
  core.https_address: '[::]:8443'";
