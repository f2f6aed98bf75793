//! Warnings about rules of other programs that keep packets of bridges from passing.

use std::time::Duration;

use lxd_db::warnings::Subject;
use lxd_db::{networks, nodes};
use lxd_host::{Cmd, CmdError};
use lxd_network::clash::{self, Families};
use lxd_types::ConfigExt;

use crate::SharedCore;
use crate::warnings::WarningType;

/// Rules of hosts with many containers are long.
const OUTPUT: usize = 16 << 20;

/// How long the rules of others are left alone after a change before they are looked at.
const SETTLED: Duration = Duration::from_secs(1);

/// Where the names of the old tables of each family are, and the program that prints them.
const OLD: [(&str, &str); 2] = [
    ("/proc/net/ip_tables_names", "iptables-legacy-save"),
    ("/proc/net/ip6_tables_names", "ip6tables-legacy-save"),
];

/// Looks at the host's rules in the background and raises or resolves the warning of each of these bridges.
pub(super) fn look(core: &SharedCore, rows: Vec<networks::Network>) {
    let core = core.clone();
    tokio::spawn(async move { look_now(&core, &rows).await });
}

/// Looks again whenever somebody else's rules change, until the daemon ends.
pub async fn watch_clashes(core: SharedCore) {
    loop {
        tokio::select! {
            () = core.end.cancelled() => return,
            () = core.bridges.firewall().others_change() => {}
        }
        // Programs change many rules, one after the other.
        tokio::select! {
            () = core.end.cancelled() => return,
            () = tokio::time::sleep(SETTLED) => {}
        }
        match core.db.read(|tx| networks::list(tx, None, nodes::LONE)).await {
            Ok(rows) => look_now(&core, &rows).await,
            Err(error) => tracing::error!(error = error.chain(), "The networks cannot be listed"),
        }
    }
}

/// All rules of the host, as its tools print them.
struct Rules {
    nft: String,
    /// Tables of the kernel's old interface.
    old: [String; 2],
}

async fn look_now(core: &SharedCore, rows: &[networks::Network]) {
    let rules = match Rules::read(core).await {
        Ok(rules) => rules,
        // Not known is not "none": the warnings stay as they are.
        Err(error) => return tracing::warn!(%error, "The host's firewall rules cannot be read"),
    };
    for row in rows.iter().filter(|row| row.kind == networks::BRIDGE) {
        tell(core, row, &rules).await;
    }
}

impl Rules {
    async fn read(core: &SharedCore) -> Result<Self, CmdError> {
        let nft = read(core, Cmd::new("nft").args(["list", "ruleset"])).await?;
        let mut old = [String::new(), String::new()];
        for ((names, program), saved) in OLD.into_iter().zip(&mut old) {
            // They are there only when somebody made them; looking must not.
            if std::fs::read_to_string(names).is_ok_and(|names| names.contains("filter")) {
                *saved = read(core, Cmd::new(program).args(["-t", "filter"])).await?;
            }
        }
        Ok(Self { nft, old })
    }
}

async fn tell(core: &SharedCore, row: &networks::Network, rules: &Rules) {
    let subject = Subject {
        type_code: WarningType::FirewallClash as i64,
        node_id: Some(nodes::LONE),
        project_id: Some(row.project_id),
        entity_id: Some(row.id),
        ..Subject::default()
    };
    let has = |key: &str| row.config.set(key).is_some_and(|value| value != "none");
    let families = Families { ipv4: has("ipv4.address"), ipv6: has("ipv6.address") };
    let mut found = clash::in_nft(&rules.nft, &row.name, families);
    for (ipv6, saved) in [false, true].into_iter().zip(&rules.old) {
        found.extend(clash::in_iptables(saved, ipv6, &row.name, families));
    }
    if found.is_empty() {
        return core.warning_resolved(subject).await;
    }
    let texts: Vec<String> = found.iter().map(|clash| clash.text(&row.name)).collect();
    core.warn_about(subject, &texts.join("; ")).await;
}

/// What a program prints; nothing when there is no such program.
async fn read(core: &SharedCore, cmd: Cmd) -> Result<String, CmdError> {
    match core.runner.run(cmd.output_limit(OUTPUT)).await {
        Ok(output) => Ok(output.text()),
        Err(CmdError::Missing { .. }) => Ok(String::new()),
        Err(error) => Err(error),
    }
}
