//! At start: every recorded network is made to run again, all at once. A broken one does not stop the others.

use std::time::Duration;

use futures_util::future::join_all;
use lxd_db::warnings::Subject;
use lxd_db::{Tx, networks, nodes};
use lxd_network::bridge::BridgeSpec;
use lxd_network::bridge::hosts::StaticHost;
use lxd_network::config::NetworkKind;
use lxd_types::Result;
use lxd_types::names::NetworkName;

use super::{forwards, hosts, kind, spec, uplinks};
use crate::SharedCore;
use crate::warnings::WarningType;

/// The first time between two tries to start a broken network.
const SHORTEST: Duration = Duration::from_secs(10);

/// The longest time between two tries to start a broken network.
const LONGEST: Duration = Duration::from_secs(600);

/// Starts all networks of this member. Changes of networks wait meanwhile: what is started is what is recorded.
///
/// # Errors
/// The networks cannot be listed.
pub async fn start_all(core: &SharedCore) -> Result<()> {
    let _turn = core.bridges.turn().await;
    let read = |tx: &Tx<'_>| {
        let mut rows = networks::list(tx, None, nodes::LONE)?;
        rows.retain(|row| row.state == networks::CREATED);
        let hosts = hosts::of_each(tx, &rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>())?;
        Ok((rows, hosts))
    };
    let (rows, hosts) = core.db.read(read).await?;
    join_all(rows.iter().zip(&hosts).map(|(row, hosts)| start_one(core, row, hosts))).await;
    super::clashes::look(core, rows);
    Ok(())
}

/// Starts a network; when it does not start it is tried again later, and a warning says so until it does.
async fn start_one(core: &SharedCore, row: &networks::Network, hosts: &[StaticHost]) {
    match start_network(core, row, hosts).await {
        Ok(()) => core.warning_resolved(subject(row)).await,
        Err(error) => {
            let text = format!("Unable to start network {:?}: {}", row.name, error.chain());
            unavailable(core, row, &text, SHORTEST).await;
        }
    }
}

/// Raises the warning about a network that does not work, and tries to start it, for the first time after the pause, until it does.
pub(super) async fn unavailable(core: &SharedCore, row: &networks::Network, text: &str, pause: Duration) {
    core.warn_about(subject(row), text).await;
    tokio::spawn(retry(core.clone(), row.project_id, row.name.clone(), subject(row), pause));
}

fn subject(row: &networks::Network) -> Subject {
    Subject {
        type_code: WarningType::NetworkUnavailable as i64,
        node_id: Some(nodes::LONE),
        project_id: Some(row.project_id),
        entity_id: Some(row.id),
        ..Subject::default()
    }
}

async fn retry(core: SharedCore, project_id: i64, name: String, subject: Subject, mut pause: Duration) {
    let Ok(network) = name.parse::<NetworkName>() else { return };
    loop {
        tokio::select! {
            () = core.end.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).clamp(SHORTEST, LONGEST);
        let _turn = core.bridges.turn().await;
        // A user may have mended, renamed or deleted it meanwhile.
        let done = core.bridges.is_started(&network)
            || match try_start(&core, project_id, &name).await {
                Ok(()) => true,
                Err(error) => {
                    tracing::warn!(network = name, error = error.chain(), "A network still does not start");
                    false
                }
            };
        let wanted = name.clone();
        let gone = core
            .db
            .read(move |tx| networks::find(tx, project_id, &wanted))
            .await
            .is_ok_and(|id| id.is_none());
        if done || gone {
            core.warning_resolved(subject).await;
            return;
        }
    }
}

async fn try_start(core: &SharedCore, project_id: i64, name: &str) -> Result<()> {
    let name = name.to_owned();
    let (row, hosts) = core
        .db
        .read(move |tx| Ok((networks::get(tx, project_id, &name, nodes::LONE)?, hosts::of(tx, &name)?)))
        .await?;
    start_network(core, &row, &hosts).await
}

async fn start_network(core: &SharedCore, row: &networks::Network, hosts: &[StaticHost]) -> Result<()> {
    if kind::kind(row.kind)? != NetworkKind::Bridge {
        return uplinks::of(row)?.start(core.bridges.netlink()).await;
    }
    let mut spec = spec::of(row)?;
    let recorded = row.clone();
    let more = move |tx: &Tx<'_>| Ok((forwards::specs(tx, &recorded)?, spec::acls(tx, &recorded)?));
    (spec.forwards, spec.acls) = core.db.read(more).await?;
    bring_up(core, &spec, hosts).await
}

/// Makes a bridge be as it shall be, and the interfaces of running instances its ports again: those that were ports of one
/// that somebody removed have none. An interface that does not follow is logged.
///
/// # Errors
/// What the host refuses of the bridge.
pub(super) async fn bring_up(core: &SharedCore, spec: &BridgeSpec, hosts: &[StaticHost]) -> Result<()> {
    core.bridges.start(spec, hosts).await?;
    if let Err(error) = crate::instances::nics::rejoin(core, spec).await {
        tracing::error!(network = %spec.name, error = error.chain(), "Instances are cut off from a network");
    }
    Ok(())
}
