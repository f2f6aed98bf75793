//! `GET /1.0/instances` and `GET /1.0/instances/{name}`.

use lxd_api::instance::Instance;
use lxd_auth::Permit;
use lxd_db::{instances, projects};
use lxd_types::names::InstanceName;
use lxd_types::{InstanceKind, Result};

use super::{InstanceKey, Model, instance_view, load, models};
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
/// There is no such project.
pub async fn list(core: &SharedCore, permit: &Permit, wanted: List) -> Result<Vec<Model>> {
    let project = permit.project().to_string();
    let found = core
        .db
        .read(move |tx| {
            let project_id = if wanted.all_projects { None } else { Some(projects::require(tx, &project)?) };
            let kind = wanted.kind.map(kind_number);
            models(tx, instances::Filter { project_id, kind, node_id: None })
        })
        .await?;
    let caller = permit.caller();
    Ok(found.into_iter().filter(|model| caller.sees(model.key.project.as_str())).collect())
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
