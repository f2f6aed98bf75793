//! What sums over the instances of a project (limits, usage) need: few columns and keys of many instances.

use std::collections::HashMap;

use lxd_types::Result;
use rusqlite::params;

use crate::instances::DEVICES;
use crate::{Config, Devices, Tx};

/// What sums over the instances of a project need of one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Brief {
    /// Its name.
    pub name: String,
    /// [`CONTAINER`](crate::instances::CONTAINER) or [`VIRTUAL_MACHINE`](crate::instances::VIRTUAL_MACHINE).
    pub kind: i64,
    /// Those of its own keys that were asked for.
    pub config: Config,
    /// Its own devices, when they were asked for.
    pub devices: Devices,
    /// The ids of its profiles, in the order in which they apply; none when neither keys nor devices were asked for.
    pub profiles: Vec<i64>,
}

/// The instances of a project with the keys `keys` and, when asked for, their devices: rows of other projects and other
/// keys are not read.
///
/// # Errors
/// A failure of the database.
pub fn briefs(tx: &Tx<'_>, project_id: i64, keys: &[&str], with_devices: bool) -> Result<Vec<Brief>> {
    let mut ids = HashMap::new();
    let mut briefs = tx.all(
        "SELECT name, type, id FROM instances WHERE project_id = ?1 ORDER BY name",
        [project_id],
        |row| {
            ids.insert(row.get::<_, i64>(2)?, ids.len());
            Ok(Brief { name: row.get(0)?, kind: row.get(1)?, ..Brief::default() })
        },
    )?;
    if briefs.is_empty() || keys.is_empty() && !with_devices {
        return Ok(briefs);
    }
    let of_keys =
        "SELECT c.instance_id, c.value FROM instances AS i JOIN instances_config AS c ON c.instance_id = i.id
         WHERE i.project_id = ?1 AND c.key = ?2";
    for key in keys {
        tx.each(of_keys, params![project_id, key], |row| {
            if let (Some(at), Some(value)) = (ids.get(&row.get(0)?), row.get::<_, Option<String>>(1)?) {
                briefs[*at].config.insert((*key).to_owned(), value);
            }
            Ok(())
        })?;
    }
    if with_devices {
        let mut devices = HashMap::new();
        DEVICES.of_project(tx, project_id, &mut devices)?;
        for (owner, found) in devices {
            if let Some(at) = ids.get(&owner) {
                briefs[*at].devices = found;
            }
        }
    }
    tx.each(
        "SELECT u.instance_id, u.profile_id FROM instances AS i JOIN instances_profiles AS u ON u.instance_id = i.id
         WHERE i.project_id = ?1 ORDER BY u.instance_id, u.apply_order",
        [project_id],
        |row| {
            if let Some(at) = ids.get(&row.get(0)?) {
                briefs[*at].profiles.push(row.get(1)?);
            }
            Ok(())
        },
    )?;
    Ok(briefs)
}
