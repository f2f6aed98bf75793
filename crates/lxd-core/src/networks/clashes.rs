//! Warnings about rules of other programs that keep packets of bridges from passing.

use lxd_db::warnings::Subject;
use lxd_db::{networks, nodes};
use lxd_host::Cmd;
use lxd_network::clash;

use crate::SharedCore;
use crate::warnings::WarningType;

/// Rules of hosts with many containers are long.
const OUTPUT: usize = 16 << 20;

/// Looks at the host's rules in the background and raises or resolves the warning of each of these bridges.
pub(super) fn look(core: &SharedCore, rows: Vec<networks::Network>) {
    let core = core.clone();
    tokio::spawn(async move {
        let nft = read(&core, Cmd::new("nft").args(["list", "ruleset"])).await;
        // Tables of the kernel's old interface are there only when somebody made them; looking must not.
        let old =
            std::fs::read_to_string("/proc/net/ip_tables_names").is_ok_and(|names| names.contains("filter"));
        let saved = match old {
            true => read(&core, Cmd::new("iptables-legacy-save").args(["-t", "filter"])).await,
            false => String::new(),
        };
        for row in rows.iter().filter(|row| row.kind == networks::BRIDGE) {
            tell(&core, row, &nft, &saved).await;
        }
    });
}

async fn tell(core: &SharedCore, row: &networks::Network, nft: &str, saved: &str) {
    let subject = Subject {
        type_code: WarningType::FirewallClash as i64,
        node_id: Some(nodes::LONE),
        project_id: Some(row.project_id),
        entity_id: Some(row.id),
        ..Subject::default()
    };
    let mut found = clash::in_nft(nft, &row.name);
    found.extend(clash::in_iptables(saved, &row.name));
    if found.is_empty() {
        return core.warning_resolved(subject).await;
    }
    let texts: Vec<String> = found.iter().map(|clash| clash.text(&row.name)).collect();
    core.warn_about(subject, &texts.join("; ")).await;
}

async fn read(core: &SharedCore, cmd: Cmd) -> String {
    match core.runner.run(cmd.output_limit(OUTPUT)).await {
        Ok(output) => output.text(),
        Err(error) => {
            tracing::debug!(%error, "The host's firewall rules cannot be read");
            String::new()
        }
    }
}
