//! The firewall: what shall hold of each network and device, and the driver that makes the host hold it.
//!
//! A change replaces everything of one label as a whole or not at all. What others wrote is never touched. What shall hold
//! is remembered, so that it can be put back when others remove it ([`Firewall::watch`]).

mod choose;
mod nft;
mod watch;
mod xtables;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lxd_host::Runner;
use lxd_types::names::NetworkName;
use lxd_types::{Cidr, Mac, Result};
use sha2::{Digest, Sha256};

use crate::bridge::BridgeSpec;
use choose::Chosen;

/// Longest label that is taken as it is: the kernel allows 127 bytes for the name of a chain.
const LONGEST: usize = 100;

/// What a port of a bridge may send.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PortFilter {
    /// The interface on the host.
    pub interface: String,
    /// The only hardware address it may have.
    pub mac: Mac,
    /// The only IPv4 networks it may send from; all when not given, none when empty.
    pub ipv4: Option<Vec<Cidr>>,
    /// The only IPv6 networks it may send from; all when not given, none when empty.
    pub ipv6: Option<Vec<Cidr>>,
}

/// What is forwarded where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Forward {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// Address of the host that is listened on.
    pub listen: IpAddr,
    /// Address of the instance.
    pub connect: IpAddr,
    /// Ports of the host and those of the instance that they lead to.
    pub ports: Vec<(u16, u16)>,
}

/// What shall hold from now on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// The rules of a bridge with its ACLs.
    Network(Box<BridgeSpec>),
    /// No rules of a bridge.
    ForgetNetwork(NetworkName),
    /// The filter of a port of a bridge, by the device's label.
    Port(String, PortFilter),
    /// No filter of a port.
    ForgetPort(String),
    /// A routed interface, by the device's label, sends only from addresses that are routed to it.
    Routed(String, String),
    /// No filter of a routed interface.
    ForgetRouted(String),
    /// Forwarding to an instance, by the device's label.
    Forward(String, Forward),
    /// No forwarding.
    ForgetForward(String),
}

/// Whose rules a change is about: networks and the kinds of devices, each by the label in the names of its chains.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Owner {
    Network,
    Port,
    Routed,
    Forward,
}

impl Change {
    fn key(&self) -> (Owner, String) {
        match self {
            Self::Network(spec) => (Owner::Network, network_label(&spec.name)),
            Self::ForgetNetwork(name) => (Owner::Network, network_label(name)),
            Self::Port(label, _) | Self::ForgetPort(label) => (Owner::Port, label.clone()),
            Self::Routed(label, _) | Self::ForgetRouted(label) => (Owner::Routed, label.clone()),
            Self::Forward(label, _) | Self::ForgetForward(label) => (Owner::Forward, label.clone()),
        }
    }

    fn forgets(&self) -> bool {
        matches!(
            self,
            Self::ForgetNetwork(_) | Self::ForgetPort(_) | Self::ForgetRouted(_) | Self::ForgetForward(_)
        )
    }
}

/// One way of telling the kernel.
#[async_trait]
pub(crate) trait Driver: Send + Sync {
    /// Makes changes hold, in their order: all of them, or none. Answers the process that did it.
    ///
    /// # Errors
    /// What the kernel or its tool refuses.
    async fn apply(&self, changes: &[Change]) -> Result<i32>;

    /// Its name.
    fn name(&self) -> &'static str;
}

/// The firewall of this host. Cheap to clone.
#[derive(Clone)]
pub struct Firewall {
    shared: Arc<Shared>,
}

struct Shared {
    driver: Box<dyn Driver>,
    known: Mutex<Known>,
    /// Changes are made side by side; what was lost is put back alone, so that it never undoes a change.
    turn: tokio::sync::RwLock<()>,
    /// The rules of others changed.
    others: tokio::sync::Notify,
}

/// What holds.
#[derive(Default)]
struct Known {
    wanted: BTreeMap<(Owner, String), Change>,
    /// The processes that made the last changes, and when.
    own: VecDeque<(i32, Instant)>,
}

/// How long our own processes are remembered: their events come soon after them, and others get their numbers later.
const REMEMBERED: Duration = Duration::from_secs(10);

impl Known {
    fn remember(&mut self, change: Change) {
        match change.forgets() {
            true => drop(self.wanted.remove(&change.key())),
            false => drop(self.wanted.insert(change.key(), change)),
        }
    }

    /// What this daemon made itself counts more than what an earlier one is thought to have made.
    fn adopt(&mut self, change: Change) {
        self.wanted.entry(change.key()).or_insert(change);
    }

    fn remember_process(&mut self, pid: i32) {
        self.own.retain(|(_, when)| when.elapsed() < REMEMBERED);
        self.own.push_back((pid, Instant::now()));
    }

    fn is_own(&self, pid: i32, now: Instant) -> bool {
        self.own.iter().any(|(own, when)| *own == pid && now.duration_since(*when) < REMEMBERED)
    }
}

impl Firewall {
    /// A firewall of this host.
    pub fn new(runner: Arc<dyn Runner>) -> Self {
        Self::with(Box::new(Chosen::new(runner)))
    }

    /// The name of the driver: `nftables` or `xtables`. Before the first change it is the usual one.
    pub fn driver(&self) -> &'static str {
        self.shared.driver.name()
    }

    fn with(driver: Box<dyn Driver>) -> Self {
        let (known, turn, others) = Default::default();
        Self { shared: Arc::new(Shared { driver, known, turn, others }) }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.shared.known.lock().expect("no panic happens while the lock is held")
    }

    async fn change(&self, change: Change) -> Result<()> {
        let _turn = self.shared.turn.read().await;
        let pid = self.shared.driver.apply(std::slice::from_ref(&change)).await?;
        let mut known = self.known();
        known.remember_process(pid);
        known.remember(change);
        Ok(())
    }

    /// Remembers the filter of a port that an earlier daemon made.
    pub fn adopt_port(&self, label: String, filter: PortFilter) {
        self.known().adopt(Change::Port(label, filter));
    }

    /// Remembers the filter of a routed interface that an earlier daemon made.
    pub fn adopt_routed(&self, label: String, interface: &str) {
        self.known().adopt(Change::Routed(label, interface.to_owned()));
    }

    /// Remembers the forwarding that an earlier daemon made.
    pub fn adopt_forward(&self, label: String, forward: Forward) {
        self.known().adopt(Change::Forward(label, forward));
    }

    /// Replaces the rules of a bridge.
    ///
    /// # Errors
    /// What the host refuses; the old rules hold then. So it is with all of these.
    pub async fn set_network(&self, spec: &BridgeSpec) -> Result<()> {
        self.change(Change::Network(Box::new(spec.clone()))).await
    }

    /// Removes the rules of a bridge, whether they are there or not.
    ///
    /// # Errors
    /// What the host refuses.
    pub async fn remove_network(&self, name: &NetworkName) -> Result<()> {
        self.change(Change::ForgetNetwork(name.clone())).await
    }

    /// Replaces the filter of a port of a bridge.
    ///
    /// # Errors
    /// What the host refuses.
    pub async fn set_port(&self, label: String, filter: PortFilter) -> Result<()> {
        self.change(Change::Port(label, filter)).await
    }

    /// Removes the filter of a port, whether it is there or not.
    ///
    /// # Errors
    /// What the host refuses.
    pub async fn remove_port(&self, label: String) -> Result<()> {
        self.change(Change::ForgetPort(label)).await
    }

    /// Lets a routed interface send only from addresses that are routed to it.
    ///
    /// # Errors
    /// What the host refuses.
    pub async fn set_routed(&self, label: String, interface: &str) -> Result<()> {
        self.change(Change::Routed(label, interface.to_owned())).await
    }

    /// Removes the filter of a routed interface, whether it is there or not.
    ///
    /// # Errors
    /// What the host refuses.
    pub async fn remove_routed(&self, label: String) -> Result<()> {
        self.change(Change::ForgetRouted(label)).await
    }

    /// Replaces the forwarding of a device.
    ///
    /// # Errors
    /// What the host refuses.
    pub async fn set_forward(&self, label: String, forward: Forward) -> Result<()> {
        self.change(Change::Forward(label, forward)).await
    }

    /// Removes the forwarding of a device, whether it is there or not.
    ///
    /// # Errors
    /// What the host refuses.
    pub async fn remove_forward(&self, label: String) -> Result<()> {
        self.change(Change::ForgetForward(label)).await
    }
}

/// The end of the names of a network's chains. The chains of a device are named after `INSTANCE.DEVICE`, which a
/// network may be called, too: a dot becomes a slash, which neither can have.
fn network_label(network: &NetworkName) -> String {
    network.as_str().replace('.', "/")
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
pub(crate) mod testing {
    use super::PortFilter;

    /// A filter of the interface `v0` with these networks.
    pub fn filter(ipv4: Option<&[&str]>, ipv6: Option<&[&str]>) -> PortFilter {
        let list = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        PortFilter {
            interface: "v0".to_owned(),
            mac: "00:16:3e:11:22:33".parse().unwrap(),
            ipv4: ipv4.map(list),
            ipv6: ipv6.map(list),
        }
    }
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
