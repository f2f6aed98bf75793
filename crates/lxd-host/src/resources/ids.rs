//! Names of vendors and products: `pci.ids` and `usb.ids`, where the distribution has them.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Where distributions keep the lists.
const PLACES: &[&str] = &["usr/share/hwdata", "usr/share/misc", "var/lib/usbutils"];

/// One list.
#[derive(Default)]
pub struct Ids {
    vendors: HashMap<String, String>,
    products: HashMap<(String, String), String>,
}

impl Ids {
    /// Reads a list; empty when there is none.
    pub fn load(root: &Path, name: &str) -> Self {
        let found = PLACES.iter().find_map(|place| fs::read(root.join(place).join(name)).ok());
        found.map_or_else(Self::default, |bytes| Self::parse(&String::from_utf8_lossy(&bytes)))
    }

    fn parse(text: &str) -> Self {
        let mut ids = Self::default();
        let mut vendor = String::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            if line.starts_with("C ") {
                // The lists of classes follow.
                break;
            }
            let Some((id, name)) = line.trim_start_matches('\t').split_once("  ") else { continue };
            match line.bytes().take_while(|byte| *byte == b'\t').count() {
                0 => {
                    vendor = id.to_owned();
                    ids.vendors.insert(vendor.clone(), name.to_owned());
                }
                1 => drop(ids.products.insert((vendor.clone(), id.to_owned()), name.to_owned())),
                _ => {}
            }
        }
        ids
    }

    /// The name of a vendor, or empty.
    pub fn vendor(&self, vendor: &str) -> String {
        self.vendors.get(vendor).cloned().unwrap_or_default()
    }

    /// The name of a product, or empty.
    pub fn product(&self, vendor: &str, product: &str) -> String {
        self.products.get(&(vendor.to_owned(), product.to_owned())).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        let ids = Ids::parse(
            "# list\n\n1af4  Red Hat, Inc.\n\t1041  Virtio network device\n\t\t1 2  sub\n8086  Intel\nC 00  Old\n\t00  x\n",
        );
        assert_eq!(ids.vendor("1af4"), "Red Hat, Inc.");
        assert_eq!(ids.product("1af4", "1041"), "Virtio network device");
        assert_eq!((ids.product("8086", "00"), ids.vendor("ffff")), (String::new(), String::new()));
    }
}
