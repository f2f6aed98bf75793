//! What lies in the pools and in the image store, compared with what is recorded. Nothing is ever changed here: data
//! without a record, and a record without data, become warnings.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lxd_db::warnings::Subject;
use lxd_db::{Tx, instances, journal, nodes, storage_pools, storage_volumes, warnings};
use lxd_storage::{VolumeKind, VolumeRef};
use lxd_types::Result;

use crate::SharedCore;
use crate::instances::InstanceKey;
use crate::warnings::WarningType;

/// How many names a warning lists.
const SHOWN: usize = 10;

/// How often, and after what time, what was under way is looked at again.
const TRIES: u32 = 12;
const PAUSE: Duration = Duration::from_secs(5);

/// The types of volumes that only instances and users make.
const KINDS: [VolumeKind; 3] = [VolumeKind::Container, VolumeKind::VirtualMachine, VolumeKind::Custom];

/// What was found in one pool or in all.
#[derive(Default)]
struct Found {
    /// Paths below the data directory that nobody recorded.
    unknown: BTreeSet<String>,
    /// Storage names of instances whose root volume is gone, and their pools.
    missing: BTreeMap<String, String>,
    /// Something that did not agree was just being changed.
    unsure: bool,
}

/// Compares everything and raises or resolves the warnings.
///
/// # Errors
/// A failure of the database.
pub async fn check(core: &SharedCore) -> Result<()> {
    for _ in 0..TRIES {
        if check_once(core).await? {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// [`check`]; false when something was under way that has to be looked at again.
async fn check_once(core: &SharedCore) -> Result<bool> {
    let mut all = Found { unknown: unknown_pools(core).await?, ..Found::default() };
    let pools = core.db.read(|tx| storage_pools::list(tx, nodes::LONE)).await?;
    for pool in pools.into_iter().filter(|pool| pool.state == storage_pools::CREATED) {
        // A pool that is unavailable has its own warning; it may also have become so just now.
        match check_pool(core, &pool).await {
            Ok(found) => {
                all.unknown.extend(found.unknown);
                all.missing.extend(found.missing);
                all.unsure |= found.unsure;
            }
            Err(error) => {
                tracing::warn!(pool = pool.name, error = error.chain(), "A pool cannot be compared")
            }
        }
    }
    let subject = Subject {
        type_code: WarningType::UnknownData as i64,
        node_id: Some(nodes::LONE),
        ..Subject::default()
    };
    if all.unknown.is_empty() {
        core.warning_resolved(subject).await;
    } else {
        core.warn_about(subject, &told(&all.unknown)).await;
    }
    tell_missing(core, all.missing).await?;
    Ok(!all.unsure)
}

fn told(unknown: &BTreeSet<String>) -> String {
    let shown: Vec<&str> = unknown.iter().take(SHOWN).map(String::as_str).collect();
    let more = match unknown.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "The database does not know what lies in {}{more}; nothing of it was touched. Run \"lxd recover\" to take it over",
        shown.join(", ")
    )
}

/// What the database and the journal know of a pool at one moment.
#[derive(Default)]
struct Known {
    /// Type and storage name of its volumes.
    volumes: BTreeSet<(VolumeKind, String)>,
    /// Undo steps of what is under way.
    journal: Vec<String>,
}

impl Known {
    async fn read(core: &SharedCore, pool_id: i64) -> Result<Self> {
        let steps = core.db.local_read(journal::all).await?;
        let volumes = core.db.read(move |tx| recorded(tx, pool_id)).await?;
        Ok(Self { volumes, journal: steps.into_iter().map(|step| step.step).collect() })
    }

    fn has(&self, kind: VolumeKind, name: &str) -> bool {
        self.volumes.contains(&(kind, name.to_owned()))
    }

    /// Whether something is being done with a volume of this name.
    fn is_busy(&self, name: &str) -> bool {
        // Outside the default project the name on disk has the project before it.
        let plain = name.split_once('_').map_or(name, |(_, rest)| rest);
        let quoted = [format!("\"{name}\""), format!("\"{plain}\"")];
        self.journal.iter().any(|step| quoted.iter().any(|name| step.contains(name)))
    }
}

/// Type and storage name of the volumes of a pool that are recorded.
///
/// # Errors
/// A failure of the database.
pub(crate) fn recorded(tx: &Tx<'_>, pool_id: i64) -> Result<BTreeSet<(VolumeKind, String)>> {
    let filter = storage_volumes::Filter { pool_id: Some(pool_id), ..storage_volumes::Filter::default() };
    let mut all = BTreeSet::new();
    for row in storage_volumes::list(tx, filter)? {
        let Some(kind) = VolumeKind::from_number(row.kind) else { continue };
        let volume = VolumeRef::new(kind, row.project.parse()?, row.name.parse()?);
        all.insert((kind, volume.storage_name()));
    }
    Ok(all)
}

async fn check_pool(core: &SharedCore, row: &storage_pools::Pool) -> Result<Found> {
    let pool = crate::storage_pools::open_row(core, row).await?;
    let before = Known::read(core, row.id).await?;
    let mut there = BTreeSet::new();
    for kind in KINDS {
        there.extend(pool.list(kind).await?.into_iter().map(|name| (kind, name)));
    }
    let after = Known::read(core, row.id).await?;
    let unsure = Cell::new(false);
    let settled = |name: &str| {
        let busy = before.is_busy(name) || after.is_busy(name);
        unsure.set(unsure.get() || busy);
        !busy
    };
    let recorded = before.volumes.intersection(&after.volumes);
    let missing = recorded
        .filter(|volume| volume.0 != VolumeKind::Custom && !there.contains(*volume) && settled(&volume.1))
        .map(|(_, name)| (name.clone(), row.name.clone()));
    let unknown = there
        .iter()
        .filter(|(kind, name)| !before.has(*kind, name) && !after.has(*kind, name) && settled(name))
        .map(|(kind, name)| format!("storage-pools/{}/{}/{name}", row.name, kind.directory()));
    let (unknown, missing) = (unknown.collect(), missing.collect());
    Ok(Found { unknown, missing, unsure: unsure.get() })
}

/// Raises the warnings about instances without a root volume, and resolves those of instances that have one again.
async fn tell_missing(core: &SharedCore, missing: BTreeMap<String, String>) -> Result<()> {
    let code = WarningType::InstanceUnavailable as i64;
    let warned = core.db.read(move |tx| open_warnings(tx, code)).await?;
    if missing.is_empty() && warned.is_empty() {
        return Ok(());
    }
    let mut still = BTreeSet::new();
    for row in core.db.read(|tx| instances::list(tx, instances::Filter::default())).await? {
        let name = InstanceKey::stored(&row.project, &row.name)?.storage_name();
        let Some(pool) = missing.get(&name) else { continue };
        let subject = Subject {
            type_code: code,
            node_id: Some(nodes::LONE),
            project_id: Some(row.project_id),
            entity_id: Some(row.id),
            ..Subject::default()
        };
        let text = format!("The root volume of instance {:?} is missing in storage pool {pool:?}", row.name);
        core.warn_about(subject, &text).await;
        still.insert(row.id);
    }
    for subject in
        warned.into_iter().filter(|subject| subject.entity_id.is_none_or(|id| !still.contains(&id)))
    {
        core.warning_resolved(subject).await;
    }
    Ok(())
}

/// What the warnings of a type are about that are not resolved.
fn open_warnings(tx: &Tx<'_>, code: i64) -> Result<Vec<Subject>> {
    let all = warnings::list(tx)?.into_iter();
    let open =
        all.filter(|warning| warning.subject.type_code == code && warning.status != warnings::RESOLVED);
    Ok(open.map(|warning| warning.subject).collect())
}

/// Directories of pools that nobody recorded, unless they are empty.
async fn unknown_pools(core: &SharedCore) -> Result<BTreeSet<String>> {
    let known = core.db.read(storage_pools::names).await?;
    let place = core.paths.storage_pools();
    let found = tokio::task::spawn_blocking(move || {
        let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
        let full = entries.filter(|entry| {
            std::fs::read_dir(entry.path()).is_ok_and(|mut children| children.next().is_some())
        });
        full.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    });
    let found = found.await.unwrap_or_default();
    Ok(found
        .into_iter()
        .filter(|name| !known.contains(name))
        .map(|name| format!("storage-pools/{name}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_lists_a_few_names() {
        let many: BTreeSet<String> = (10..22).map(|n| format!("storage-pools/p/custom/v{n}")).collect();
        let text = told(&many);
        assert!(text.contains("storage-pools/p/custom/v19 and 2 more"), "{text}");
        assert!(!text.contains("v20") && text.contains("lxd recover"));
        assert!(!told(&many.into_iter().take(1).collect()).contains("more"));
    }

    #[test]
    fn what_is_under_way_is_not_judged() {
        let step = r#"{"undo":"create-instance","project":"p1","name":"c1","uuid":"u"}"#.to_owned();
        let known = Known { journal: vec![step], ..Known::default() };
        assert!(known.is_busy("p1_c1") && known.is_busy("c1"));
        assert!(!known.is_busy("c2") && !known.is_busy("c"));
    }
}
