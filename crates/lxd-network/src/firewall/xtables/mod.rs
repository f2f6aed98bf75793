//! The driver `xtables`: `iptables`, `ip6tables` and `ebtables`, for hosts without a working `nft` or whose rules are there.
//!
//! A change is one call of `iptables-restore --noflush` per family, which the kernel applies table by table; when something is
//! refused, what was there before is put back. Rules in chains of others are found again by their comment. What a port may
//! send as a neighbour is seen by ip6tables only, through `br_netfilter`.

mod acl;
mod network;
mod port;
mod rules;

use std::sync::Arc;

use async_trait::async_trait;
use lxd_host::{Cmd, Input, Output, Runner, sysctl};
use lxd_types::{Error, Result};

use super::{Change, Driver, Forward, PortFilter};
use rules::{Owner, Place, Rules};

/// Rules of hosts with many containers are long.
const OUTPUT: usize = 64 << 20;

/// The setting that shows ip6tables what passes a bridge.
const BRIDGED: &str = "net/bridge/bridge-nf-call-ip6tables";

/// The rules of both families.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Both {
    ipv4: Rules,
    ipv6: Rules,
}

impl Both {
    fn of(&mut self, ipv4: bool) -> &mut Rules {
        if ipv4 { &mut self.ipv4 } else { &mut self.ipv6 }
    }
}

/// The driver.
pub struct Xtables {
    runner: Arc<dyn Runner>,
}

impl Xtables {
    /// A driver that runs the tools.
    pub fn new(runner: Arc<dyn Runner>) -> Self {
        Self { runner }
    }

    async fn run(&self, cmd: Cmd) -> Result<Output> {
        let done = self.runner.run(cmd.output_limit(OUTPUT)).await;
        done.map_err(|error| Error::from(error).context("Failed to set up firewall"))
    }

    /// Makes a change of both families; what was done is undone when something is refused.
    async fn replace(&self, owner: &Owner, new: &Both) -> Result<i32> {
        let mut done = Vec::new();
        let mut pid = 0;
        for (name, rules) in [("iptables", &new.ipv4), ("ip6tables", &new.ipv6)] {
            let saved = match self.run(Cmd::new(format!("{name}-save"))).await {
                Ok(saved) => saved.text(),
                // A kernel without IPv6 has no rules of it, and needs none.
                Err(_) if name == "ip6tables" && !sysctl::exists("net/ipv6") => break,
                Err(error) => return Err(error),
            };
            match self.restore(name, rules::script(&saved, std::slice::from_ref(owner), rules)).await {
                Ok(made) => pid = made.unwrap_or(pid),
                Err(error) => {
                    done.push((name, saved));
                    self.put_back(owner, done).await;
                    return Err(error);
                }
            }
            done.push((name, saved));
        }
        Ok(pid)
    }

    async fn put_back(&self, owner: &Owner, before: Vec<(&'static str, String)>) {
        for (name, saved) in before {
            let put_back = async {
                let now = self.run(Cmd::new(format!("{name}-save"))).await?.text();
                let old = Rules::saved(owner, &saved);
                self.restore(name, rules::script(&now, std::slice::from_ref(owner), &old)).await
            };
            if let Err(error) = put_back.await {
                tracing::error!(
                    owner = owner.comment,
                    error = error.chain(),
                    "Old firewall rules are not back"
                );
            }
        }
    }

    /// The process that did it, if there was something to do.
    async fn restore(&self, name: &str, script: String) -> Result<Option<i32>> {
        if script.is_empty() {
            return Ok(None);
        }
        let cmd = Cmd::new(format!("{name}-restore")).args(["--noflush", "--wait"]);
        let done = self.run(cmd.input(Input::Bytes(script.into_bytes()))).await?;
        Ok(Some(done.pid))
    }

    /// Makes the filter of a port; none when not given.
    async fn port(&self, label: &str, filter: Option<&PortFilter>) -> Result<i32> {
        let (owner, mut both) = (of_device(label, &["filter"]), Both::default());
        if let Some(filter) = filter {
            match sysctl::read(BRIDGED).is_ok_and(|value| value == "1") {
                true => port::neighbours(&mut both.ipv6, &owner, label, filter)?,
                false if filter.ipv6.is_some() => return Err(no_bridge_netfilter()),
                false => {
                    tracing::warn!(label, "Without br_netfilter, messages of neighbours are not filtered")
                }
            }
        }
        let owner = Owner { chains: vec![port::neighbour_chain(label)], ..owner };
        let listed = match self.run(Cmd::new("ebtables").arg("-L")).await {
            Ok(listed) => listed.text(),
            Err(error) if filter.is_some() => return Err(error),
            // Where there is no ebtables there is no filter to remove.
            Err(_) => String::new(),
        };
        let pid = self.replace(&owner, &both).await?;
        if let Err(error) = self.bridge(&port::calls(&listed, label, filter)).await {
            if let Err(left) = self.replace(&owner, &Both::default()).await {
                tracing::error!(label, error = left.chain(), "Firewall rules are left over");
            }
            return Err(error);
        }
        Ok(pid)
    }

    /// Runs the calls of ebtables: at once where the tool is the one of nftables, else one by one. What was made is removed
    /// again when one is refused.
    async fn bridge(&self, calls: &[Vec<String>]) -> Result<()> {
        if calls.is_empty() {
            return Ok(());
        }
        let version = self.run(Cmd::new("ebtables").arg("-V")).await?.text();
        if version.contains("nf_tables") {
            let lines: String = calls.iter().map(|call| format!("{}\n", call.join(" "))).collect();
            let script = Input::Bytes(format!("*filter\n{lines}").into_bytes());
            return self.run(Cmd::new("ebtables-restore").arg("--noflush").input(script)).await.map(drop);
        }
        for (number, call) in calls.iter().enumerate() {
            if let Err(error) = self.call(call).await {
                for made in calls[..number].iter().rev().filter_map(|call| port::undo(call)) {
                    if let Err(left) = self.call(&made).await {
                        tracing::error!(error = left.chain(), "A rule of ebtables is left over");
                    }
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn call(&self, call: &[String]) -> Result<()> {
        self.run(Cmd::new("ebtables").arg("--concurrent").args(call)).await.map(drop)
    }

    async fn one(&self, change: &Change) -> Result<i32> {
        match change {
            Change::Network(spec) => {
                let owner = of_network(spec.name.as_str());
                self.replace(&owner, &network::rules(&owner, spec)?).await
            }
            Change::ForgetNetwork(name) => self.replace(&of_network(name.as_str()), &Both::default()).await,
            Change::Port(label, filter) => self.port(label, Some(filter)).await,
            Change::ForgetPort(label) => self.port(label, None).await,
            Change::Routed(label, interface) => {
                let owner = of_device(label, &["raw"]);
                let mut both = Both::default();
                for ipv4 in [true, false] {
                    let words = format!("-i {interface} -m rpfilter --invert -j DROP");
                    both.of(ipv4).add(&owner, ("raw", "PREROUTING", Place::Last), &words)?;
                }
                self.replace(&owner, &both).await
            }
            Change::ForgetRouted(label) => self.replace(&of_device(label, &["raw"]), &Both::default()).await,
            Change::Forward(label, forward) => {
                let owner = of_device(label, &["nat"]);
                self.replace(&owner, &translated(&owner, forward)?).await
            }
            Change::ForgetForward(label) => self.replace(&of_device(label, &["nat"]), &Both::default()).await,
        }
    }
}

#[async_trait]
impl Driver for Xtables {
    async fn apply(&self, changes: &[Change]) -> Result<i32> {
        let mut pid = 0;
        for change in changes {
            pid = self.one(change).await?;
        }
        Ok(pid)
    }

    fn name(&self) -> &'static str {
        "xtables"
    }
}

fn of_network(name: &str) -> Owner {
    Owner {
        comment: format!("generated for LXD network {name}"),
        tables: &["nat", "filter"],
        chains: vec![acl::chain(name)],
    }
}

/// Whose the rules of a device are. Those of its kinds are told apart by their tables.
fn of_device(label: &str, tables: &'static [&'static str]) -> Owner {
    Owner { comment: format!("generated for LXD container {label}"), tables, chains: Vec::new() }
}

fn no_bridge_netfilter() -> Error {
    Error::bad_request(
        "security.ipv6_filtering needs the kernel module br_netfilter and the setting \
         net.bridge.bridge-nf-call-ip6tables=1 with the firewall driver xtables",
    )
}

/// Forwarding of ports to an instance.
fn translated(owner: &Owner, forward: &Forward) -> Result<Both> {
    let Forward { protocol, listen, connect, ports } = forward;
    let mut both = Both::default();
    let rules = both.of(connect.is_ipv4());
    let target = if connect.is_ipv4() { connect.to_string() } else { format!("[{connect}]") };
    for (from, to) in ports {
        let lead = format!(
            "-d {listen} -p {protocol} -m {protocol} --dport {from} -j DNAT --to-destination {target}:{to}"
        );
        for chain in ["PREROUTING", "OUTPUT"] {
            rules.add(owner, ("nat", chain, Place::First), &lead)?;
        }
        // The instance's own packets to itself must come back by way of the host.
        let back =
            format!("-s {connect} -d {connect} -p {protocol} -m {protocol} --dport {to} -j MASQUERADE");
        rules.add(owner, ("nat", "POSTROUTING", Place::First), &back)?;
    }
    Ok(both)
}
