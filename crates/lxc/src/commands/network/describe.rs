//! `lxc network info`

use anyhow::{Result, bail};
use lxd_api::network::NetworkState;
use lxd_api::server::Server;

use crate::cli::{Matches, Spec, TARGET};
use crate::cx::Cx;
use crate::output::{print, units};

/// The command.
pub static INFO: Spec = Spec {
    name: "info",
    args: super::NETWORK,
    about: "Print the state of a network (addresses, counters)",
    flags: &[TARGET],
    count: (1, 1),
    run: Some(|cx, m| Box::pin(info(cx, m))),
    ..Spec::NEW
};

async fn info(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = super::target(cx, matches)?;
    if matches.given("target") && !target.client.get::<Server>("/1.0").await?.environment.server_clustered {
        bail!("To use --target, the destination remote must be a cluster");
    }
    let state: NetworkState = target.client.get(&format!("{}/state", super::path(&target))).await?;
    print(&describe(&target.name, &state));
    Ok(())
}

fn describe(name: &str, state: &NetworkState) -> String {
    let mut out = format!("Name: {name}\nMAC address: {}\nMTU: {}\n", state.hwaddr, state.mtu);
    out += &format!("State: {}\nType: {}\n", state.state, state.kind);
    if !state.addresses.is_empty() {
        out += "\nIP addresses:\n";
        for address in &state.addresses {
            out += &format!(
                "  {}\t{}/{} ({})\n",
                address.family, address.address, address.netmask, address.scope
            );
        }
    }
    let counters = &state.counters;
    out += "\nNetwork usage:\n";
    out += &format!("  Bytes received: {}\n", units::bytes_decimal(counters.bytes_received, 2));
    out += &format!("  Bytes sent: {}\n", units::bytes_decimal(counters.bytes_sent, 2));
    out += &format!("  Packets received: {}\n", counters.packets_received);
    out += &format!("  Packets sent: {}\n", counters.packets_sent);
    if let Some(bond) = &state.bond {
        out += "\nBond:\n";
        out += &format!("  Mode: {}\n  Transmit policy: {}\n", bond.mode, bond.transmit_policy);
        out += &format!("  Up delay: {}\n  Down delay: {}\n", bond.up_delay, bond.down_delay);
        out += &format!("  MII Frequency: {}\n  MII State: {}\n", bond.mii_frequency, bond.mii_state);
        out += &format!("  Lower devices: {}\n", bond.lower_devices.join(", "));
    }
    if let Some(bridge) = &state.bridge {
        out += "\nBridge:\n";
        out += &format!(
            "  ID: {}\n  STP: {}\n  Forward delay: {}\n",
            bridge.id, bridge.stp, bridge.forward_delay
        );
        out += &format!(
            "  Default VLAN ID: {}\n  VLAN filtering: {}\n",
            bridge.vlan_default, bridge.vlan_filtering
        );
        out += &format!("  Upper devices: {}\n", bridge.upper_devices.join(", "));
    }
    if let Some(vlan) = &state.vlan {
        out += &format!("\nVLAN:\n  Lower device: {}\n  VLAN ID: {}\n", vlan.lower_device, vlan.vid);
    }
    out
}
