//! `lxc info`

use anyhow::{Result, bail};
use lxd_api::StatusCode;
use lxd_api::instance::InstanceFull;
use lxd_api::instance_state::{InstanceState, InstanceStateNetwork};
use lxd_api::resources::Resources;
use lxd_api::server::Server;
use lxd_client::Call;

use super::info_resources;
use crate::cli::{Matches, Spec, switch, value};
use crate::cx::{Cx, Target};
use crate::output::node::Node;
use crate::output::{print, table, units, yaml};

/// The command.
pub static SPEC: Spec = Spec {
    name: "info",
    args: "[<remote>:][<instance>]",
    about: "Print facts about an instance or the server",
    examples: "  lxc info [<remote>:]<instance> [--show-log]\n      About an instance.\n\n  lxc info [<remote>:] [--resources]\n      About the server.",
    flags: &[
        switch("resources", "Print the hardware of the server"),
        switch("show-log", "Print the end of the instance's log"),
        value("target", "Name of the cluster member"),
    ],
    count: (0, 1),
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.target(matches.arg(0))?;
    if target.name.is_empty() {
        return server(&target, matches).await;
    }
    if target.name.contains('/') {
        bail!("Invalid instance name");
    }
    if matches.given("target") {
        bail!("--target cannot be used with instances");
    }
    let path = format!("/1.0/instances/{}", target.segment());
    let instance: InstanceFull = target.client.get(&format!("{path}?recursion=1")).await?;
    let state: InstanceState = if instance.state.status.is_empty() {
        target.client.get(&format!("{path}/state")).await?
    } else {
        instance.state.clone()
    };
    print(&describe(&instance, &state));
    if matches.is("show-log") {
        let file = if instance.kind == "virtual-machine" { "qemu.log" } else { "lxc.log" };
        let log =
            target.client.stream(Call::new("GET", &format!("{path}/logs/{file}"))).await?.bytes().await?;
        println!("\nLog:\n\n{}", String::from_utf8_lossy(&log));
    }
    Ok(())
}

async fn server(target: &Target, matches: &Matches) -> Result<()> {
    let client = target.client.with_target(matches.value("target"));
    if matches.is("resources") {
        let resources: Resources = client.get("/1.0/resources").await?;
        print(&info_resources::describe(&resources));
        return Ok(());
    }
    let server: Server = client.get("/1.0").await?;
    let mut node = Node::of(&server)?;
    lower_driver_keys(&mut node);
    print(&yaml::emit(&node));
    Ok(())
}

/// JSON calls the members of storage drivers `Name` and so on, YAML `name`.
fn lower_driver_keys(node: &mut Node) {
    let Node::Map(members) = node else { return };
    for (key, member) in members {
        if key == "storage_supported_drivers"
            && let Node::Seq(drivers) = member
        {
            for driver in drivers {
                if let Node::Map(fields) = driver {
                    fields.iter_mut().for_each(|(key, _)| *key = key.to_lowercase());
                }
            }
        } else {
            lower_driver_keys(member);
        }
    }
}

fn describe(instance: &InstanceFull, state: &InstanceState) -> String {
    let mut out = format!("Name: {}\n", instance.name);
    if !instance.description.is_empty() {
        out += &format!("Description: {}\n", instance.description);
    }
    out += &format!("Status: {}\n", instance.status.to_uppercase());
    let kind = if instance.kind.is_empty() { "container" } else { &instance.kind };
    out +=
        &if instance.ephemeral { format!("Type: {kind} (ephemeral)\n") } else { format!("Type: {kind}\n") };
    out += &format!("Architecture: {}\n", instance.architecture);
    if !instance.location.is_empty() && instance.location != "none" {
        out += &format!("Location: {}\n", instance.location);
    }
    if state.pid > 0 {
        out += &format!("PID: {}\n", state.pid);
    }
    if !instance.created_at.is_never() {
        out += &format!("Created: {}\n", units::minute_local(&instance.created_at));
    }
    if !instance.last_used_at.is_never() {
        out += &format!("Last Used: {}\n", units::minute_local(&instance.last_used_at));
    }
    if state.pid > 0 && state.status_code != StatusCode::STOPPED {
        out += &resources(state);
    }
    out += &snapshots(instance);
    out += &backups(instance);
    out
}

fn resources(state: &InstanceState) -> String {
    let mut out = format!("\nResources:\n  Processes: {}\n", state.processes);
    let disks: Vec<String> = state
        .disk
        .iter()
        .filter(|(_, disk)| disk.usage > 0)
        .map(|(name, disk)| format!("    {name}: {}\n", units::bytes(disk.usage, 2)))
        .collect();
    if !disks.is_empty() {
        out += &format!("  Disk usage:\n{}", disks.concat());
    }
    if state.cpu.usage != 0 {
        out += &format!("  CPU usage:\n    CPU usage (in seconds): {}\n", state.cpu.usage / 1_000_000_000);
    }
    let memory = &state.memory;
    let lines = [
        ("Memory (current)", memory.usage),
        ("Memory (peak)", memory.usage_peak),
        ("Swap (current)", memory.swap_usage),
        ("Swap (peak)", memory.swap_usage_peak),
    ];
    let lines: Vec<String> = lines
        .iter()
        .filter(|(_, size)| *size != 0)
        .map(|(name, size)| format!("    {name}: {}\n", units::bytes(*size, 2)))
        .collect();
    if !lines.is_empty() {
        out += &format!("  Memory usage:\n{}", lines.concat());
    }
    if !state.network.is_empty() {
        out += "  Network usage:\n";
        for (name, network) in &state.network {
            out += &interface(name, network);
        }
    }
    out
}

fn interface(name: &str, network: &InstanceStateNetwork) -> String {
    let mut out =
        format!("    {name}:\n      Type: {}\n      State: {}\n", network.kind, network.state.to_uppercase());
    if !network.host_name.is_empty() {
        out += &format!("      Host interface: {}\n", network.host_name);
    }
    if !network.hwaddr.is_empty() {
        out += &format!("      MAC address: {}\n", network.hwaddr);
    }
    if network.mtu > 0 {
        out += &format!("      MTU: {}\n", network.mtu);
    }
    let counters = &network.counters;
    out += &format!("      Bytes received: {}\n", units::bytes_decimal(counters.bytes_received, 2));
    out += &format!("      Bytes sent: {}\n", units::bytes_decimal(counters.bytes_sent, 2));
    out += &format!("      Packets received: {}\n", counters.packets_received);
    out += &format!("      Packets sent: {}\n", counters.packets_sent);
    out += "      IP addresses:\n";
    for address in &network.addresses {
        let family = format!("{}:", address.family);
        out += &format!("        {family:6} {}/{} ({})\n", address.address, address.netmask, address.scope);
    }
    out
}

fn snapshots(instance: &InstanceFull) -> String {
    if instance.snapshots.is_empty() {
        return String::new();
    }
    let header = ["NAME", "TAKEN AT", "EXPIRES AT", "STATEFUL"].map(str::to_owned);
    let rows: Vec<Vec<String>> = instance
        .snapshots
        .iter()
        .map(|snapshot| {
            let time = |time: &lxd_api::Timestamp| {
                if time.is_never() { String::new() } else { units::minute_local(time) }
            };
            let name = snapshot.name.rsplit('/').next().unwrap_or_default().to_owned();
            let stateful = if snapshot.stateful { "YES" } else { "NO" };
            vec![name, time(&snapshot.created_at), time(&snapshot.expires_at), stateful.to_owned()]
        })
        .collect();
    format!("\nSnapshots:\n{}", table::framed(&header, &rows))
}

fn backups(instance: &InstanceFull) -> String {
    if instance.backups.is_empty() {
        return String::new();
    }
    let header = ["NAME", "TAKEN AT", "EXPIRES AT", "INSTANCE ONLY", "OPTIMIZED STORAGE"].map(str::to_owned);
    let yes = |value: bool| if value { "YES" } else { "NO" }.to_owned();
    let rows: Vec<Vec<String>> = instance
        .backups
        .iter()
        .map(|backup| {
            let time = |time: &lxd_api::Timestamp| {
                if time.is_never() { String::new() } else { units::minute_local(time) }
            };
            let name = backup.name.rsplit('/').next().unwrap_or_default().to_owned();
            let only = yes(backup.instance_only || backup.container_only);
            vec![
                name,
                time(&backup.created_at),
                time(&backup.expires_at),
                only,
                yes(backup.optimized_storage),
            ]
        })
        .collect();
    format!("\nBackups:\n{}", table::framed(&header, &rows))
}
