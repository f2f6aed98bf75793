//! `/1.0/instances` (and, derived by the router, `/1.0/containers` and `/1.0/virtual-machines`).

mod backups;
mod console;
mod exec;
mod files;
mod list;
mod logs;
mod metadata;
mod one;
mod snapshots;
mod state;

use http::Method;
use lxd_auth::Level;

use crate::Ctx;
use crate::ctx::Collection;
use crate::routes::{Access, Route, route};
use lxd_types::InstanceKind;

const BACKUPS: &str = "/1.0/instances/{name}/backups";
const BACKUP: &str = "/1.0/instances/{name}/backups/{backup}";
const BACKUP_EXPORT: &str = "/1.0/instances/{name}/backups/{backup}/export";
const SNAPSHOTS: &str = "/1.0/instances/{name}/snapshots";
const SNAPSHOT: &str = "/1.0/instances/{name}/snapshots/{snapshot}";
const TEMPLATES: &str = "/1.0/instances/{name}/metadata/templates";

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    let view = Access::Project(Level::View);
    let operate = Access::Project(Level::Operate);
    let manage = Access::Project(Level::Manage);
    vec![
        route(Method::GET, "/1.0/instances", view, "instances", list::list),
        route(Method::POST, "/1.0/instances", manage, "instances", list::create),
        route(Method::PUT, "/1.0/instances", operate, "instance_bulk_state_change", list::put),
        route(Method::GET, "/1.0/instances/{name}", view, "instances", one::get),
        route(Method::PUT, "/1.0/instances/{name}", manage, "instances", one::put),
        route(Method::PATCH, "/1.0/instances/{name}", manage, "patch", one::patch),
        route(Method::POST, "/1.0/instances/{name}", manage, "instances", one::post),
        route(Method::DELETE, "/1.0/instances/{name}", manage, "instances", one::delete),
        route(Method::GET, BACKUPS, view, "container_backup", backups::list),
        route(Method::POST, BACKUPS, manage, "container_backup", backups::create),
        route(Method::GET, BACKUP, view, "container_backup", backups::get),
        route(Method::POST, BACKUP, manage, "container_backup", backups::rename),
        route(Method::DELETE, BACKUP, manage, "container_backup", backups::delete),
        route(Method::GET, BACKUP_EXPORT, manage, "container_backup", backups::export),
        route(Method::GET, "/1.0/instances/{name}/console", operate, "console", console::get),
        route(Method::POST, "/1.0/instances/{name}/console", operate, "console", console::post),
        route(Method::DELETE, "/1.0/instances/{name}/console", operate, "console", console::delete),
        route(Method::POST, "/1.0/instances/{name}/exec", operate, "instances", exec::post),
        route(Method::GET, "/1.0/instances/{name}/files", operate, "instances", files::get),
        route(Method::POST, "/1.0/instances/{name}/files", operate, "instances", files::post),
        route(Method::DELETE, "/1.0/instances/{name}/files", operate, "file_delete", files::delete),
        route(Method::GET, "/1.0/instances/{name}/metadata", view, "instances", metadata::get),
        route(
            Method::PUT,
            "/1.0/instances/{name}/metadata",
            manage,
            "container_edit_metadata",
            metadata::put,
        ),
        route(Method::PATCH, "/1.0/instances/{name}/metadata", manage, "patch", metadata::patch),
        route(Method::GET, TEMPLATES, view, "container_edit_metadata", metadata::templates),
        route(Method::POST, TEMPLATES, manage, "container_edit_metadata", metadata::set_template),
        route(Method::PUT, TEMPLATES, manage, "container_edit_metadata", metadata::set_template),
        route(Method::DELETE, TEMPLATES, manage, "container_edit_metadata", metadata::delete_template),
        route(Method::GET, "/1.0/instances/{name}/logs", view, "instances", logs::list),
        route(Method::GET, "/1.0/instances/{name}/logs/{file}", view, "instances", logs::get),
        route(Method::DELETE, "/1.0/instances/{name}/logs/{file}", operate, "instances", logs::delete),
        route(Method::GET, SNAPSHOTS, view, "instances", snapshots::list),
        route(Method::POST, SNAPSHOTS, operate, "instances", snapshots::create),
        route(Method::GET, SNAPSHOT, view, "instances", snapshots::get),
        route(Method::PUT, SNAPSHOT, operate, "snapshot_expiry", snapshots::put),
        route(Method::PATCH, SNAPSHOT, operate, "snapshot_expiry", snapshots::patch),
        route(Method::POST, SNAPSHOT, operate, "instances", snapshots::rename),
        route(Method::DELETE, SNAPSHOT, operate, "instances", snapshots::delete),
        route(Method::GET, "/1.0/instances/{name}/state", view, "instances", state::get),
        route(Method::PUT, "/1.0/instances/{name}/state", operate, "instances", state::put),
    ]
}

/// The kind that the collection's name limits to.
fn kind(cx: &Ctx) -> Option<InstanceKind> {
    match cx.collection {
        Collection::Instances => None,
        Collection::Containers => Some(InstanceKind::Container),
        Collection::VirtualMachines => Some(InstanceKind::VirtualMachine),
    }
}
