//! Fixed addresses of interfaces that no DHCP service serves. Pure.

use std::collections::BTreeSet;

use lxd_types::{Cidr, ConfigExt, Device, Error, Result};

/// The addresses, each as a network of its own.
pub(super) fn of(device: &Device) -> Vec<Cidr> {
    let words = ["ipv4.address", "ipv6.address"].into_iter();
    let words = words.flat_map(|key| device.value(key).split(',').map(str::trim));
    let address = |word: &str| {
        let address: std::net::IpAddr = word.parse().ok()?;
        Cidr::new(address, if address.is_ipv4() { 32 } else { 128 }).ok()
    };
    words.filter_map(address).collect()
}

/// The further routing table that an address is routed in.
pub(super) fn table(device: &Device, address: &Cidr) -> Option<u32> {
    let family = if address.address().is_ipv4() { "ipv4" } else { "ipv6" };
    device.set(&format!("{family}.host_table"))?.parse().ok()
}

/// Refuses an address that is given twice.
pub(super) fn no_duplicates(device: &Device) -> Result<()> {
    let mut seen = BTreeSet::new();
    match of(device).iter().map(Cidr::address).find(|address| !seen.insert(*address)) {
        Some(twice) => Err(Error::bad_request(format!("Duplicate address {:?}", twice.to_string()))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        let device: Device = [("ipv4.address", "192.0.2.5, 192.0.2.6"), ("ipv4.host_table", "7")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        let found = of(&device);
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["192.0.2.5/32", "192.0.2.6/32"]
        );
        assert_eq!(table(&device, &found[0]), Some(7));
        assert!(no_duplicates(&device).is_ok());
        let twice: Device = [("ipv6.address".to_owned(), "fd00::1,fd00:0::1".to_owned())].into();
        assert!(no_duplicates(&twice).is_err());
    }
}
