//! `lxc storage volume`

use anyhow::{Result, bail};
use lxd_api::storage_volume::{
    StorageVolume, StorageVolumePut, StorageVolumeSnapshot, StorageVolumeSnapshotPut, StorageVolumeState,
};
use lxd_client::encode;
use serde_json::{Value, json};

use super::{volume_attach, volume_backup, volume_copy, volume_list, volume_snapshot};
use crate::cli::{Matches, Spec, TARGET, value};
use crate::commands::entity::{Entity, send};
use crate::cx::{Cx, Target};
use crate::keyvalue;
use crate::output::{print_yaml, units};

/// The group.
pub static SPEC: Spec = Spec {
    name: "volume",
    about: "Manage storage volumes",
    long: "A volume is named by its type and name, as in container/c1; without a type it is a custom volume.",
    subs: &[
        &volume_attach::ATTACH,
        &volume_attach::ATTACH_PROFILE,
        &volume_copy::COPY,
        &CREATE,
        &DELETE,
        &volume_attach::DETACH,
        &volume_attach::DETACH_PROFILE,
        &EDIT,
        &volume_backup::EXPORT,
        &GET,
        &volume_backup::IMPORT,
        &INFO,
        &volume_list::LIST,
        &volume_copy::MOVE,
        &RENAME,
        &volume_snapshot::RESTORE,
        &SET,
        &SHOW,
        &volume_snapshot::SNAPSHOT,
        &UNSET,
    ],
    ..Spec::NEW
};

const VOLUME: &str = "[<remote>:]<pool> <volume>";

/// A volume of a pool.
pub struct Volume {
    /// The pool.
    pub pool: Target,
    /// `custom`, `container`, `virtual-machine` or `image`.
    pub kind: String,
    /// Name, without snapshot.
    pub name: String,
    /// Name of the snapshot.
    pub snapshot: Option<String>,
}

impl Volume {
    /// URL of the volume.
    pub fn path(&self) -> String {
        format!("{}/volumes/{}/{}", super::path(&self.pool), encode(&self.kind), encode(&self.name))
    }

    /// URL of the volume or its snapshot.
    pub fn full_path(&self) -> String {
        match &self.snapshot {
            Some(snapshot) => format!("{}/snapshots/{}", self.path(), encode(snapshot)),
            None => self.path(),
        }
    }
}

/// The volume that the first two arguments name: `POOL [TYPE/]NAME[/SNAPSHOT]`.
///
/// # Errors
/// Missing names.
pub fn volume(cx: &Cx, matches: &Matches) -> Result<Volume> {
    let pool = super::target(cx, matches)?;
    let text = matches.arg(1);
    let (kind, rest) = match text.split_once('/') {
        Some((kind @ ("custom" | "container" | "virtual-machine" | "image"), rest)) => (kind, rest),
        _ => ("custom", text),
    };
    let (name, snapshot) = match rest.split_once('/') {
        Some((name, snapshot)) => (name, Some(snapshot.to_owned())),
        None => (rest, None),
    };
    if name.is_empty() {
        bail!("Missing storage volume name");
    }
    Ok(Volume { pool, kind: kind.to_owned(), name: name.to_owned(), snapshot })
}

fn entity(cx: &Cx, matches: &Matches) -> Result<Entity> {
    let volume = volume(cx, matches)?;
    Ok(Entity::new(&volume.pool.client, volume.full_path()))
}

static CREATE: Spec = Spec {
    name: "create",
    args: "[<remote>:]<pool> <volume> [key=value...]",
    about: "Make a custom volume",
    flags: &[TARGET, value("type", "Content type: block or filesystem").or("filesystem")],
    count: (2, usize::MAX),
    run: Some(|cx, m| Box::pin(create(cx, m))),
    ..Spec::NEW
};

async fn create(cx: &Cx, matches: &Matches) -> Result<()> {
    let volume = volume(cx, matches)?;
    if volume.snapshot.is_some() {
        bail!("Storage volume names may not contain slashes");
    }
    let config = keyvalue::config(matches.rest(2), |word| format!("Bad key=value pair: [{word}]"))?;
    let body = json!({
        "config": config,
        "description": "",
        "name": volume.name,
        "type": volume.kind,
        "source": {},
        "content_type": matches.value("type"),
    });
    let path = format!("{}/volumes/{}", super::path(&volume.pool), volume.kind);
    send(cx, &volume.pool.client, "POST", &path, Some(&body)).await?;
    cx.say(format_args!("Storage volume {} created", matches.arg(1)));
    Ok(())
}

static DELETE: Spec = Spec {
    name: "delete",
    aliases: &["rm"],
    args: "[<remote>:]<pool> <volume>[/<snapshot>]",
    about: "Remove a storage volume or snapshot",
    flags: &[TARGET],
    count: (2, 2),
    run: Some(|cx, m| Box::pin(delete(cx, m))),
    ..Spec::NEW
};

async fn delete(cx: &Cx, matches: &Matches) -> Result<()> {
    let volume = volume(cx, matches)?;
    send(cx, &volume.pool.client, "DELETE", &volume.full_path(), None).await?;
    cx.say(format_args!("Storage volume {} deleted", matches.arg(1)));
    Ok(())
}

static RENAME: Spec = Spec {
    name: "rename",
    args: "[<remote>:]<pool> <old name>[/<old snapshot name>] <new name>[/<new snapshot name>]",
    about: "Give a storage volume or snapshot another name",
    flags: &[TARGET],
    count: (3, 3),
    run: Some(|cx, m| Box::pin(rename(cx, m))),
    ..Spec::NEW
};

async fn rename(cx: &Cx, matches: &Matches) -> Result<()> {
    let volume = volume(cx, matches)?;
    let new = matches.arg(2);
    let (path, name) = match (&volume.snapshot, new.split_once('/')) {
        (None, None) => (volume.path(), new),
        (Some(_), Some((parent, snapshot))) if parent == volume.name => (volume.full_path(), snapshot),
        _ => bail!("Invalid new snapshot name {new:?}"),
    };
    send(cx, &volume.pool.client, "POST", &path, Some(&json!({"name": name}))).await?;
    cx.say(format_args!("Renamed storage volume from {:?} to {name:?}", matches.arg(1)));
    Ok(())
}

static EDIT: Spec = Spec {
    name: "edit",
    args: "[<remote>:]<pool> <volume>[/<snapshot>]",
    about: "Change a storage volume as YAML, in the editor or from standard input",
    flags: &[TARGET],
    count: (2, 2),
    run: Some(|cx, m| Box::pin(edit(cx, m))),
    ..Spec::NEW
};

const HINT: &str = "A storage volume as YAML. Lines that begin with a # are ignored.
It holds configuration keys; the other members are shown but cannot be changed.
An example:

name: vol1
type: custom
used_by: []
config:
  size: \"61203283968\"";

async fn edit(cx: &Cx, matches: &Matches) -> Result<()> {
    let volume = volume(cx, matches)?;
    let entity = Entity::new(&volume.pool.client, volume.full_path());
    if volume.snapshot.is_some() {
        return entity.edit::<StorageVolumeSnapshot, StorageVolumeSnapshotPut>(cx, HINT).await;
    }
    entity.edit::<StorageVolume, StorageVolumePut>(cx, HINT).await
}

static GET: Spec = Spec {
    name: "get",
    args: "[<remote>:]<pool> <volume>[/<snapshot>] <key>",
    about: "Print one configuration key of a storage volume",
    flags: &[TARGET],
    count: (3, 3),
    run: Some(|cx, m| Box::pin(async { entity(cx, m)?.print_set_key(m.arg(2)).await })),
    ..Spec::NEW
};

static SET: Spec = Spec {
    name: "set",
    args: "[<remote>:]<pool> <volume> <key>=<value>...",
    about: "Set configuration keys of a storage volume",
    flags: &[TARGET],
    count: (3, usize::MAX),
    run: Some(|cx, m| Box::pin(async { entity(cx, m)?.set::<StorageVolumePut>(cx, m.rest(2)).await })),
    ..Spec::NEW
};

static UNSET: Spec = Spec {
    name: "unset",
    args: "[<remote>:]<pool> <volume> <key>",
    about: "Drop a configuration key of a storage volume",
    flags: &[TARGET],
    count: (3, 3),
    run: Some(|cx, m| {
        Box::pin(async { entity(cx, m)?.unset_loosely::<StorageVolumePut>(cx, m.arg(2)).await })
    }),
    ..Spec::NEW
};

static SHOW: Spec = Spec {
    name: "show",
    args: "[<remote>:]<pool> <volume>[/<snapshot>]",
    about: "Print a storage volume as YAML",
    flags: &[TARGET],
    count: (2, 2),
    run: Some(|cx, m| Box::pin(show(cx, m))),
    ..Spec::NEW
};

async fn show(cx: &Cx, matches: &Matches) -> Result<()> {
    let volume = volume(cx, matches)?;
    let client = &volume.pool.client;
    if volume.snapshot.is_some() {
        return print_yaml(&client.get::<StorageVolumeSnapshot>(&volume.full_path()).await?);
    }
    let mut shown: StorageVolume = client.get(&volume.path()).await?;
    shown.used_by.sort();
    print_yaml(&shown)
}

static INFO: Spec = Spec {
    name: "info",
    args: VOLUME,
    about: "Print the usage of a storage volume",
    flags: &[TARGET],
    count: (2, 2),
    run: Some(|cx, m| Box::pin(info(cx, m))),
    ..Spec::NEW
};

async fn info(cx: &Cx, matches: &Matches) -> Result<()> {
    let volume = volume(cx, matches)?;
    let client = &volume.pool.client;
    let found: StorageVolume = client.get(&volume.path()).await?;
    let state: Value = client.get(&format!("{}/state", volume.path())).await?;
    let state: StorageVolumeState =
        if state.is_object() { lxd_api::from_value(state)? } else { Default::default() };
    let usage = state.usage.unwrap_or_default();
    println!("Name: {}", found.name);
    if !found.description.is_empty() {
        println!("Description: {}", found.description);
    }
    println!("Type: {}", found.kind);
    println!("Content type: {}", found.content_type);
    if !matches!(found.location.as_str(), "" | "none") {
        println!("Location: {}", found.location);
    }
    println!("Usage: {}", units::bytes(i64::try_from(usage.used).unwrap_or(i64::MAX), 2));
    if usage.total > 0 {
        println!("Total: {}", units::bytes(usage.total, 2));
    }
    volume_snapshot::print_list(&volume).await
}
