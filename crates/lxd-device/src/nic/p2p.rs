//! `nictype=p2p`: a veth pair, one end stays on the host.

use async_trait::async_trait;
use lxd_config::Table;
use lxd_host::netlink::Netlink;
use lxd_types::{ConfigExt, Device, InstanceKind, Result};

use super::limits::{self, Limiter};
use super::veth::{self, Pair};
use super::{check, keys, routes};
use crate::context::{Context, DeviceType, Facts, Level};
use crate::started::{Started, Volatile};

/// The type `nic` with `nictype=p2p`.
pub struct P2pNic {
    netlink: Netlink,
    limiter: Limiter,
}

impl P2pNic {
    /// A type that makes interfaces on this host.
    pub fn new(netlink: Netlink, limiter: Limiter) -> Self {
        Self { netlink, limiter }
    }

    async fn prepare(&self, device: &Device, pair: &Pair) -> Result<()> {
        self.limiter.set(&pair.host, limits::of(device)?).await?;
        routes::add(&self.netlink, &pair.host, &routes::of(device)).await
    }
}

#[async_trait]
impl DeviceType for P2pNic {
    fn table(&self) -> &'static Table {
        &keys::P2P
    }

    fn supports(&self, _kind: InstanceKind) -> bool {
        true
    }

    fn validate(&self, device: &Device, _level: Level, _facts: &Facts) -> Result<()> {
        check::mtu(device)
    }

    async fn start(&self, context: &Context, device: &Device) -> Result<Started> {
        let pair = Pair::create(&self.netlink, context, device, None, veth::mtu(device)).await?;
        if let Err(error) = self.prepare(device, &pair).await {
            pair.give_up(&self.netlink).await;
            return Err(error);
        }
        Ok(pair.started(context, device))
    }

    async fn update(&self, context: &Context, old: &Device, new: &Device) -> Result<Started> {
        let Some(host) = context.volatile.set("host_name") else { return Ok(Started::default()) };
        let wanted = limits::of(new)?;
        if limits::of(old)? != wanted {
            self.limiter.replace(host, wanted).await?;
        }
        routes::replace(&self.netlink, host, &routes::of(old), &routes::of(new)).await?;
        Ok(Started::default())
    }

    async fn stop(&self, context: &Context, device: &Device) -> Result<Volatile> {
        limits::release(&self.limiter, context, device).await?;
        veth::remove(&self.netlink, context, device).await
    }
}
