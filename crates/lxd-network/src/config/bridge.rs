//! How the keys of a bridge go together.

use std::net::IpAddr;

use lxd_types::{Cidr, Config, ConfigExt, Error, Flag, Result};

/// The longest name of a network in fan mode: its tunnel's interface has to have a name.
const FAN_NAME: usize = 11;

/// Checks a configuration whose keys and values are right.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn check(network: &str, config: &Config) -> Result<()> {
    check_fan(network, config)?;
    crate::bridge::tunnel::check_names(network, config)?;
    for family in ["ipv4", "ipv6"] {
        check_ovn_ranges(config, family)?;
    }
    Ok(())
}

/// In fan mode there is no configuration of addresses, elsewhere none of the fan.
fn check_fan(network: &str, config: &Config) -> Result<()> {
    let refuse = |text: String| Err(Error::bad_request(text));
    let sets = |start: &str| config.iter().any(|(key, value)| key.starts_with(start) && !value.is_empty());
    if config.value("bridge.mode") != "fan" {
        return match sets("fan.") {
            true => refuse("FAN configuration may only be set when in 'fan' mode".to_owned()),
            false => Ok(()),
        };
    }
    if network.len() > FAN_NAME {
        return refuse(format!(
            "Network name too long to use with the FAN (must be {FAN_NAME} characters or less)"
        ));
    }
    for (start, family) in [("ipv4.", "IPv4"), ("ipv6.", "IPv6")] {
        if sets(start) {
            return refuse(format!("{family} configuration may not be set when in 'fan' mode"));
        }
    }
    // The tunnel of a fan is made by a patch of the kernel and of iproute2 that only Ubuntu has.
    refuse("not supported yet: bridge.mode=fan".to_owned())
}

/// Addresses of OVN routers are not given out by DHCP.
fn check_ovn_ranges(config: &Config, family: &str) -> Result<()> {
    let refuse = |text: String| Err(Error::bad_request(text));
    let (ovn_key, dhcp_key) = (format!("{family}.ovn.ranges"), format!("{family}.dhcp.ranges"));
    let Some(ovn) = config.set(&ovn_key) else { return Ok(()) };
    let gives_out = config.flag(&format!("{family}.dhcp"), Flag::DefaultTrue)
        && (family == "ipv4" || config.flag("ipv6.dhcp.stateful", Flag::DefaultFalse));
    let subnet = config.value(&format!("{family}.address")).parse::<Cidr>().ok();
    let ovn_ranges = ranges(&ovn_key, ovn, subnet)?;
    if !gives_out {
        return Ok(());
    }
    let Some(dhcp) = config.set(&dhcp_key) else {
        let version = if family == "ipv4" { "DHCPv4" } else { "DHCPv6" };
        return refuse(format!(
            "{ovn_key:?} must be used in conjunction with non-overlapping {dhcp_key:?} when {version} is enabled"
        ));
    };
    let dhcp_ranges = ranges(&dhcp_key, dhcp, subnet)?;
    for (text, first, last) in &ovn_ranges {
        if dhcp_ranges.iter().any(|(_, start, end)| first <= end && start <= last) {
            return refuse(format!(
                "The range specified in {ovn_key:?} ({text:?}) cannot overlap with {dhcp_key:?}"
            ));
        }
    }
    Ok(())
}

/// The ranges of a list, which must be in the subnet and not backwards.
fn ranges(key: &str, list: &str, subnet: Option<Cidr>) -> Result<Vec<(String, IpAddr, IpAddr)>> {
    let refuse = |text: String| Err(Error::bad_request(text).context(format!("Failed parsing {key}")));
    let mut found = Vec::new();
    for text in list.split(',').map(str::trim) {
        let Some((first, last)) = text.split_once('-') else { continue };
        let (Ok(first), Ok(last)) = (first.parse::<IpAddr>(), last.parse::<IpAddr>()) else { continue };
        if first > last {
            return refuse(format!(
                "Start IP {:?} must be less than End IP {:?}",
                first.to_string(),
                last.to_string()
            ));
        }
        if let Some(subnet) = subnet
            && !(subnet.contains(first) && subnet.contains(last))
        {
            let allowed = subnet.subnet();
            return refuse(format!(
                "IP range {text:?} does not fall within any of the allowed networks [{allowed}]"
            ));
        }
        found.push((text.to_owned(), first, last));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(network: &str, pairs: &[(&str, &str)]) -> String {
        let config = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        check(network, &config).map_or_else(|error| error.chain(), |()| "ok".to_owned())
    }

    #[test]
    fn refusals_are_those_of_the_reference() {
        let fan = ("bridge.mode", "fan");
        assert_eq!(
            text("br1", &[("fan.type", "vxlan")]),
            "FAN configuration may only be set when in 'fan' mode"
        );
        assert_eq!(
            text("abcdefghijkl", &[fan]),
            "Network name too long to use with the FAN (must be 11 characters or less)"
        );
        assert_eq!(text("br1", &[fan]), "not supported yet: bridge.mode=fan");
        let (address, ovn) = (("ipv4.address", "10.9.0.1/24"), ("ipv4.ovn.ranges", "10.9.0.3-10.9.0.9"));
        assert_eq!(
            text("br1", &[address, ovn]),
            "\"ipv4.ovn.ranges\" must be used in conjunction with non-overlapping \"ipv4.dhcp.ranges\" when DHCPv4 is \
             enabled"
        );
        let dhcp = |range| text("br1", &[address, ovn, ("ipv4.dhcp.ranges", range)]);
        assert_eq!(
            dhcp("10.9.0.5-10.9.0.20"),
            "The range specified in \"ipv4.ovn.ranges\" (\"10.9.0.3-10.9.0.9\") cannot overlap with \"ipv4.dhcp.ranges\""
        );
        assert_eq!(
            dhcp("10.8.0.1-10.8.0.2"),
            "Failed parsing ipv4.dhcp.ranges: IP range \"10.8.0.1-10.8.0.2\" does not fall within any of the allowed \
             networks [10.9.0.0/24]"
        );
        assert_eq!(
            dhcp("10.9.0.70-10.9.0.60"),
            "Failed parsing ipv4.dhcp.ranges: Start IP \"10.9.0.70\" must be less than End IP \"10.9.0.60\""
        );
        assert_eq!(dhcp("10.9.0.50-10.9.0.60"), "ok");
        assert_eq!(text("br1", &[address, ovn, ("ipv4.dhcp", "false")]), "ok");
    }
}
