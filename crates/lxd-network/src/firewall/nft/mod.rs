//! The driver `nftables`: scripts for `nft -f -`, which the kernel applies as a whole or not at all.
//!
//! All rules are in our own tables `inet lxd` and `bridge lxd`, in chains that are named after the network or the device;
//! tables of others are never touched.

mod acl;
mod forward;
mod network;
mod nic;

use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use lxd_host::{Cmd, Input, Runner};
use lxd_types::{Error, Result};

use super::{Change, Driver};

/// The driver.
pub struct Nft {
    runner: Arc<dyn Runner>,
}

impl Nft {
    /// A driver that runs `nft`.
    pub fn new(runner: Arc<dyn Runner>) -> Self {
        Self { runner }
    }
}

#[async_trait]
impl Driver for Nft {
    async fn apply(&self, changes: &[Change]) -> Result<i32> {
        let script = script(changes);
        let cmd = Cmd::new("nft").args(["-f", "-"]).input(Input::Bytes(script.0.into_bytes()));
        let done = self.runner.run(cmd).await;
        done.map(|done| done.pid).map_err(|e| Error::from(e).context("Failed to set up firewall"))
    }

    fn name(&self) -> &'static str {
        "nftables"
    }
}

/// The script for changes, in their order.
fn script(changes: &[Change]) -> Script {
    let mut script = Script::default();
    for change in changes {
        match change {
            Change::Network(spec) => network::replace(&mut script, spec),
            Change::ForgetNetwork(name) => network::remove(&mut script, name),
            Change::Port(label, filter) => nic::replace_port(&mut script, label, filter),
            Change::ForgetPort(label) => nic::remove_port(&mut script, label),
            Change::Routed(label, interface) => nic::replace_routed(&mut script, label, interface),
            Change::ForgetRouted(label) => nic::remove_routed(&mut script, label),
            Change::Forward(label, rule) => forward::replace(&mut script, label, rule),
            Change::ForgetForward(label) => forward::remove(&mut script, label),
        }
    }
    script
}

/// A text for `nft -f -`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Script(String);

/// A chain, bound to a hook or only jumped to.
#[derive(Clone, Copy, Debug)]
struct Chain {
    /// `inet` or `bridge`.
    family: &'static str,
    /// Beginning of its name.
    start: &'static str,
    /// Type, hook, priority; empty when it is only jumped to.
    hook: &'static str,
}

impl Script {
    /// The script as text.
    #[cfg(test)]
    fn text(&self) -> &str {
        &self.0
    }

    /// Makes a chain be there.
    fn chain(&mut self, chain: Chain, label: &str) {
        let Chain { family, start, hook } = chain;
        let _ = match hook {
            "" => writeln!(self.0, "add chain {family} lxd {start}.{label}"),
            hook => writeln!(self.0, "add chain {family} lxd {start}.{label} {{ {hook} }}"),
        };
    }

    /// Removes chains of a label, whether they are there or not.
    fn remove(&mut self, chains: &[Chain], label: &str) {
        for chain @ Chain { family, start, .. } in chains {
            // Adding first makes the deletion succeed in any case.
            let _ = writeln!(self.0, "add table {family} lxd");
            self.chain(*chain, label);
            let _ = writeln!(self.0, "flush chain {family} lxd {start}.{label}");
            let _ = writeln!(self.0, "delete chain {family} lxd {start}.{label}");
        }
    }

    /// Adds a chain with its rules; nothing when there are none.
    fn add(&mut self, chain: Chain, label: &str, rules: &[String]) {
        if rules.is_empty() {
            return;
        }
        self.chain(chain, label);
        let Chain { family, start, .. } = chain;
        for rule in rules {
            let _ = writeln!(self.0, "add rule {family} lxd {start}.{label} {rule}");
        }
    }
}
