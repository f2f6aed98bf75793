//! Makes the host agree with what is recorded of one name: the undo of every change of networks.

use lxd_db::{networks, nodes, projects};
use lxd_types::names::NetworkName;
use lxd_types::{Config, Result};

use super::{spec, start};
use crate::SharedCore;

/// A made network is started; one that was being made is forgotten; what is not recorded is removed from the host.
///
/// # Errors
/// The host or the database refuses; trying again goes on from there.
pub async fn settle(core: &SharedCore, name: &NetworkName) -> Result<()> {
    let wanted = name.to_string();
    let recorded = core
        .db
        .write(move |tx| {
            let Some(id) = networks::find(tx, projects::DEFAULT, &wanted)? else { return Ok(None) };
            let row = networks::get(tx, projects::DEFAULT, &wanted, nodes::LONE)?;
            if row.state == networks::CREATED {
                return spec::whole(tx, &row).map(Some);
            }
            networks::delete(tx, id)?;
            Ok(None)
        })
        .await?;
    match recorded {
        Some((spec, hosts)) => start::bring_up(core, &spec, &hosts).await,
        None => core.bridges.delete(name).await,
    }
}

/// Takes an interrupted change of a bridge back: it gets the `old` description and configuration again, unless it was changed
/// once more since, and the host is rid of what only the `new` one wanted.
///
/// # Errors
/// As [`settle`].
pub async fn unchange(core: &SharedCore, name: &NetworkName, old: &Stored, new: &Stored) -> Result<()> {
    let (wanted, back, interrupted) = (name.to_string(), old.clone(), new.clone());
    let row = core
        .db
        .write(move |tx| {
            let Some(id) = networks::find(tx, projects::DEFAULT, &wanted)? else { return Ok(None) };
            let row = networks::get(tx, projects::DEFAULT, &wanted, nodes::LONE)?;
            if row.config == interrupted.config && row.description == interrupted.description {
                networks::update(tx, id, nodes::LONE, &back.description, &back.config)?;
            }
            Ok(Some(row))
        })
        .await?;
    if let Some(row) = row {
        for config in [&old.config, &new.config] {
            let row = networks::Network { config: config.clone(), ..row.clone() };
            core.bridges.may_hold(&spec::of(&row)?).await;
        }
    }
    settle(core, name).await
}

/// What is stored of a network and can change.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Stored {
    /// Its description.
    pub description: String,
    /// Its configuration, with what is ours.
    pub config: Config,
}
