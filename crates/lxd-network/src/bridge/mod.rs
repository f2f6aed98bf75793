//! Managed bridges on the host: interface, addresses, routes, firewall rules, DHCP and DNS.
//!
//! [`Bridges::start`] makes what is there into what shall be, step by step and without touching what is right already:
//! it starts a bridge after a reboot, finds a running one after a restart of the daemon, and applies a changed
//! configuration under running instances.

pub mod dnsmasq;
pub mod forwards;
pub mod hosts;
pub mod leases;
mod link;
mod ports;
mod serve;
mod service;
pub mod spec;
pub mod tunnel;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use lxd_host::netlink::Netlink;
use lxd_host::{Ovs, Runner};
use lxd_sys::Dir;
use lxd_types::error::{Context, Many};
use lxd_types::names::NetworkName;
use lxd_types::{Error, Result};

use crate::firewall::Firewall;
use hosts::StaticHost;
use leases::Lease;
use service::{Running, blocking};
pub use spec::BridgeSpec;

/// All managed bridges of this server. Cheap to clone.
#[derive(Clone)]
pub struct Bridges {
    shared: Arc<Shared>,
}

struct Shared {
    runner: Arc<dyn Runner>,
    netlink: Netlink,
    ovs: Ovs,
    firewall: Firewall,
    root: PathBuf,
    group: Option<String>,
    /// One entry per network; the outer lock is held for a look-up only.
    states: Mutex<HashMap<NetworkName, Arc<tokio::sync::Mutex<State>>>>,
    /// The entries of the bridges that were started, by file name, as they were asked for. What is read does not wait for
    /// changes.
    started: Mutex<HashMap<NetworkName, BTreeMap<String, StaticHost>>>,
    /// Changes of what is recorded of networks follow each other.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// What runs of one bridge. Its lock makes the changes of one bridge follow each other.
#[derive(Default)]
struct State {
    spec: Option<BridgeSpec>,
    /// What may hold in part: changes that did not come to their end.
    halves: Vec<BridgeSpec>,
    service: Option<Running>,
    watcher: Option<tokio::task::JoinHandle<()>>,
}

impl State {
    /// From now on the end of the service is wanted.
    fn forget_watcher(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            watcher.abort();
        }
    }
}

impl Bridges {
    /// Bridges whose directories are below `root` (`LXD_DIR/networks`). Services run with the rights of `group`.
    pub fn new(runner: Arc<dyn Runner>, netlink: Netlink, root: PathBuf, group: Option<String>) -> Self {
        Self {
            shared: Arc::new(Shared {
                ovs: Ovs::new(runner.clone()),
                firewall: Firewall::new(runner.clone()),
                runner,
                netlink,
                root,
                group,
                states: Mutex::default(),
                started: Mutex::default(),
                turn: Arc::default(),
            }),
        }
    }

    /// Waits for one's turn to change what is recorded of networks; it ends when the guard is dropped. What a use case
    /// reads and then changes stays the same meanwhile.
    pub async fn turn(&self) -> tokio::sync::OwnedMutexGuard<()> {
        self.shared.turn.clone().lock_owned().await
    }

    /// Whether the bridge was started and not stopped since.
    pub fn is_started(&self, name: &NetworkName) -> bool {
        self.started().contains_key(name)
    }

    /// The static entries of a bridge that was started, as they were asked for.
    pub fn hosts(&self, name: &NetworkName) -> Option<Vec<StaticHost>> {
        self.started().get(name).map(|hosts| hosts.values().cloned().collect())
    }

    fn started(&self) -> std::sync::MutexGuard<'_, HashMap<NetworkName, BTreeMap<String, StaticHost>>> {
        self.shared.started.lock().expect("no panic happens while the lock is held")
    }

    /// Whether the bridge was started and its interface is gone since. Waits for a change of the bridge that is under way.
    ///
    /// # Errors
    /// The kernel refuses the question.
    pub async fn is_lost(&self, name: &NetworkName) -> Result<bool> {
        let known =
            self.shared.states.lock().expect("no panic happens while the lock is held").get(name).cloned();
        let Some(state) = known else { return Ok(false) };
        let state = state.lock().await;
        Ok(state.spec.is_some() && self.shared.netlink.link(name.as_str()).await?.is_none())
    }

    /// The bridges that were started at some time, in no order.
    pub fn known(&self) -> Vec<NetworkName> {
        self.shared.states.lock().expect("no panic happens while the lock is held").keys().cloned().collect()
    }

    /// Refuses when there is an interface of this name already.
    ///
    /// # Errors
    /// There is one, or the kernel refuses the question.
    pub async fn check_name_is_free(&self, name: &str) -> Result<()> {
        match self.shared.netlink.link(name).await? {
            None => Ok(()),
            // The reference's answer, status included.
            Some(_) => Err(Error::internal(format!("Network interface {name:?} already exists"))),
        }
    }

    /// Makes the bridge be as it shall be, with these static entries. Idempotent; instances are not cut off.
    ///
    /// # Errors
    /// What the host refused. What was done stays; the same call goes on from there.
    pub async fn start(&self, spec: &BridgeSpec, hosts: &[StaticHost]) -> Result<()> {
        let state = self.state(&spec.name);
        let mut state = state.lock().await;
        let before: Vec<BridgeSpec> = state.spec.iter().chain(&state.halves).cloned().collect();
        if !state.halves.contains(spec) {
            state.halves.push(spec.clone());
        }
        link::reconcile(&self.shared.netlink, &self.shared.ovs, spec, &before).await?;
        self.shared.firewall.set_network(spec).await?;
        self.serve(&mut state, spec, hosts).await?;
        state.spec = Some(spec.clone());
        state.halves.clear();
        let hosts = hosts.iter().map(|host| (host.file_name(), host.clone())).collect();
        self.started().insert(spec.name.clone(), hosts);
        Ok(())
    }

    /// Says that the host may hold parts of this: a change to it was interrupted. The next start takes them back.
    pub async fn may_hold(&self, spec: &BridgeSpec) {
        self.state(&spec.name).lock().await.halves.push(spec.clone());
    }

    /// The interfaces of the host that are ports of no bridge, as the driver of this one sees it.
    ///
    /// # Errors
    /// The kernel or the switch refuses the question.
    pub async fn unconnected(&self, spec: &BridgeSpec) -> Result<HashSet<String>> {
        let links = self.shared.netlink.links().await?.into_iter();
        let mut alone: HashSet<String> =
            links.filter(|link| link.master.is_none()).map(|link| link.name).collect();
        if spec.driver == spec::Driver::OpenVswitch {
            for port in self.shared.ovs.ports(spec.name.as_str()).await? {
                alone.remove(&port);
            }
        }
        Ok(alone)
    }

    /// Removes the bridge from the host; its directory stays. Everything is tried.
    ///
    /// # Errors
    /// What could not be removed.
    pub async fn stop(&self, name: &NetworkName) -> Result<()> {
        let state = self.state(name);
        let mut state = state.lock().await;
        let mut failed = Many::new();
        failed.keep(self.end_service(&mut state, name).await);
        failed.keep(self.shared.firewall.remove_network(name).await);
        failed.keep(link::remove(&self.shared.netlink, &self.shared.ovs, name.as_str()).await);
        state.spec = None;
        state.halves.clear();
        self.started().remove(name);
        failed.into_result(format!("Failed to stop network {name:?}", name = name.as_str()))
    }

    /// Removes the bridge with its directory. Success when nothing is there any more.
    ///
    /// # Errors
    /// What could not be removed.
    pub async fn delete(&self, name: &NetworkName) -> Result<()> {
        self.stop(name).await?;
        let (root, directory) = (self.shared.root.clone(), name.to_string());
        let removed = blocking(move || match Dir::open(root)?.remove_tree(directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        });
        removed.await.context("Failed to remove the network's directory")?;
        self.shared.states.lock().expect("no panic happens while the lock is held").remove(name);
        Ok(())
    }

    /// Gives a bridge another name: it is stopped, its directory moves, and it is started as `spec` says.
    ///
    /// # Errors
    /// What the host refused.
    pub async fn rename(&self, old: &NetworkName, spec: &BridgeSpec, hosts: &[StaticHost]) -> Result<()> {
        self.stop(old).await?;
        let (root, from, to) = (self.shared.root.clone(), old.to_string(), spec.name.to_string());
        let moved = blocking(move || {
            let root = Dir::open(root)?;
            if root.exists(&from)? { root.rename(&from, &to) } else { Ok(()) }
        });
        moved.await.context("Failed to rename the network's directory")?;
        self.start(spec, hosts).await
    }

    /// Adds or changes the static entry of an instance's interface; answers it with the addresses that were chosen.
    ///
    /// # Errors
    /// The file cannot be written, or there is no address to choose.
    pub async fn set_host(&self, name: &NetworkName, host: &StaticHost) -> Result<StaticHost> {
        let state = self.state(name);
        let state = state.lock().await;
        let Some(spec) = &state.spec else { return Ok(host.clone()) };
        if let Some(hosts) = self.started().get_mut(name) {
            hosts.insert(host.file_name(), host.clone());
        }
        if !spec.has_service() {
            return Ok(host.clone());
        }
        let mut fixed = self.fixed(spec, vec![host.clone()]).await?;
        let host = fixed.pop().unwrap_or_else(|| host.clone());
        let (file, line, gid) = (host.file_name(), host.line(spec), self.account()?.gid);
        let directory = self.directory(name).join(dnsmasq::HOSTS);
        let changed = blocking(move || match line {
            Some(line) => service::write_host(&Dir::open(directory)?, &file, &line, gid),
            None => remove_host(&Dir::open(directory)?, &file),
        });
        if changed.await.context("Failed to write a static DHCP entry")? {
            state.service.iter().for_each(Running::reload);
        }
        Ok(host)
    }

    /// The hosts with the addresses that are to be fixed and are not given.
    async fn fixed(&self, spec: &BridgeSpec, hosts: Vec<StaticHost>) -> Result<Vec<StaticHost>> {
        let open =
            |host: &StaticHost| host.fix_ipv4 && host.ipv4.is_none() || host.fix_ipv6 && host.ipv6.is_none();
        if !hosts.iter().any(open) {
            return Ok(hosts);
        }
        let directory = self.directory(&spec.name).join(dnsmasq::HOSTS);
        let files = blocking(move || service::read_hosts(&directory)).await;
        let files = files.context("Failed to read the static DHCP entries")?;
        let leases = self.leases(&spec.name).await?;
        let mut given: Vec<StaticHost> = Vec::new();
        for host in hosts {
            let others = files.iter().filter(|(file, _)| *file != host.file_name());
            let mut taken: HashSet<IpAddr> = others.flat_map(|(_, found)| both(*found)).collect();
            taken.extend(given.iter().flat_map(|other| both((other.ipv4, other.ipv6))));
            taken
                .extend(leases.iter().filter(|lease| lease.mac != Some(host.mac)).map(|lease| lease.address));
            let kept = files.iter().find(|(file, _)| *file == host.file_name());
            let kept = kept.map_or((None, None), |(_, found)| *found);
            given.push(hosts::fix(host, spec, kept, &taken)?);
        }
        Ok(given)
    }

    /// Removes a static entry by the name of its file ([`hosts::file_name`]); success when it is gone already.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub async fn remove_host(&self, name: &NetworkName, file: String) -> Result<()> {
        let state = self.state(name);
        let state = state.lock().await;
        if let Some(hosts) = self.started().get_mut(name) {
            hosts.remove(&file);
        }
        let directory = self.directory(name).join(dnsmasq::HOSTS);
        let removed = blocking(move || match Dir::open(directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            dir => remove_host(&dir?, &file),
        });
        if removed.await.context("Failed to remove a static DHCP entry")? {
            state.service.iter().for_each(Running::reload);
        }
        Ok(())
    }

    /// The leases that the service of a bridge gave.
    ///
    /// # Errors
    /// The file cannot be read; a missing one is no error.
    pub async fn leases(&self, name: &NetworkName) -> Result<Vec<Lease>> {
        let directory = self.directory(name);
        let text = blocking(move || match Dir::open(directory) {
            Ok(dir) => match dir.read_limited(dnsmasq::LEASES, leases::MAX_FILE) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
                other => other,
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        });
        let text = text.await.context("Failed to read the DHCP leases")?;
        Ok(leases::parse(&String::from_utf8_lossy(&text)))
    }

    /// Process id of the service of a bridge, if it runs.
    pub async fn service_pid(&self, name: &NetworkName) -> Option<i32> {
        self.state(name).lock().await.service.as_ref().map(Running::pid)
    }

    /// The socket to the host's network configuration.
    pub fn netlink(&self) -> &Netlink {
        &self.shared.netlink
    }

    /// Open vSwitch on this host.
    pub fn ovs(&self) -> &Ovs {
        &self.shared.ovs
    }

    /// The firewall of the host.
    pub fn firewall(&self) -> &Firewall {
        &self.shared.firewall
    }

    /// Applies other ACLs to a bridge that runs; one that does not gets them when it starts.
    ///
    /// # Errors
    /// What the host refuses; the old ones hold then.
    pub async fn set_acls(&self, spec: &BridgeSpec) -> Result<()> {
        let state = self.state(&spec.name);
        let mut state = state.lock().await;
        let Some(old) = &state.spec else { return Ok(()) };
        let new = BridgeSpec { acls: spec.acls.clone(), ..old.clone() };
        if *old != new {
            self.shared.firewall.set_network(&new).await?;
            state.spec = Some(new);
        }
        Ok(())
    }

    fn state(&self, name: &NetworkName) -> Arc<tokio::sync::Mutex<State>> {
        let mut states = self.shared.states.lock().expect("no panic happens while the lock is held");
        states.entry(name.clone()).or_default().clone()
    }

    fn directory(&self, name: &NetworkName) -> PathBuf {
        self.shared.root.join(name.as_str())
    }
}

fn both((ipv4, ipv6): (Option<Ipv4Addr>, Option<Ipv6Addr>)) -> impl Iterator<Item = IpAddr> {
    ipv4.map(IpAddr::from).into_iter().chain(ipv6.map(IpAddr::from))
}

fn remove_host(dir: &Dir, file: &str) -> std::io::Result<bool> {
    match dir.remove_file(file) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::spec::BridgeSpec;
    use lxd_types::Mac;

    /// The bridge `br1` with this configuration.
    pub(crate) fn spec(pairs: &[(&str, &str)]) -> BridgeSpec {
        let config = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        crate::config::validate(crate::config::NetworkKind::Bridge, "br1", &config, &config).unwrap();
        BridgeSpec::new(&"br1".parse().unwrap(), &config, Mac::instance([1, 2, 3])).unwrap()
    }
}
