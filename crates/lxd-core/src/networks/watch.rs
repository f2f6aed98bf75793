//! Bridges that somebody takes from the host while the daemon runs: the network counts as unavailable, with a warning, and is
//! made again; the interfaces of running instances join it then.

use std::time::Duration;

use lxd_db::{networks, nodes, projects};
use lxd_host::netlink::{Gone, LinkWatch};
use lxd_types::names::NetworkName;
use lxd_types::{Error, Result};

use super::start;
use crate::SharedCore;

/// How long a lost bridge stays away: who deletes and makes it anew in one go is not disturbed.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks after the bridges until the daemon ends.
pub async fn watch(core: SharedCore) {
    let mut links = match LinkWatch::open() {
        Ok(links) => links,
        Err(error) => {
            tracing::error!(error = Error::from(error).chain(), "Bridges that go will not be noticed");
            return;
        }
    };
    loop {
        let gone = tokio::select! {
            () = core.end.cancelled() => return,
            gone = links.next() => gone,
        };
        let names = match gone {
            Some(Gone::Link(name)) => name.parse().into_iter().collect(),
            Some(Gone::Unknown) => core.bridges.known(),
            None => {
                tracing::error!("The kernel tells of no interfaces any more");
                return;
            }
        };
        for name in names {
            if let Err(error) = look(&core, &name).await {
                tracing::error!(network = %name, error = error.chain(), "A lost bridge cannot be made again");
            }
        }
    }
}

/// A bridge that runs as far as we know, and that is not there, is given up and made again.
async fn look(core: &SharedCore, name: &NetworkName) -> Result<()> {
    if !core.bridges.is_lost(name).await? {
        return Ok(());
    }
    let _turn = core.bridges.turn().await;
    // Who had the turn may have known about it.
    if !core.bridges.is_lost(name).await? {
        return Ok(());
    }
    let wanted = name.to_string();
    let row = core
        .db
        .read(move |tx| match networks::find(tx, projects::DEFAULT, &wanted)? {
            Some(_) => networks::get(tx, projects::DEFAULT, &wanted, nodes::LONE).map(Some),
            None => Ok(None),
        })
        .await?;
    // Its service listens on what is gone.
    if let Err(error) = core.bridges.stop(name).await {
        tracing::error!(network = %name, error = error.chain(), "Something of a lost bridge is left over");
    }
    if let Some(row) = row {
        start::unavailable(core, &row, "Network interface is gone", PAUSE).await;
    }
    Ok(())
}
