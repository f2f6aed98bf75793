//! `nictype=physical`: the instance gets an interface of the host, which comes back when the instance ends.

use async_trait::async_trait;
use lxd_config::Table;
use lxd_host::netlink::{Link, Netlink};
use lxd_types::{ConfigExt, Device, Error, InstanceKind, Mac, Result};

use super::parent::{self, Parent};
use super::{check, keys, veth};
use crate::context::{Context, DeviceType, Facts, Level};
use crate::started::{NicEntry, Started, Volatile};

/// The type `nic` with `nictype=physical`.
pub struct PhysicalNic {
    netlink: Netlink,
}

impl PhysicalNic {
    /// A type that gives away interfaces of this host.
    pub fn new(netlink: Netlink) -> Self {
        Self { netlink }
    }

    async fn prepare(&self, link: &Link, mac: Option<Mac>, mtu: Option<u32>) -> Result<()> {
        if let Some(mac) = mac {
            self.netlink.set_mac(&link.name, mac).await?;
        }
        if let Some(mtu) = mtu {
            self.netlink.set_mtu(&link.name, mtu).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl DeviceType for PhysicalNic {
    fn table(&self) -> &'static Table {
        &keys::PHYSICAL
    }

    fn supports(&self, _kind: InstanceKind) -> bool {
        true
    }

    fn validate(&self, device: &Device, level: Level, _facts: &Facts) -> Result<()> {
        check::on_parent(device)?;
        check::works(&keys::PHYSICAL, device, level)
    }

    async fn start(&self, context: &Context, device: &Device) -> Result<Started> {
        let parent = Parent::find(&self.netlink, context, device).await?;
        let link = &parent.link;
        if link.master.is_some() {
            let text = format!("Parent device '{}' belongs to a bridge or bond of the host", link.name);
            return Err(Error::conflict(text));
        }
        let mac = device.set("hwaddr").map(str::parse).transpose()?;
        let mtu = parent::mtu(context, device);
        // Remembered first: whatever happens from here on can be taken back.
        let mut volatile = Volatile::from([
            ("host_name".to_owned(), link.name.clone()),
            ("last_state.mtu".to_owned(), link.mtu.to_string()),
            ("last_state.hwaddr".to_owned(), link.mac.map(|mac| mac.to_string()).unwrap_or_default()),
        ]);
        parent.remember(&mut volatile);
        if let Err(error) = self.prepare(link, mac, mtu).await {
            if let Err(left) = self.prepare(link, link.mac, Some(link.mtu)).await {
                tracing::error!(
                    interface = link.name,
                    error = left.chain(),
                    "An interface keeps its changes"
                );
            }
            parent.give_up(&self.netlink).await;
            return Err(error);
        }
        let nic = NicEntry { hwaddr: mac, mtu, ..veth::entry(context, device, link.name.clone()) };
        Ok(Started { nics: vec![nic], volatile, ..Started::default() })
    }

    async fn stop(&self, context: &Context, device: &Device) -> Result<Volatile> {
        let forgotten = ["host_name", "last_state.created", "last_state.mtu", "last_state.hwaddr"];
        let forgotten: Volatile = forgotten.map(|key| (key.to_owned(), String::new())).into();
        let Some(name) = context.volatile.set("host_name") else { return Ok(forgotten) };
        parent::release(&self.netlink, context, device).await?;
        match self.netlink.link(name).await? {
            Some(link) => {
                let before = |key: &str| context.volatile.set(key);
                let mac = before("last_state.hwaddr").and_then(|text| text.parse().ok());
                let mtu = before("last_state.mtu").and_then(|text| text.parse().ok());
                let mac = mac.filter(|mac| link.mac != Some(*mac));
                self.prepare(&link, mac, mtu.filter(|mtu| link.mtu != *mtu)).await?;
            }
            None if context.volatile.value("last_state.created") == "true" => {}
            None => tracing::warn!(interface = name, "An interface did not come back from an instance"),
        }
        Ok(forgotten)
    }
}
