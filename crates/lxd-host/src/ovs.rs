//! Open vSwitch bridges, through its tool `ovs-vsctl`, which is found by `PATH` and reads its own environment.

use std::sync::Arc;
use std::time::Duration;

use lxd_types::Mac;

use crate::netlink::{PortVlans, Untagged};
use crate::runner::{Cmd, CmdError, Runner};

/// Exit status of `br-exists` for "no".
const NO_BRIDGE: i32 = 2;

/// Open vSwitch on this host. Cheap to clone.
#[derive(Clone)]
pub struct Ovs {
    runner: Arc<dyn Runner>,
}

impl Ovs {
    /// With this way to run programs.
    pub fn new(runner: Arc<dyn Runner>) -> Self {
        Self { runner }
    }

    /// Whether there is such a bridge; no without Open vSwitch.
    ///
    /// # Errors
    /// The switch does not answer.
    pub async fn is_bridge(&self, name: &str) -> Result<bool, CmdError> {
        match self.call(&["br-exists", name]).await {
            Ok(_) => Ok(true),
            Err(error) if error.exit_code() == Some(NO_BRIDGE) => Ok(false),
            Err(CmdError::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a bridge unless it is there, and sets its hardware address.
    ///
    /// # Errors
    /// The switch is missing or refuses.
    pub async fn add_bridge(&self, name: &str, mac: Mac) -> Result<(), CmdError> {
        let address = format!("other-config:hwaddr=\"{mac}\"");
        self.call(&["--may-exist", "add-br", name, "--", "set", "bridge", name, &address]).await.map(drop)
    }

    /// Removes a bridge; success when it is gone.
    ///
    /// # Errors
    /// The switch is missing or refuses.
    pub async fn delete_bridge(&self, name: &str) -> Result<(), CmdError> {
        self.call(&["--if-exists", "del-br", name]).await.map(drop)
    }

    /// Makes an interface a port of a bridge, with exactly these VLANs, in one step: those of a port of this name that
    /// was left over go.
    ///
    /// # Errors
    /// The switch is missing or refuses.
    pub async fn add_port(&self, bridge: &str, port: &str, vlans: &PortVlans) -> Result<(), CmdError> {
        let args = add_port(bridge, port, &settings(vlans));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.call(&args).await.map(drop)
    }

    /// Takes a port from a bridge; success when it is none.
    ///
    /// # Errors
    /// The switch is missing or refuses.
    pub async fn delete_port(&self, bridge: &str, port: &str) -> Result<(), CmdError> {
        self.call(&["--if-exists", "del-port", bridge, port]).await.map(drop)
    }

    /// The ports of a bridge.
    ///
    /// # Errors
    /// The switch is missing or refuses.
    pub async fn ports(&self, bridge: &str) -> Result<Vec<String>, CmdError> {
        let output = self.call(&["list-ports", bridge]).await?;
        Ok(output.text().lines().map(str::to_owned).collect())
    }

    async fn call(&self, args: &[&str]) -> Result<crate::runner::Output, CmdError> {
        self.runner.run(Cmd::new("ovs-vsctl").args(args).timeout(Duration::from_secs(20))).await
    }
}

/// The arguments that make a port with these columns.
fn add_port(bridge: &str, port: &str, settings: &[String]) -> Vec<String> {
    let mut args = vec!["--may-exist", "add-port", bridge, port, "--", "clear", "port", port];
    args.extend(["tag", "trunks", "vlan_mode"]);
    if !settings.is_empty() {
        args.extend(["--", "set", "port", port]);
    }
    args.into_iter().map(str::to_owned).chain(settings.iter().cloned()).collect()
}

/// The columns of a port with these VLANs.
fn settings(vlans: &PortVlans) -> Vec<String> {
    let list = vlans.tagged.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    let mut settings = Vec::new();
    let mode = match (vlans.untagged, vlans.tagged.is_empty()) {
        (Untagged::Default, true) => return settings,
        (Untagged::Vlan(_), true) => "access",
        (Untagged::None, _) => "trunk",
        (Untagged::Default | Untagged::Vlan(_), false) => "native-untagged",
    };
    settings.push(format!("vlan_mode={mode}"));
    if let Untagged::Vlan(vlan) = vlans.untagged {
        settings.push(format!("tag={vlan}"));
    }
    if !list.is_empty() {
        settings.push(format!("trunks={list}"));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_left_over_loses_its_vlans() {
        let clears = "--may-exist add-port br0 v0 -- clear port v0 tag trunks vlan_mode";
        assert_eq!(add_port("br0", "v0", &[]).join(" "), clears);
        let settings = ["vlan_mode=access".to_owned(), "tag=5".to_owned()];
        let wanted = format!("{clears} -- set port v0 vlan_mode=access tag=5");
        assert_eq!(add_port("br0", "v0", &settings).join(" "), wanted);
    }

    #[test]
    fn settings_are_those_of_the_reference() {
        let of = |untagged, tagged: &[u16]| settings(&PortVlans { untagged, tagged: tagged.to_vec() });
        assert_eq!(of(Untagged::Vlan(5), &[]), ["vlan_mode=access", "tag=5"]);
        assert_eq!(of(Untagged::None, &[6, 8, 9]), ["vlan_mode=trunk", "trunks=6,8,9"]);
        assert_eq!(of(Untagged::Default, &[6]), ["vlan_mode=native-untagged", "trunks=6"]);
        assert_eq!(of(Untagged::Vlan(5), &[6]), ["vlan_mode=native-untagged", "tag=5", "trunks=6"]);
        assert!(of(Untagged::Default, &[]).is_empty());
    }
}
