//! `GET /1.0/instances` and `GET /1.0/instances/{name}`.

use lxd_api::instance::Instance;
use lxd_auth::Permit;
use lxd_db::instances;
use lxd_types::names::InstanceName;
use lxd_types::{InstanceKind, Result};

use super::{InstanceKey, Model, instance_view, list_cache, load};
use crate::SharedCore;

/// Which instances are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct List {
    /// Of one kind only.
    pub kind: Option<InstanceKind>,
    /// Of all projects that the caller may see.
    pub all_projects: bool,
}

/// The instances that the caller may see, sorted by project and name.
///
/// # Errors
/// A failure of the database.
pub async fn list(core: &SharedCore, permit: &Permit, wanted: List) -> Result<Vec<Model>> {
    let project = permit.project();
    let (caller, kind) = (permit.caller(), wanted.kind.map(kind_number));
    let shown = |model: &&Model| {
        (wanted.all_projects || model.key.project == *project)
            && kind.is_none_or(|kind| kind == model.row.kind)
            && caller.sees(model.key.project.as_str())
    };
    Ok(list_cache::all(core).await?.iter().filter(shown).cloned().collect())
}

/// One instance.
///
/// # Errors
/// Not found.
pub async fn get(core: &SharedCore, permit: &Permit, name: &InstanceName) -> Result<(Model, Instance)> {
    let key = InstanceKey::new(permit.project(), name);
    let wanted = key.clone();
    let model = core.db.read(move |tx| load(tx, &wanted)).await?;
    let view = instance_view(&model, core.runtime.status(&key));
    Ok((model, view))
}

/// The number of a kind in the database.
pub(super) fn kind_number(kind: InstanceKind) -> i64 {
    match kind {
        InstanceKind::Container => instances::CONTAINER,
        InstanceKind::VirtualMachine => instances::VIRTUAL_MACHINE,
    }
}
