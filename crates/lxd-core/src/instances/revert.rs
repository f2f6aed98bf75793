//! Takes back a recorded change that the running instance did not follow.

use lxd_db::{instances, profiles, projects};
use lxd_types::{Config, Result};

use super::{Model, load};
use crate::SharedCore;

/// Records again what held before `new`, and applies it as far as it goes. Volatile keys stay as they are: they
/// tell what was really done. Does nothing where another client changed the instance meanwhile.
///
/// # Errors
/// The database.
pub async fn change(core: &SharedCore, old: &Model, new: &Model) -> Result<()> {
    let (before, failed) = (old.clone(), new.clone());
    let reverted = core
        .db
        .write(move |tx| {
            let present = load(tx, &failed.key)?;
            if !same(&present, &failed) {
                return Ok(false);
            }
            let owner = projects::owner_of(tx, &projects::get(tx, &before.row.project)?.name, "profiles")?;
            let profiles = profiles::by_names(tx, owner, &before.row.profiles)?;
            let (mut config, _) = split(&before.row.config);
            config.extend(split(&present.row.config).1);
            let row = &before.row;
            let change = instances::Change {
                architecture: row.architecture,
                ephemeral: row.ephemeral,
                description: row.description.clone(),
                config,
                devices: row.devices.clone(),
                profiles: profiles.iter().map(|profile| profile.id).collect(),
            };
            instances::update(tx, present.row.id, &change)?;
            Ok(true)
        })
        .await?;
    if reverted && let Err(error) = super::apply::changed(core, new, old).await {
        tracing::warn!(instance = %old.key.name, error = error.chain(), "Failed to apply what held before");
    }
    Ok(())
}

/// Whether two recorded states are one, but for volatile keys.
fn same(a: &Model, b: &Model) -> bool {
    let (a, b) = (&a.row, &b.row);
    split(&a.config).0 == split(&b.config).0
        && (&a.devices, &a.profiles, &a.description, a.ephemeral, a.architecture)
            == (&b.devices, &b.profiles, &b.description, b.ephemeral, b.architecture)
}

/// The keys of the user, and the volatile ones.
fn split(config: &Config) -> (Config, Config) {
    config.clone().into_iter().partition(|(key, _)| !key.starts_with("volatile."))
}
