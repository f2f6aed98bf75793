//! `lxc storage`

mod volume;
mod volume_attach;
mod volume_backup;
mod volume_copy;
mod volume_list;
mod volume_snapshot;

use std::collections::BTreeMap;

use anyhow::Result;
use lxd_api::resources::ResourcesStoragePool;
use lxd_api::storage_pool::{StoragePool, StoragePoolPut};
use serde_json::{Value, json};

use super::entity::{Entity, key_commands, listed};
use crate::cli::{FORMAT, Matches, Spec, TARGET, switch};
use crate::cx::{Cx, Target};
use crate::keyvalue;
use crate::output::{Listing, print_yaml, units};

/// The group.
pub static SPEC: Spec = Spec {
    name: "storage",
    about: "Manage storage pools and volumes",
    subs: &[&CREATE, &DELETE, &EDIT, &GET, &INFO, &LIST, &SET, &SHOW, &UNSET, &volume::SPEC],
    ..Spec::NEW
};

const POOL: &str = "[<remote>:]<pool>";

fn target(cx: &Cx, matches: &Matches) -> Result<Target> {
    let mut target = cx.named(matches.arg(0), "Missing pool name")?;
    target.client = target.client.with_target(matches.value("target"));
    Ok(target)
}

fn path(target: &Target) -> String {
    format!("/1.0/storage-pools/{}", target.segment())
}

fn entity(cx: &Cx, matches: &Matches) -> Result<Entity> {
    let target = target(cx, matches)?;
    Ok(Entity::new(&target.client, path(&target)))
}

static CREATE: Spec = Spec {
    name: "create",
    args: "[<remote>:]<pool> <driver> [key=value...]",
    about: "Make a storage pool",
    flags: &[TARGET],
    count: (2, usize::MAX),
    run: Some(|cx, m| Box::pin(create(cx, m))),
    ..Spec::NEW
};

async fn create(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = target(cx, matches)?;
    let config = keyvalue::config(matches.rest(2), |word| format!("Bad key=value pair: [{word}]"))?;
    let body = json!({"config": config, "description": "", "name": target.name, "driver": matches.arg(1)});
    target.client.send("POST", "/1.0/storage-pools", Some(&body)).await?;
    match matches.value("target") {
        "" => cx.say(format_args!("Storage pool {} created", target.name)),
        member => cx.say(format_args!("Storage pool {} pending on member {member}", target.name)),
    }
    Ok(())
}

static DELETE: Spec = Spec {
    name: "delete",
    aliases: &["rm"],
    args: POOL,
    about: "Remove a storage pool",
    count: (1, 1),
    run: Some(|cx, m| {
        Box::pin(async { entity(cx, m)?.delete(cx, &format!("Storage pool {}", target(cx, m)?.name)).await })
    }),
    ..Spec::NEW
};

static EDIT: Spec = Spec {
    name: "edit",
    args: POOL,
    about: "Change a storage pool as YAML, in the editor or from standard input",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(async { entity(cx, m)?.edit::<StoragePool, StoragePoolPut>(cx, HINT).await })),
    ..Spec::NEW
};

const HINT: &str = "A storage pool as YAML. Lines that begin with a # are ignored.
It holds configuration keys; the other members are shown but cannot be changed.
An example:

name: default
driver: zfs
config:
  size: \"61203283968\"
  source: /home/chb/mnt/lxd_test/default.img
  zfs.pool_name: default";

key_commands!(
    "storage pool", "[<remote>:]<pool>", StoragePoolPut, &[TARGET], get: print_set_key,
    |cx, m| read: entity(cx, m)?, write: entity(cx, m)?
);

static SHOW: Spec = Spec {
    name: "show",
    args: POOL,
    about: "Print a storage pool as YAML",
    flags: &[switch("resources", "Print the space of the pool"), TARGET],
    count: (1, 1),
    run: Some(|cx, m| Box::pin(show(cx, m))),
    ..Spec::NEW
};

async fn show(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = target(cx, matches)?;
    if matches.is("resources") {
        let resources: ResourcesStoragePool =
            target.client.get(&format!("{}/resources", path(&target))).await?;
        return print_yaml(&resources);
    }
    let mut pool: StoragePool = target.client.get(&path(&target)).await?;
    pool.used_by.sort();
    print_yaml(&pool)
}

static LIST: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    args: "[<remote>:]",
    about: "Print a table of every storage pool",
    flags: &[FORMAT],
    count: (0, 1),
    run: Some(|cx, m| Box::pin(list(cx, m))),
    ..Spec::NEW
};

async fn list(cx: &Cx, matches: &Matches) -> Result<()> {
    let (raw, pools) = listed::<StoragePool>(cx, matches, "/1.0/storage-pools").await?;
    let mut listing = Listing::new(["NAME", "DRIVER", "SOURCE", "DESCRIPTION", "USED BY", "STATE"]);
    for pool in &pools {
        listing.row([
            pool.name.clone(),
            pool.driver.clone(),
            pool.config.get("source").cloned().unwrap_or_default(),
            pool.description.clone(),
            pool.used_by.len().to_string(),
            pool.status.to_uppercase(),
        ]);
    }
    listing.sort();
    listing.print(matches.value("format"), &raw, &pools)
}

static INFO: Spec = Spec {
    name: "info",
    args: POOL,
    about: "Print the space of a storage pool and what uses it",
    flags: &[switch("bytes", "Sizes as plain bytes"), TARGET],
    count: (1, 1),
    run: Some(|cx, m| Box::pin(info(cx, m))),
    ..Spec::NEW
};

async fn info(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = target(cx, matches)?;
    let pool: StoragePool = target.client.get(&path(&target)).await?;
    let space: ResourcesStoragePool = target.client.get(&format!("{}/resources", path(&target))).await?;
    let size = |bytes: u64| {
        if matches.is("bytes") {
            bytes.to_string()
        } else {
            units::bytes(i64::try_from(bytes).unwrap_or(i64::MAX), 2)
        }
    };
    let mut info = BTreeMap::from([
        ("name", pool.name.clone()),
        ("driver", pool.driver.clone()),
        ("description", pool.description.clone()),
        ("space used", size(space.space.used)),
        ("total space", size(space.space.total)),
    ]);
    if !matches!(matches.value("target"), "") {
        info.insert("target", matches.value("target").to_owned());
    }
    let shown: BTreeMap<&str, Value> =
        BTreeMap::from([("info", json!(info)), ("used by", json!(users(&pool)))]);
    print_yaml(&shown)
}

/// What uses the pool, by kind.
fn users(pool: &StoragePool) -> BTreeMap<String, Vec<String>> {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for url in &pool.used_by {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let parts: Vec<&str> = path.trim_start_matches("/1.0/").split('/').collect();
        let project = query.split('&').find_map(|pair| pair.strip_prefix("project="));
        let (kind, name) = match parts[..] {
            ["storage-pools", _, "volumes", _, name, ..] => ("volumes", name),
            [kind, name, ..] => (kind, name),
            _ => continue,
        };
        let name = project.map_or_else(|| name.to_owned(), |project| format!("{name} (project {project:?})"));
        users.entry(kind.to_owned()).or_default().push(name);
    }
    users.values_mut().for_each(|names| names.sort());
    users
}
