//! Type `proxy` (manual 3.2.2): connections led from the host into an instance or the other way round, by a helper of
//! its own or by address translation.

mod address;
mod keys;
mod running;

use std::net::IpAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use lxd_config::Table;
use lxd_host::Helper;
use lxd_host::netlink::Netlink;
use lxd_network::firewall::{self, Firewall, Forward};
use lxd_types::helper::{Proxy, ProxyEnd};
use lxd_types::{ConfigExt, Device, DeviceExt, Error, Flag, IdKind, InstanceKind, Result};

use crate::context::{Attach, Context, DeviceType, Facts, Level};
use crate::started::{Started, Volatile};
pub use keys::PROXY;

/// The type `proxy`.
pub struct ProxyDevice {
    helper: Result<Helper, String>,
    firewall: Firewall,
    netlink: Netlink,
}

impl ProxyDevice {
    /// A type that forwards with this helper; why there is none is told to whom needs it.
    pub fn new(helper: Result<Helper, String>, firewall: Firewall, netlink: Netlink) -> Self {
        Self { helper, firewall, netlink }
    }
}

impl ProxyDevice {
    /// The instance's own packets to its forwarded address go out where they came in. Interfaces that are being started
    /// see to it themselves.
    async fn allow_hairpin(&self, context: &Context) -> Result<()> {
        for (name, _) in context.siblings.iter().filter(|(_, device)| device.kind() == "nic") {
            let Some(host) = context.config.set(&format!("volatile.{name}.host_name")) else { continue };
            if self.netlink.link(host).await?.is_some_and(|link| link.master.is_some()) {
                self.netlink.set_hairpin(host, true).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl DeviceType for ProxyDevice {
    fn table(&self) -> &'static Table {
        &PROXY
    }

    fn supports(&self, kind: InstanceKind) -> bool {
        kind == InstanceKind::Container
    }

    fn validate(&self, device: &Device, _level: Level, _facts: &Facts) -> Result<()> {
        let (listen, connect) = (end(device, "listen")?, end(device, "connect")?);
        if connect.ports() > 1 && connect.ports() != listen.ports() {
            return Err(Error::bad_request("Mismatch between listen port(s) and connect port(s) count"));
        }
        let has_file = matches!(&listen, ProxyEnd::Unix(path) if !path.starts_with('@'));
        if !has_file && ["uid", "gid", "mode"].iter().any(|key| device.set(key).is_some()) {
            return Err(Error::bad_request(
                "Only proxy devices for non-abstract unix sockets can carry uid, gid, or mode properties",
            ));
        }
        let translates = translates(device);
        let wants_header = device.flag("proxy_protocol", Flag::DefaultFalse);
        if wants_header && (translates || !matches!(connect, ProxyEnd::Tcp(..))) {
            return Err(Error::bad_request(
                "The PROXY header can only be sent to tcp servers in non-nat mode",
            ));
        }
        if translates { translation(device, &listen, &connect).map(drop) } else { Ok(()) }
    }

    async fn start(&self, context: &Context, device: &Device) -> Result<Started> {
        if translates(device) {
            self.firewall.set_forward(label(context), forward(context, device)?).await?;
        }
        Ok(Started::default())
    }

    async fn adopt(&self, context: &Context, device: &Device) -> Result<()> {
        if translates(device) {
            self.firewall.adopt_forward(label(context), forward(context, device)?);
        }
        Ok(())
    }

    async fn attach(&self, context: &Context, device: &Device, instance: Attach<'_>) -> Result<()> {
        if translates(device) {
            return self.allow_hairpin(context).await;
        }
        let helper = self.helper.as_ref().map_err(|text| Error::internal(text.clone()))?;
        running::start(helper, &directory(context), &file(context), &job(context, device)?, instance).await
    }

    async fn stop(&self, context: &Context, device: &Device) -> Result<Volatile> {
        if translates(device) {
            self.firewall.remove_forward(label(context)).await?;
            return Ok(Volatile::new());
        }
        running::stop(&directory(context), &file(context)).await?;
        if let (Ok(ProxyEnd::Unix(path)), false) = (end(device, "listen"), inside(device)) {
            running::remove_socket(path).await?;
        }
        Ok(Volatile::new())
    }
}

fn directory(context: &Context) -> PathBuf {
    context.devices_dir.clone()
}

/// The name of the file that says which process forwards.
fn file(context: &Context) -> String {
    let device = context.device.as_str().replace('%', "%25").replace('/', "%2f");
    format!("proxy.{device}")
}

/// What is forwarded where.
fn forward(context: &Context, device: &Device) -> Result<Forward> {
    let (listen, connect) = (end(device, "listen")?, end(device, "connect")?);
    let mut rule = translation(device, &listen, &connect)?;
    rule.connect = static_address(context, rule.connect)?;
    Ok(rule)
}

fn label(context: &Context) -> String {
    firewall::label(context.project.as_str(), context.instance.as_str(), context.device.as_str())
}

fn end(device: &Device, key: &str) -> Result<ProxyEnd> {
    address::parse(device.value(key))
        .map_err(|why| Error::bad_request(format!("Invalid value for device option {key:?}: {why}")))
}

/// Whether a device is a proxy by address translation.
pub(crate) fn translates(device: &Device) -> bool {
    device.kind() == "proxy" && device.flag("nat", Flag::DefaultFalse)
}

/// Whether it listens in the instance.
fn inside(device: &Device) -> bool {
    !matches!(device.value("bind"), "" | "host")
}

/// The rule of a translation, as far as the properties alone say it.
fn translation(device: &Device, listen: &ProxyEnd, connect: &ProxyEnd) -> Result<Forward> {
    let refuse = |text: String| Err(Error::bad_request(text));
    if inside(device) {
        return refuse("Only host-bound proxies can use NAT".to_owned());
    }
    let name = |end: &ProxyEnd| match end {
        ProxyEnd::Tcp(..) => "tcp",
        ProxyEnd::Udp(..) => "udp",
        ProxyEnd::Unix(_) => "unix",
    };
    let (protocol, from, from_ports, to, to_ports) = match (listen, connect) {
        (ProxyEnd::Tcp(from, a), ProxyEnd::Tcp(to, b)) => ("tcp", *from, a, *to, b),
        (ProxyEnd::Udp(from, a), ProxyEnd::Udp(to, b)) => ("udp", *from, a, *to, b),
        _ => {
            let pair = (name(listen), name(connect));
            return refuse(format!("Proxying {} <-> {} is not supported when using NAT", pair.0, pair.1));
        }
    };
    if from.is_unspecified() {
        return refuse(format!("Cannot listen on wildcard address {:?} when in nat mode", from.to_string()));
    }
    if from.is_ipv4() != to.is_ipv4() {
        return refuse("Cannot mix IPv4 and IPv6 between listen and connect in nat mode".to_owned());
    }
    let target = |at: usize| to_ports.get(at).or(to_ports.first()).copied().unwrap_or_default();
    let ports = from_ports.iter().enumerate().map(|(at, port)| (*port, target(at))).collect();
    Ok(Forward { protocol, listen: from, connect: to, ports })
}

/// The instance's fixed address that is meant: only that one stays when the instance asks for another.
fn static_address(context: &Context, wanted: IpAddr) -> Result<IpAddr> {
    let family = if wanted.is_ipv4() { "ipv4" } else { "ipv6" };
    let key = format!("{family}.address");
    let nics = context.siblings.values().filter(|device| device.kind() == "nic");
    let fixed = nics.flat_map(|nic| nic.value(&key).split(',').filter_map(|text| text.trim().parse().ok()));
    let fixed: Vec<IpAddr> = fixed.collect();
    let found = fixed.iter().find(|address| wanted.is_unspecified() || **address == wanted);
    found.copied().ok_or_else(|| {
        let name = if wanted.is_ipv4() { "IPv4" } else { "IPv6" };
        let wanted = wanted.to_string();
        Error::bad_request(format!(
            "Connect IP {wanted:?} must be one of the instance's static {name} addresses"
        ))
    })
}

/// The helper's job, with ids as the side sees them that they are for.
fn job(context: &Context, device: &Device) -> Result<Proxy> {
    let number = |key: &str| device.value(key).parse::<u32>().unwrap_or(0);
    let user_namespace = !context.idmap.is_empty();
    let on_host = |kind, key: &str, inside: u32| match user_namespace {
        false => Ok(inside),
        true => context
            .idmap
            .to_host(kind, inside)
            .ok_or_else(|| Error::bad_request(format!("The instance's id map has no {key} {inside}"))),
    };
    let listen_inside = inside(device);
    let owner = if listen_inside {
        (on_host(IdKind::Uid, "uid", number("uid"))?, on_host(IdKind::Gid, "gid", number("gid"))?)
    } else {
        (number("uid"), number("gid"))
    };
    Ok(Proxy {
        listen: end(device, "listen")?,
        connect: end(device, "connect")?,
        listen_inside,
        user_namespace,
        root: (on_host(IdKind::Uid, "uid", 0)?, on_host(IdKind::Gid, "gid", 0)?),
        owner,
        mode: device.set("mode").and_then(|mode| u32::from_str_radix(mode, 8).ok()).unwrap_or(0o644),
        drop_to: (number("security.uid"), number("security.gid")),
        proxy_protocol: device.flag("proxy_protocol", Flag::DefaultFalse),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(pairs: &[(&str, &str)]) -> Device {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[tokio::test]
    async fn refusals_are_those_of_the_reference() {
        let firewall = Firewall::new(std::sync::Arc::new(lxd_host::RealRunner));
        let kind = ProxyDevice::new(Err(String::new()), firewall, Netlink::open().unwrap());
        let text = |pairs: &[(&str, &str)]| {
            let container = Level::Instance(InstanceKind::Container);
            let mut device = device(pairs);
            device.insert("type".to_owned(), "proxy".to_owned());
            kind.validate(&device, container, &Facts::default())
                .map_or_else(|error| error.chain(), |()| "ok".to_owned())
        };
        let (listen, connect) = (("listen", "tcp:127.0.0.1:90"), ("connect", "tcp:127.0.0.1:80"));
        let nat = ("nat", "true");
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[listen, connect], "ok"),
            (&[connect], "Invalid value for device option \"listen\": Unknown protocol type \"\""),
            (
                &[("listen", "tcp:127.0.0.1:80-81"), ("connect", "tcp:127.0.0.1:80-82")],
                "Mismatch between listen port(s) and connect port(s) count",
            ),
            (
                &[listen, connect, ("mode", "0600")],
                "Only proxy devices for non-abstract unix sockets can carry uid, gid, or mode properties",
            ),
            (
                &[listen, ("connect", "udp:127.0.0.1:80"), ("proxy_protocol", "true")],
                "The PROXY header can only be sent to tcp servers in non-nat mode",
            ),
            (&[listen, connect, nat, ("bind", "instance")], "Only host-bound proxies can use NAT"),
            (
                &[listen, ("connect", "udp:127.0.0.1:80"), nat],
                "Proxying tcp <-> udp is not supported when using NAT",
            ),
            (
                &[("listen", "tcp:0.0.0.0:90"), connect, nat],
                "Cannot listen on wildcard address \"0.0.0.0\" when in nat mode",
            ),
        ];
        for (pairs, wanted) in cases {
            assert_eq!(text(pairs), *wanted, "{pairs:?}");
        }
    }

    #[test]
    fn ports_are_led_in_pairs_or_to_one() {
        let rule = |listen: &str, connect: &str| {
            let device = device(&[("listen", listen), ("connect", connect), ("nat", "true")]);
            let (from, to) = (end(&device, "listen").unwrap(), end(&device, "connect").unwrap());
            translation(&device, &from, &to).unwrap().ports
        };
        assert_eq!(rule("tcp:10.0.0.1:1-2", "tcp:0.0.0.0:8-9"), [(1, 8), (2, 9)]);
        assert_eq!(rule("tcp:10.0.0.1:1-2", "tcp:0.0.0.0:8"), [(1, 8), (2, 8)]);
    }
}
