//! `PUT` and `PATCH /1.0/profiles/{name}`: one transaction, however many instances have the profile; then those that
//! run follow.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use lxd_api::profile::ProfilePut;
use lxd_auth::Permit;
use lxd_db::{Tx, instances, profiles};
use lxd_device::Registry;
use lxd_types::names::ProjectName;
use lxd_types::{ConfigExt, Error, Kind, Result};
use tokio::sync::OwnedMutexGuard;

use super::{owner, put_view, rules, stored_project, url};
use crate::SharedCore;
use crate::instances::{HostIds, InstanceKey, Model, idmap, load, models, turn};
use crate::lifecycle::Lifecycle;
use crate::projects::{Change, allowed};

/// How the new fields follow from the present ones; may be called again when another change came first.
pub type Merge = dyn Fn(ProfilePut) -> Result<ProfilePut> + Send + Sync;

/// Changes a profile. The new fields are made from those of the same transaction, so that two clients that change
/// different keys at once both succeed.
///
/// # Errors
/// There is no such profile, `merge` refuses, or a rule is broken: nothing is changed then. Also when the change is
/// saved and running instances could not follow; the text says which.
pub async fn update(core: &SharedCore, permit: &Permit, name: &str, merge: Box<Merge>) -> Result<()> {
    let merge: Arc<Merge> = merge.into();
    loop {
        let turns = Turns::wait(core, permit, name).await?;
        let (project, wanted, merge) = (permit.project().clone(), name.to_owned(), merge.clone());
        let (held, host) =
            (turns.keys.clone(), Host { registry: core.device_registry(), ids: core.host_ids.clone() });
        let recorded = core.db.write(move |tx| record(tx, &host, &project, &wanted, &held, &*merge)).await?;
        let Some(change) = recorded else { continue };
        let event = Lifecycle::new("profile-updated", url("default", name));
        core.tell(permit.caller(), event.in_project(&stored_project(&change.owner)?));
        return follow(core, &change.users).await;
    }
}

/// The turns of the instances that have a profile.
struct Turns {
    keys: BTreeSet<InstanceKey>,
    _turns: Vec<OwnedMutexGuard<()>>,
}

impl Turns {
    async fn wait(core: &SharedCore, permit: &Permit, name: &str) -> Result<Self> {
        let (project, wanted) = (permit.project().clone(), name.to_owned());
        let keys = core.db.read(move |tx| users(tx, find(tx, &project, &wanted)?.id)).await?;
        let keys: BTreeSet<InstanceKey> = keys.into_iter().collect();
        let mut turns = Vec::new();
        for key in &keys {
            turns.push(turn(core, key).await);
        }
        Ok(Self { keys, _turns: turns })
    }
}

fn find(tx: &Tx<'_>, project: &ProjectName, name: &str) -> Result<profiles::Profile> {
    profiles::get(tx, owner(tx, project)?, name)
        .map_err(|error| error.context(format!("Failed to retrieve profile {name:?}")))
}

/// What the transaction has to know of this host.
struct Host {
    registry: Registry,
    ids: Result<HostIds, String>,
}

/// A change that was recorded.
struct Recorded {
    /// The project that owns the profile.
    owner: String,
    /// The instances that have it, as they were and as they are.
    users: Vec<(Model, Model)>,
}

/// Records the change, but when an instance took the profile whose turn is not `held`.
fn record(
    tx: &Tx<'_>,
    host: &Host,
    project: &ProjectName,
    name: &str,
    held: &BTreeSet<InstanceKey>,
    merge: &Merge,
) -> Result<Option<Recorded>> {
    let old = find(tx, project, name)?;
    let keys = users(tx, old.id)?;
    if !keys.iter().all(|key| held.contains(key)) {
        return Ok(None);
    }
    let put = merge(put_view(&old))?;
    let fields = rules::clean(put.config, put.devices);
    rules::check(tx, &host.registry, project, &fields)
        // The reference answers 500 for a change that it refuses, 400 for a creation.
        .map_err(|error| match error.kind() {
            Kind::BadRequest => error.with_kind(Kind::Internal),
            _ => error,
        })?;
    let before = load_all(tx, &keys)?;
    profiles::update(tx, old.id, &put.description, &fields.config, &fields.devices)?;
    let mut users = Vec::new();
    for (before, mut after) in before.into_iter().zip(load_all(tx, &keys)?) {
        rules::check_user(&before.devices, &after.devices)?;
        assign_ids(tx, host, &before, &mut after)?;
        users.push((before, after));
    }
    let mut concerned: Vec<&str> = keys.iter().map(|key| key.project.as_str()).collect();
    concerned.push(&old.project);
    concerned.sort_unstable();
    concerned.dedup();
    for project in concerned {
        allowed(tx, project, Change::Profile(name, &keys))?;
    }
    Ok(Some(Recorded { owner: old.project, users }))
}

/// Gives an instance another id map for its next start, when the keys that say which changed.
fn assign_ids(tx: &Tx<'_>, host: &Host, before: &Model, after: &mut Model) -> Result<()> {
    let same = |key: &&str| before.config.value(key) == after.config.value(key);
    if ID_KEYS.iter().all(same) {
        return Ok(());
    }
    let mut own = after.row.config.clone();
    idmap::assign(tx, &mut own, &after.config, &host.ids)?;
    let changes = lxd_config::changed(&after.row.config, &own);
    let changes = changes.into_iter().map(|(key, value)| (key.to_owned(), Some(value.to_owned()))).collect();
    instances::set_keys(tx, after.row.id, &changes)?;
    *after = load(tx, &before.key)?;
    Ok(())
}

/// The keys that an id map depends on.
const ID_KEYS: [&str; 5] = [
    "raw.idmap",
    "security.idmap.base",
    "security.idmap.isolated",
    "security.idmap.size",
    "security.privileged",
];

fn users(tx: &Tx<'_>, profile: i64) -> Result<Vec<InstanceKey>> {
    let rows = instances::by_profile(tx, profile)?;
    rows.iter().map(|(_, project, name)| InstanceKey::stored(project, name)).collect()
}

/// The instances of these keys, in their order (by project and name). Many are read with a few queries.
fn load_all(tx: &Tx<'_>, keys: &[InstanceKey]) -> Result<Vec<Model>> {
    if keys.len() < MANY {
        return keys.iter().map(|key| load(tx, key)).collect();
    }
    let wanted: HashSet<&InstanceKey> = keys.iter().collect();
    let all = models(tx, instances::Filter::default())?;
    Ok(all.into_iter().filter(|model| wanted.contains(&model.key)).collect())
}

/// So many instances are read faster by reading all.
const MANY: usize = 8;

/// Lets the instances follow; all are tried.
async fn follow(core: &SharedCore, users: &[(Model, Model)]) -> Result<()> {
    let mut failed = String::new();
    for (before, after) in users {
        if let Err(error) = crate::instances::changed(core, before, after).await {
            let InstanceKey { project, name } = &after.key;
            failed.push_str(&format!(" - Project: {project}, Instance: {name}: {}\n", error.chain()));
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => {
            let text = "The following instances failed to update (profile change still saved):\n";
            Err(Error::new(Kind::Internal, format!("{text}{failed}")))
        }
    }
}
