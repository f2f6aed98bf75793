//! Device nodes that come and go while instances run (`required=false`, `usb`, `unix-hotplug`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lxd_db::instances;
use lxd_device::nodes::NodesDevice;
use lxd_host::DeviceEvents;
use lxd_types::{ConfigExt, Result};

use super::{Model, apply, hotplug, load, models};
use crate::SharedCore;

/// Tells the watcher of an instance that has such devices.
pub(super) fn nudge(core: &SharedCore, model: &Model) {
    if model.devices.values().any(NodesDevice::comes_and_goes) {
        core.nodes.notify_one();
    }
}

/// Gives running instances what appears and takes away what goes, until the daemon ends.
pub async fn watch(core: SharedCore) {
    let mut events = match DeviceEvents::new() {
        Ok(events) => events,
        Err(error) => {
            tracing::error!(%error, "Device nodes that come later will not be noticed");
            return;
        }
    };
    loop {
        let mut directories = renew_all(&core).await.unwrap_or_else(|error| {
            tracing::error!(error = error.chain(), "Device nodes cannot be compared with the host's");
            BTreeSet::new()
        });
        directories.retain(|directory| core.switches.watches(directory));
        let idle = directories.is_empty();
        if let Err(error) = events.watch(directories) {
            tracing::error!(%error, "Device nodes that come later will not be noticed");
        }
        tokio::select! {
            () = core.end.cancelled() => return,
            () = core.nodes.notified() => {}
            // Where nobody waits for a node, events of the host are nobody's business.
            next = events.next(), if !idle => if let Err(error) = next {
                tracing::error!(%error, "Events of devices cannot be read");
                return;
            },
        }
    }
}

/// Compares all running instances with the host; answers the directories in which nodes may appear.
async fn renew_all(core: &SharedCore) -> Result<BTreeSet<PathBuf>> {
    let mut directories = BTreeSet::new();
    if core.runtime.is_empty() {
        return Ok(directories);
    }
    for model in core.db.read(|tx| models(tx, instances::Filter::default())).await? {
        let Some(entry) = core.runtime.get(&model.key) else { continue };
        let some = model.devices.iter().filter(|(_, device)| NodesDevice::comes_and_goes(device));
        let mut names = Vec::new();
        for (name, device) in some {
            let source = device.set("source").or_else(|| device.set("path")).unwrap_or("/dev/bus/usb");
            directories.extend(Path::new(source).parent().map(Path::to_owned));
            names.push(name.clone());
        }
        if names.is_empty() {
            continue;
        }
        let _turn = apply::turn(core, &model.key).await;
        let wanted = model.key.clone();
        let renewed = async {
            let latest = core.db.read(move |tx| load(tx, &wanted)).await?;
            hotplug::renew(core, &entry.running, &latest, &names).await
        };
        if let Err(error) = renewed.await {
            tracing::warn!(instance = %model.key, error = error.chain(), "A device node could not be plugged");
        }
    }
    Ok(directories)
}
