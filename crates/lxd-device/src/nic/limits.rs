//! Traffic limits of an interface, set with `tc` on its end on the host.
//!
//! Traffic to the instance is shaped where it leaves the host. Traffic from the instance is policed where it comes in;
//! a kernel that cannot police redirects it to an interface of ours and shapes it there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lxd_host::netlink::Netlink;
use lxd_host::{Cmd, CmdError, Input, Runner};
use lxd_types::error::Context;
use lxd_types::{BitRate, ConfigExt, Device, Error, Result};

use crate::context::Context as DeviceContext;

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

/// Sets limits. Cheap to clone.
#[derive(Clone)]
pub struct Limiter {
    runner: Arc<dyn Runner>,
    netlink: Netlink,
    /// Whether the kernel was found unable to police.
    redirects: Arc<AtomicBool>,
}

impl Limiter {
    /// For interfaces of this host.
    pub fn new(runner: Arc<dyn Runner>, netlink: Netlink) -> Self {
        Self { runner, netlink, redirects: Arc::default() }
    }

    /// Sets the limits on an interface. A new interface has none, so there is nothing to remove first.
    ///
    /// # Errors
    /// What `tc` says.
    pub(super) async fn set(&self, interface: &str, limits: Limits) -> Result<()> {
        let failed = |error: CmdError| Error::from(error).context("Failed to set network limits");
        let first = shaping(interface, limits.ingress);
        let Some(rate) = limits.egress else { return self.batch(&first).await.map_err(failed) };
        self.batch(&[first, vec![format!("qdisc add dev {interface} handle ffff:0 ingress")]].concat())
            .await
            .map_err(failed)?;
        if !self.redirects.load(Ordering::Relaxed) {
            match self.batch(&[policing(interface, rate)]).await {
                Err(CmdError::Failed { .. }) => self.redirects.store(true, Ordering::Relaxed),
                done => return done.map_err(failed),
            }
        }
        let helper = helper(interface);
        self.netlink.delete_link(&helper).await?;
        self.netlink.create_ifb(&helper).await?;
        let redirect = format!(
            "filter add dev {interface} parent ffff:0 protocol all u32 match u32 0 0 action mirred egress redirect dev {helper}"
        );
        self.batch(&[shaping(&helper, Some(rate)), vec![redirect]].concat()).await.map_err(failed)
    }

    /// Replaces the limits of an interface.
    ///
    /// # Errors
    /// What `tc` says.
    pub(super) async fn replace(&self, interface: &str, limits: Limits) -> Result<()> {
        for which in ["root", "ingress"] {
            match self.batch(&[format!("qdisc del dev {interface} {which}")]).await {
                // tc says so when there was none.
                Ok(()) | Err(CmdError::Failed { .. }) => {}
                Err(error) => return Err(Error::from(error).context("Failed to remove network limits")),
            }
        }
        self.forget(interface).await?;
        self.set(interface, limits).await
    }

    /// Removes what was made beside an interface that is removed itself.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) async fn forget(&self, interface: &str) -> Result<()> {
        Ok(self.netlink.delete_link(&helper(interface)).await?)
    }

    /// Runs several commands by one process, in order, until one fails.
    async fn batch(&self, lines: &[String]) -> Result<(), CmdError> {
        if lines.is_empty() {
            return Ok(());
        }
        let text = lines.join("\n") + "\n";
        let cmd = Cmd::new("tc").args(["-batch", "-"]).input(Input::Bytes(text.into_bytes()));
        self.runner.run(cmd).await.map(drop)
    }
}

/// Removes what was made for the limits of a device beside its interface.
pub(super) async fn release(limiter: &Limiter, context: &DeviceContext, device: &Device) -> Result<()> {
    match (of(device)?.egress, super::veth::host_name(context, device)) {
        (Some(_), Some(host)) => limiter.forget(host).await,
        _ => Ok(()),
    }
}

/// The interface that traffic from another is redirected to: its name depends on that of the other only.
fn helper(interface: &str) -> String {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(interface);
    format!("lxifb{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
}

/// Commands that limit what leaves by an interface.
fn shaping(interface: &str, rate: Option<u64>) -> Vec<String> {
    let Some(rate) = rate else { return Vec::new() };
    vec![
        format!("qdisc add dev {interface} root handle 1:0 htb default 10"),
        format!("class add dev {interface} parent 1:0 classid 1:10 htb rate {rate}bit"),
        format!("filter add dev {interface} parent 1:0 protocol all u32 match u32 0 0 flowid 1:1"),
    ]
}

/// The command that limits what comes in by an interface.
fn policing(interface: &str, rate: u64) -> String {
    format!(
        "filter add dev {interface} parent ffff:0 protocol all u32 match u32 0 0 police rate {rate}bit burst 1024k mtu \
         64kb drop flowid :1"
    )
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
        assert_eq!(limits(&[]), Limits::default());
    }

    #[test]
    fn commands_are_those_of_the_reference() {
        assert_eq!(
            shaping("veth1", Some(1_000_000)),
            [
                "qdisc add dev veth1 root handle 1:0 htb default 10",
                "class add dev veth1 parent 1:0 classid 1:10 htb rate 1000000bit",
                "filter add dev veth1 parent 1:0 protocol all u32 match u32 0 0 flowid 1:1",
            ]
        );
        assert_eq!(
            policing("veth1", 1_000_000),
            "filter add dev veth1 parent ffff:0 protocol all u32 match u32 0 0 police rate 1000000bit burst 1024k mtu \
             64kb drop flowid :1"
        );
        assert!(shaping("veth1", None).is_empty());
    }

    #[test]
    fn names_of_helpers_fit() {
        assert!(helper("a-long-name-123").len() <= 15 && helper("a") != helper("b"));
    }
}
