//! `nictype=sriov`: the instance gets a virtual function of an interface of the host, which comes back when it ends.

use std::collections::HashSet;

use async_trait::async_trait;
use lxd_config::Table;
use lxd_host::netlink::{Netlink, Scope, VfSettings};
use lxd_types::error::Many;
use lxd_types::{Config, ConfigExt, Device, Error, Flag, InstanceKind, Mac, Result};

use super::functions::{Function, Functions};
use super::{check, keys, parent, veth};
use crate::context::{Context, DeviceType, Facts, Level};
use crate::started::{NicEntry, Started, Volatile};

/// What is remembered while the function is away.
const KEPT: &[&str] = &[
    "host_name",
    "last_state.created",
    "last_state.hwaddr",
    "last_state.mtu",
    "last_state.vf.hwaddr",
    "last_state.vf.id",
    "last_state.vf.spoofcheck",
    "last_state.vf.vlan",
];

/// The type `nic` with `nictype=sriov`.
pub struct SriovNic {
    netlink: Netlink,
    functions: Functions,
}

impl SriovNic {
    /// A type that gives away virtual functions of this host.
    pub fn new(netlink: Netlink, functions: Functions) -> Self {
        Self { netlink, functions }
    }

    /// The interfaces of the host that are nobody's: no ports, without addresses.
    async fn free(&self) -> Result<HashSet<String>> {
        let links = self.netlink.links().await?;
        let addresses = self.netlink.addresses(None).await?;
        let used = |index: u32| {
            addresses.iter().any(|address| address.index == index && address.scope == Scope::Global)
        };
        Ok(links
            .into_iter()
            .filter(|link| link.master.is_none() && !used(link.index))
            .map(|link| link.name)
            .collect())
    }

    /// Takes a free function; all are made when there is none.
    async fn take(&self, parent: &str, wanted: Option<&str>, owner: &str) -> Result<Function> {
        if let Some(found) = self.functions.find(parent, wanted, owner, &self.free().await?)? {
            return Ok(found);
        }
        let Some(name) = wanted else {
            self.functions.make_all(parent).await?;
            let found = self.functions.find(parent, None, owner, &self.free().await?)?;
            let text = format!("All virtual functions of parent device {parent:?} are in use");
            return found.ok_or_else(|| Error::conflict(text));
        };
        Err(Error::conflict(format!("Virtual function {name:?} of {parent:?} is in use or not there")))
    }

    /// Gives the function its settings; answers what is to be remembered.
    async fn prepare(
        &self,
        properties: &Config,
        device: &Device,
        function: &Function,
        mac: Mac,
    ) -> Result<()> {
        let filter = device.flag("security.mac_filtering", Flag::DefaultFalse);
        let vlan = vlan(properties);
        let settings = VfSettings { mac: filter.then_some(mac), vlan, spoof_check: filter.then_some(true) };
        self.netlink.set_vf(properties.value("parent"), function.id, &settings).await?;
        self.netlink.set_mac(&function.interface, mac).await?;
        if let Some(mtu) = veth::mtu(properties) {
            self.netlink.set_mtu(&function.interface, mtu).await?;
        }
        Ok(())
    }

    /// Takes back what was set, as far as it is remembered. Everything is tried.
    async fn restore(&self, parent: &str, kept: &Volatile) -> Result<()> {
        let mut failed = Many::new();
        failed.keep(self.restore_function(parent, kept).await);
        failed.keep(self.restore_interface(kept).await);
        failed.into_result("Failed to restore a virtual function")
    }

    async fn restore_function(&self, parent: &str, kept: &Volatile) -> Result<()> {
        let Some(id) = remembered(kept, "last_state.vf.id").and_then(|text| text.parse().ok()) else {
            return Ok(());
        };
        if self.netlink.link(parent).await?.is_none() {
            return Ok(());
        }
        let settings = VfSettings {
            mac: remembered(kept, "last_state.vf.hwaddr").and_then(|text| text.parse().ok()),
            vlan: remembered(kept, "last_state.vf.vlan").and_then(|text| text.parse().ok()),
            spoof_check: remembered(kept, "last_state.vf.spoofcheck").map(|text| text == "true"),
        };
        // The check first: an address that it does not know could not be set.
        let check = VfSettings { spoof_check: settings.spoof_check, ..VfSettings::default() };
        self.netlink.set_vf(parent, id, &check).await?;
        Ok(self.netlink.set_vf(parent, id, &VfSettings { spoof_check: None, ..settings }).await?)
    }

    async fn restore_interface(&self, kept: &Volatile) -> Result<()> {
        let Some(name) = remembered(kept, "host_name") else { return Ok(()) };
        let Some(link) = self.netlink.link(name).await? else {
            tracing::warn!(interface = name, "A virtual function did not come back from an instance");
            return Ok(());
        };
        let mac: Option<Mac> = remembered(kept, "last_state.hwaddr").and_then(|text| text.parse().ok());
        if let Some(mac) = mac.filter(|mac| link.mac != Some(*mac)) {
            self.netlink.set_mac(name, mac).await?;
        }
        let mtu: Option<u32> = remembered(kept, "last_state.mtu").and_then(|text| text.parse().ok());
        match mtu.filter(|mtu| link.mtu != *mtu) {
            Some(mtu) => Ok(self.netlink.set_mtu(name, mtu).await?),
            None => Ok(()),
        }
    }
}

fn remembered<'a>(kept: &'a Volatile, key: &str) -> Option<&'a str> {
    kept.get(key).map(String::as_str).filter(|text| !text.is_empty())
}

/// The VLAN that the properties ask for; 0 stands for none.
fn vlan(properties: &Config) -> Option<u16> {
    properties.value("vlan").parse().ok().filter(|vlan| *vlan > 0)
}

#[async_trait]
impl DeviceType for SriovNic {
    fn table(&self) -> &'static Table {
        &keys::SRIOV
    }

    fn supports(&self, _kind: InstanceKind) -> bool {
        true
    }

    fn validate(&self, device: &Device, level: Level, _facts: &Facts) -> Result<()> {
        check::on_parent(device)?;
        check::works(&keys::SRIOV, device, level)
    }

    async fn start(&self, context: &Context, device: &Device) -> Result<Started> {
        let properties = parent::properties(context, device);
        let parent = properties.value("parent");
        if self.netlink.link(parent).await?.is_none() {
            return Err(Error::not_found(format!("Parent device {parent:?} doesn't exist")));
        }
        let (owner, wanted) = (context.device.as_str(), device.set("host_name"));
        let function = self.take(parent, wanted, owner).await?;
        let started = async {
            let link = self.netlink.require(&function.interface).await?;
            let mac = veth::hardware_address(context, device)?;
            let mut volatile = Volatile::from([
                ("host_name".to_owned(), function.interface.clone()),
                ("last_state.created".to_owned(), "false".to_owned()),
                ("last_state.mtu".to_owned(), link.mtu.to_string()),
                ("last_state.hwaddr".to_owned(), link.mac.map(|mac| mac.to_string()).unwrap_or_default()),
                ("last_state.vf.id".to_owned(), function.id.to_string()),
            ]);
            if vlan(properties).is_some() || device.flag("security.mac_filtering", Flag::DefaultFalse) {
                let before = self.netlink.vf(parent, function.id).await?.unwrap_or_default();
                let text = |value: Option<String>| value.unwrap_or_default();
                volatile.insert("last_state.vf.hwaddr".to_owned(), text(before.mac.map(|m| m.to_string())));
                volatile.insert("last_state.vf.vlan".to_owned(), before.vlan.unwrap_or(0).to_string());
                let check = text(before.spoof_check.map(|on| on.to_string()));
                volatile.insert("last_state.vf.spoofcheck".to_owned(), check);
            }
            if let Err(error) = self.prepare(properties, device, &function, mac).await {
                if let Err(left) = self.restore(parent, &volatile).await {
                    tracing::error!(parent, error = left.chain(), "A virtual function keeps its changes");
                }
                return Err(error);
            }
            if device.set("hwaddr").is_none() {
                volatile.insert("hwaddr".to_owned(), mac.to_string());
            }
            let entry = veth::entry(context, device, function.interface.clone());
            let nic = NicEntry { hwaddr: Some(mac), mtu: veth::mtu(properties), ..entry };
            Ok(Started { nics: vec![nic], volatile, ..Started::default() })
        };
        let started = started.await;
        if started.is_err() {
            self.functions.release(&function.interface);
        }
        started
    }

    async fn stop(&self, context: &Context, device: &Device) -> Result<Volatile> {
        let parent = parent::properties(context, device).value("parent");
        let restored = self.restore(parent, &context.volatile).await;
        if let Some(name) = context.volatile.set("host_name") {
            self.functions.release(name);
        }
        restored?;
        Ok(KEPT.iter().map(|key| ((*key).to_owned(), String::new())).collect())
    }
}
