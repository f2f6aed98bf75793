//! Instances: one file per action (`/1.0/instances`).

mod apply;
pub(crate) mod backup;
pub mod backup_yaml;
pub mod bulk;
pub mod console;
pub mod content;
mod copy;
mod cpus;
mod create;
mod delete;
mod devices;
mod disk_limits;
mod ended;
mod exec;
mod facts;
mod file_sessions;
mod files;
mod full;
pub mod guest;
mod hotplug;
pub(crate) mod idmap;
pub mod import;
pub mod intercept;
mod limits;
mod list;
mod list_cache;
mod listed;
pub mod logs;
mod metadata;
mod model;
mod modules;
pub(crate) mod nics;
pub mod nodes;
mod nvidia;
pub mod reconcile;
pub(crate) mod relocate;
mod rename;
mod requirements;
mod revert;
mod rules;
mod runtime;
pub mod shutdown;
pub mod snapshots;
mod source;
mod spec;
mod start;
pub mod state;
mod stop;
mod templates;
pub(crate) mod undo;
mod update;
pub mod upload;
mod view;
mod volatile;

pub(crate) use apply::{changed, turn};
pub use copy::CopyOf;
pub(crate) use copy::{architecture_of, hold as hold_origin, origin_of, thaw};
pub use create::{CreateInstance, create, plan_create};
pub use delete::delete;
pub use ended::wants_reboot;
pub use exec::exec;
pub(crate) use facts::device_facts;
pub use file_sessions::FileSessions;
pub use idmap::HostIds;
pub use list::{Found, List, One, get, list};
pub use list_cache::ListCache;
use listed::{Listed, NicNames};
pub(crate) use metadata::yaml as yaml_of;
pub use metadata::{
    delete_template, metadata, present_metadata, set_metadata, set_template, template, templates,
};
pub use model::{InstanceKey, Model, load, models};
pub use rename::rename;
pub(crate) use rules::check_recovered;
pub use runtime::{Runtime, RuntimeEntry};
pub use source::Source;
pub use start::Idmapped;
pub use update::{Merge, put_fields, require_profiles, update};
pub use view::{instance_view, put_view};

use lxd_container::ContainerRef;
use lxd_db::{projects, storage_volumes};
use lxd_storage::VolumeKind;
use lxd_types::Result;

use crate::SharedCore;

/// How liblxc finds an instance.
pub(crate) fn container_ref(core: &SharedCore, key: &InstanceKey) -> ContainerRef {
    let name = key.storage_name();
    ContainerRef {
        lxcpath: core.paths.containers().to_string_lossy().into_owned(),
        config: core.paths.logs().join(&name).join("lxc.conf").to_string_lossy().into_owned(),
        name,
    }
}

/// Makes what an instance that was recorded has below `LXD_DIR`.
///
/// # Errors
/// The data directory cannot be written.
pub(crate) async fn take_over(core: &SharedCore, key: &InstanceKey) -> Result<()> {
    files::prepare_directories(core, key).await?;
    files::link_snapshots(core, key).await
}

/// The pool of an instance's root volume; `None` when the database knows of none.
///
/// # Errors
/// A failure of the database.
pub(crate) async fn pool_name(core: &SharedCore, key: &InstanceKey) -> Result<Option<String>> {
    let key = key.clone();
    core.db
        .read(move |tx| {
            let Some(project) = projects::find(tx, key.project.as_str())? else { return Ok(None) };
            let kind = VolumeKind::Container.number();
            let volumes = storage_volumes::anywhere(tx, project, kind, key.name.as_str())?;
            Ok(volumes.into_iter().next().map(|volume| volume.pool))
        })
        .await
}
