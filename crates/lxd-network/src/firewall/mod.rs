//! Firewall rules of instances' devices: pure renderers of `nft` scripts, and the one that applies them.
//!
//! A script replaces everything of one label as a whole or not at all. Chains are named after the label, in our own
//! tables `inet lxd` and `bridge lxd`; tables of others are never touched.

pub mod forward;
pub mod nic;

use std::fmt::Write as _;
use std::sync::Arc;

use lxd_host::{Cmd, Input, Runner};
use lxd_types::{Error, Result};
use sha2::{Digest, Sha256};

/// Longest label that is taken as it is: the kernel allows 127 bytes for the name of a chain.
const LONGEST: usize = 100;

/// Applies scripts. Cheap to clone.
#[derive(Clone)]
pub struct Firewall {
    runner: Arc<dyn Runner>,
}

impl Firewall {
    /// A firewall of this host.
    pub fn new(runner: Arc<dyn Runner>) -> Self {
        Self { runner }
    }

    /// Applies a script: all of it, or nothing.
    ///
    /// # Errors
    /// What `nft` says.
    pub async fn apply(&self, script: Script) -> Result<()> {
        let cmd = Cmd::new("nft").args(["-f", "-"]).input(Input::Bytes(script.0.into_bytes()));
        let done = self.runner.run(cmd).await;
        done.map(drop).map_err(|e| Error::from(e).context("Failed to set up firewall"))
    }
}

/// A text for `nft -f -`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Script(String);

/// A chain that is bound to a hook.
#[derive(Clone, Copy, Debug)]
struct Chain {
    /// `inet` or `bridge`.
    family: &'static str,
    /// Beginning of its name.
    start: &'static str,
    /// Type, hook, priority.
    hook: &'static str,
}

impl Script {
    /// The script as text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Removes chains of a label, whether they are there or not.
    fn remove(&mut self, chains: &[Chain], label: &str) {
        for Chain { family, start, hook } in chains {
            // Adding first makes the deletion succeed in any case.
            let _ = writeln!(self.0, "add table {family} lxd");
            let _ = writeln!(self.0, "add chain {family} lxd {start}.{label} {{ {hook} }}");
            let _ = writeln!(self.0, "flush chain {family} lxd {start}.{label}");
            let _ = writeln!(self.0, "delete chain {family} lxd {start}.{label}");
        }
    }

    /// Adds a chain with its rules; nothing when there are none.
    fn add(&mut self, chain: Chain, label: &str, rules: &[String]) {
        let Chain { family, start, hook } = chain;
        if rules.is_empty() {
            return;
        }
        let _ = writeln!(self.0, "add chain {family} lxd {start}.{label} {{ {hook} }}");
        for rule in rules {
            let _ = writeln!(self.0, "add rule {family} lxd {start}.{label} {rule}");
        }
    }
}

/// The label of a device: instance (with its project unless that is `default`) and device. What nft would not take as
/// part of a name is replaced by a hash, so that no name can become another or leave its place.
pub fn label(project: &str, instance: &str, device: &str) -> String {
    let plain = match project {
        "default" => format!("{instance}.{device}"),
        project => format!("{project}_{instance}.{device}"),
    };
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if plain.len() <= LONGEST && plain.bytes().all(good) {
        return plain;
    }
    let hash: String = Sha256::digest(&plain).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("device.{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_names_for_nft() {
        assert_eq!(label("default", "c1", "eth0"), "c1.eth0");
        assert_eq!(label("p-1", "c1", "eth0"), "p-1_c1.eth0");
        for odd in ["a/b", "a b", "a\nb", "a;b", "\u{e9}", &"x".repeat(200)] {
            let label = label("default", "c1", odd);
            assert!(label.len() <= LONGEST && label.starts_with("device."), "{label}");
        }
        assert_ne!(label("default", "c1", "a/b"), label("default", "c1", "a b"));
    }
}
