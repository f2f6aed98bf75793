//! From the row of a network to what shall be on the host, and to what users see of it.

use lxd_db::networks::Network;
use lxd_db::{Tx, network_acls};
use lxd_network::acl::{self, BridgeAcls};
use lxd_network::bridge::BridgeSpec;
use lxd_network::bridge::hosts::StaticHost;
use lxd_network::config::Used;
use lxd_types::{Cidr, Config, ConfigExt, Mac, Result};

use crate::SharedCore;

/// Key of the hardware address that a bridge keeps. It is ours: users neither see nor set it.
pub(super) const HWADDR: &str = "volatile.bridge.hwaddr";

/// The rules of the ACLs of a bridge, if it has any.
///
/// # Errors
/// An ACL is missing, or has a rule that a bridge cannot have.
pub(super) fn acls(tx: &Tx<'_>, row: &Network) -> Result<Option<BridgeAcls>> {
    let names = acl::names(&row.config);
    if names.is_empty() {
        return Ok(None);
    }
    let stored = |name: &&str| {
        let stored = network_acls::get(tx, row.project_id, name)
            .map_err(|error| error.context(format!("Failed loading network ACL {name:?}")))?;
        crate::network_acls::rules(&stored)
    };
    let acls = names.iter().map(stored).collect::<Result<Vec<_>>>()?;
    BridgeAcls::new(&row.name, &row.config, &acls).map(Some)
}

/// Refuses ACLs that a network cannot have.
///
/// # Errors
/// One is missing or there twice, or has a rule that a bridge cannot have.
pub(super) fn check_acls(tx: &Tx<'_>, project_id: i64, name: &str, config: &Config) -> Result<()> {
    acl::check_names(config, &network_acls::names(tx, project_id)?.into_iter().collect())?;
    let stored = |name: &&str| crate::network_acls::rules(&network_acls::get(tx, project_id, name)?);
    let acls = acl::names(config).iter().map(stored).collect::<Result<Vec<_>>>()?;
    BridgeAcls::new(name, config, &acls).map(drop)
}

/// The bridge that a row describes.
///
/// # Errors
/// The row holds a value that is not allowed.
pub(super) fn of(row: &Network) -> Result<BridgeSpec> {
    let mac: Mac = row.config.value(HWADDR).parse().unwrap_or_else(|_| address_of(row.id));
    BridgeSpec::new(&row.name.parse()?, &visible(&row.config), mac)
}

/// As [`of`], with what other tables say of the bridge: its ACLs, its forwards and its instances' static entries.
///
/// # Errors
/// A row holds a value that is not allowed, or a failure of the database.
pub(crate) fn whole(tx: &Tx<'_>, row: &Network) -> Result<(BridgeSpec, Vec<StaticHost>)> {
    let mut spec = of(row)?;
    spec.acls = acls(tx, row)?;
    spec.forwards = super::forwards::specs(tx, row)?;
    Ok((spec, super::hosts::of(tx, &row.name)?))
}

/// For a row without an address (written by hand): the same one at every start.
fn address_of(id: i64) -> Mac {
    let [.., a, b, c] = id.to_be_bytes();
    Mac::instance([a, b, c])
}

/// The keys that users see.
pub(super) fn visible(config: &Config) -> Config {
    config.iter().filter(|(key, _)| key.as_str() != HWADDR).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// What users set; an empty value means "not set".
pub(super) fn without_empty(config: Config) -> Config {
    config.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// The keys that are stored of a bridge: what users set, without empty values, and what is ours.
pub(super) fn stored(config: Config, mac: &str) -> Config {
    let mut config = without_empty(config);
    config.insert(HWADDR.to_owned(), mac.to_owned());
    config
}

/// Subnets that a new bridge must not take: of interfaces, routes and recorded networks.
///
/// # Errors
/// The kernel or the database refuses.
pub(super) async fn used(core: &SharedCore) -> Result<Used> {
    let netlink = core.bridges.netlink();
    let mut used: Vec<_> = netlink.addresses(None).await?.iter().map(|address| address.cidr).collect();
    used.extend(netlink.routes().await?.iter().map(|route| route.destination));
    let rows = core.db.read(|tx| lxd_db::networks::list(tx, None, lxd_db::nodes::LONE)).await?;
    for row in rows {
        let addresses =
            ["ipv4.address", "ipv6.address"].map(|key| row.config.value(key).parse::<Cidr>().ok());
        used.extend(addresses.into_iter().flatten());
    }
    Ok(Used(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_address_is_not_shown() {
        let config = stored([("ipv4.nat".to_owned(), String::new())].into(), "00:16:3e:00:00:01");
        assert_eq!(config.len(), 1);
        assert!(visible(&config).is_empty());
        let row = Network {
            id: 7,
            project_id: 1,
            project: "default".to_owned(),
            name: "br1".to_owned(),
            description: String::new(),
            state: 1,
            kind: 0,
            config,
            locations: Vec::new(),
        };
        assert_eq!(of(&row).unwrap().mac.to_string(), "00:16:3e:00:00:01");
        assert_eq!(
            of(&Network { config: Config::new(), ..row }).unwrap().mac.to_string(),
            "00:16:3e:00:00:07"
        );
    }
}
