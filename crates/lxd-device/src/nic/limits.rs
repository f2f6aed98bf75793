//! Traffic limits of an interface, set with `tc` on its end on the host.

use lxd_host::{Cmd, CmdError, Runner};
use lxd_types::error::Context;
use lxd_types::{BitRate, ConfigExt, Device, Error, Result};

/// Limits in bits per second; what is missing is unlimited.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Limits {
    /// Traffic to the instance.
    pub ingress: Option<u64>,
    /// Traffic from the instance.
    pub egress: Option<u64>,
}

/// The limits that the properties ask for; `limits.max` wins over the others.
pub(super) fn of(device: &Device) -> Result<Limits> {
    let read = |key: &str| -> Result<Option<u64>> {
        let Some(text) = device.set(key) else { return Ok(None) };
        let rate: BitRate = text.parse().map_err(Error::from).context(format!("Invalid value of {key:?}"))?;
        Ok(Some(rate.bits()).filter(|bits| *bits > 0))
    };
    let max = read("limits.max")?;
    Ok(Limits { ingress: max.or(read("limits.ingress")?), egress: max.or(read("limits.egress")?) })
}

/// The commands that set the limits on an interface that has none.
fn commands(interface: &str, limits: Limits) -> Vec<Cmd> {
    let tc = |line: &[&str]| Cmd::new("tc").args(line);
    let mut commands = Vec::new();
    if let Some(rate) = limits.ingress.map(|bits| format!("{bits}bit")) {
        let dev = ["dev", interface];
        commands.push(tc(
            &[&["qdisc", "add"][..], &dev, &["root", "handle", "1:0", "htb", "default", "10"]].concat()
        ));
        let class = ["parent", "1:0", "classid", "1:10", "htb", "rate", &rate];
        commands.push(tc(&[&["class", "add"][..], &dev, &class].concat()));
        let filter = ["parent", "1:0", "protocol", "all", "u32", "match", "u32", "0", "0", "flowid", "1:1"];
        commands.push(tc(&[&["filter", "add"][..], &dev, &filter].concat()));
    }
    if let Some(rate) = limits.egress.map(|bits| format!("{bits}bit")) {
        let dev = ["dev", interface];
        commands.push(tc(&[&["qdisc", "add"][..], &dev, &["handle", "ffff:0", "ingress"]].concat()));
        let filter = ["parent", "ffff:0", "protocol", "all", "u32", "match", "u32", "0", "0"];
        let police = ["police", "rate", &rate, "burst", "1024k", "mtu", "64kb", "drop", "flowid", ":1"];
        commands.push(tc(&[&["filter", "add"][..], &dev, &filter, &police].concat()));
    }
    commands
}

/// Sets the limits on an interface. A new interface has none, so there is nothing to remove first.
///
/// # Errors
/// What `tc` says.
pub(super) async fn set(runner: &dyn Runner, interface: &str, limits: Limits) -> Result<()> {
    for command in commands(interface, limits) {
        runner.run(command).await.map_err(|e| Error::from(e).context("Failed to set network limits"))?;
    }
    Ok(())
}

/// Replaces the limits of an interface.
///
/// # Errors
/// What `tc` says.
pub(super) async fn replace(runner: &dyn Runner, interface: &str, limits: Limits) -> Result<()> {
    for which in ["root", "ingress"] {
        let removed = runner.run(Cmd::new("tc").args(["qdisc", "del", "dev", interface, which])).await;
        match removed {
            // tc says so when there was none.
            Ok(_) | Err(CmdError::Failed { .. }) => {}
            Err(error) => return Err(Error::from(error).context("Failed to remove network limits")),
        }
    }
    set(runner, interface, limits).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(pairs: &[(&str, &str)]) -> Limits {
        of(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()).unwrap()
    }

    #[test]
    fn max_wins() {
        let both = limits(&[("limits.max", "1Mbit"), ("limits.ingress", "5Mbit")]);
        assert_eq!(both, Limits { ingress: Some(1_000_000), egress: Some(1_000_000) });
        assert_eq!(limits(&[("limits.egress", "10kbit")]), Limits { ingress: None, egress: Some(10_000) });
        assert!(commands("veth1", limits(&[])).is_empty());
    }

    #[test]
    fn commands_are_those_of_the_reference() {
        let lines: Vec<String> =
            commands("veth1", limits(&[("limits.max", "1Mbit")])).iter().map(Cmd::line).collect();
        assert_eq!(
            lines,
            [
                "tc qdisc add dev veth1 root handle 1:0 htb default 10",
                "tc class add dev veth1 parent 1:0 classid 1:10 htb rate 1000000bit",
                "tc filter add dev veth1 parent 1:0 protocol all u32 match u32 0 0 flowid 1:1",
                "tc qdisc add dev veth1 handle ffff:0 ingress",
                "tc filter add dev veth1 parent ffff:0 protocol all u32 match u32 0 0 police rate 1000000bit burst \
                 1024k mtu 64kb drop flowid :1",
            ]
        );
    }
}
