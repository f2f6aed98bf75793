//! Instances as they stand in answers. Pure.

use lxd_api::instance::{Instance, InstancePut};
use lxd_api::{StatusCode, Timestamp};
use lxd_db::architecture;

use super::Model;

/// The full object of `GET /1.0/instances/{name}`.
pub fn instance_view(model: &Model, status: StatusCode) -> Instance {
    let row = &model.row;
    Instance {
        architecture: architecture::name(row.architecture).to_owned(),
        config: row.config.clone(),
        devices: row.devices.clone(),
        ephemeral: row.ephemeral,
        profiles: row.profiles.clone(),
        restore: String::new(),
        stateful: row.stateful,
        description: row.description.clone(),
        created_at: row.created.into(),
        expanded_config: model.config.clone(),
        expanded_devices: model.devices.clone(),
        name: row.name.clone(),
        status: status.text().to_owned(),
        status_code: status,
        last_used_at: row.last_used.map_or_else(|| Timestamp::from_unix(0), Into::into),
        location: row.node.clone(),
        kind: model.kind().name().to_owned(),
        project: row.project.clone(),
    }
}

/// The members that PUT and PATCH can change; the version of the object is a hash of these.
pub fn put_view(model: &Model) -> InstancePut {
    let row = &model.row;
    InstancePut {
        architecture: architecture::name(row.architecture).to_owned(),
        config: row.config.clone(),
        devices: row.devices.clone(),
        ephemeral: row.ephemeral,
        profiles: row.profiles.clone(),
        restore: String::new(),
        stateful: row.stateful,
        description: row.description.clone(),
    }
}
