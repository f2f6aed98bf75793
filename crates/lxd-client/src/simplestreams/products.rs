//! Lists of products: JSON from strangers, whatever is in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use lxd_types::arch::Architecture;
use serde::Deserialize;

use super::{StreamDelta, StreamFile, StreamImage};
use crate::{Error, Result};

#[derive(Deserialize)]
struct Products {
    // Not `default`: then an empty JSON list would be one of these too.
    products: Option<BTreeMap<String, Product>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Product {
    aliases: String,
    arch: String,
    os: String,
    release: String,
    release_title: String,
    version: String,
    variant: String,
    #[serde(alias = "supported_eol")]
    support_eol: String,
    #[serde(alias = "lxd_requirements")]
    requirements: BTreeMap<String, String>,
    versions: BTreeMap<String, Version>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Version {
    items: BTreeMap<String, Item>,
    label: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Item {
    delta_base: String,
    ftype: String,
    path: String,
    size: u64,
    sha256: String,
    combined_sha256: String,
    combined_rootxz_sha256: String,
    combined_squashfs_sha256: String,
    #[serde(rename = "combined_disk-kvm-img_sha256")]
    combined_disk_kvm: String,
    #[serde(rename = "combined_disk1-img_sha256")]
    combined_disk1: String,
    #[serde(rename = "combined_uefi1-img_sha256")]
    combined_uefi1: String,
}

/// A path below the server's URL that stays there.
pub(super) fn is_plain(path: &str) -> bool {
    let parts = || path.split('/');
    !path.is_empty()
        && !path.contains("://")
        && !path.contains(['?', '#', '\\'])
        && !path.chars().any(|c| c.is_whitespace() || c.is_control())
        && parts().all(|part| !part.is_empty() && part != "." && part != "..")
}

/// The images of a list of products.
///
/// # Errors
/// It is none.
pub fn parse(bytes: &[u8]) -> Result<Vec<StreamImage>> {
    let list: Products = serde_json::from_slice(bytes).map_err(Error::protocol)?;
    let mut images = Vec::new();
    for product in list.products.unwrap_or_default().into_values() {
        let Some(architecture) = Architecture::from_alias(&product.arch) else { continue };
        for serial in product.versions.keys() {
            images.extend(of_version(&product, architecture, serial));
        }
    }
    Ok(images)
}

/// A container's and a virtual machine's image of one version, where it has them.
fn of_version(product: &Product, architecture: Architecture, serial: &str) -> Vec<StreamImage> {
    let Some(version) = product.versions.get(serial) else { return Vec::new() };
    let items = || version.items.values().filter(|item| is_plain(&item.path));
    let of_type = |name: &str| items().find(|item| item.ftype == name);
    let mut found = Vec::new();
    if let Some(whole) = of_type("lxd_combined.tar.gz") {
        found.push(image(product, architecture, (serial, version), &whole.sha256, "tar.gz", &[whole]));
    }
    if let Some(meta) = of_type("lxd.tar.xz") {
        let root = ROOTS.iter().find_map(|name| Some((*name, combined(meta, name), of_type(name)?)));
        if let Some((name, hash, root)) = root.filter(|_| found.is_empty()) {
            found.push(image(product, architecture, (serial, version), hash, name, &[meta, root]));
        }
        let disk = DISKS.iter().find_map(|name| Some((*name, combined(meta, name), of_type(name)?)));
        if let Some((name, hash, disk)) = disk {
            let image = image(product, architecture, (serial, version), hash, name, &[meta, disk]);
            found.push(StreamImage { virtual_machine: true, ..image });
        }
    }
    found.retain(|image| is_hash(&image.fingerprint));
    found
}

/// Types of root file systems, best first.
const ROOTS: &[&str] = &["squashfs", "root.tar.xz"];

/// Types of disks of virtual machines, best first.
const DISKS: &[&str] = &["disk-kvm.img", "uefi1.img", "disk1.img"];

/// The hash over the metadata and a file of this type.
fn combined<'a>(meta: &'a Item, kind: &str) -> &'a str {
    match kind {
        "squashfs" => &meta.combined_squashfs_sha256,
        "root.tar.xz" if meta.combined_rootxz_sha256.is_empty() => &meta.combined_sha256,
        "root.tar.xz" => &meta.combined_rootxz_sha256,
        "disk-kvm.img" => &meta.combined_disk_kvm,
        "uefi1.img" => &meta.combined_uefi1,
        "disk1.img" => &meta.combined_disk1,
        _ => "",
    }
}

/// A file with the deltas that lead to it.
fn file(product: &Product, version: &Version, item: &Item) -> StreamFile {
    let kind = format!("{}.vcdiff", item.ftype);
    let deltas = version.items.values().filter(|delta| delta.ftype == kind && is_plain(&delta.path));
    let delta = |delta: &Item| {
        let older = product.versions.get(&delta.delta_base)?;
        let meta = older.items.values().find(|item| item.ftype == "lxd.tar.xz")?;
        let base = combined(meta, &item.ftype);
        is_hash(base).then(|| StreamDelta {
            base: base.to_owned(),
            path: delta.path.clone(),
            size: delta.size,
            sha256: delta.sha256.clone(),
        })
    };
    StreamFile {
        path: item.path.clone(),
        size: item.size,
        sha256: item.sha256.clone(),
        deltas: deltas.filter_map(delta).collect(),
    }
}

pub(super) fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_lower_hex)
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn image(
    product: &Product,
    architecture: Architecture,
    (serial, version): (&str, &Version),
    fingerprint: &str,
    kind: &str,
    files: &[&Item],
) -> StreamImage {
    let title = &product.release_title;
    let label = if version.label.is_empty() { String::new() } else { format!(" ({})", version.label) };
    let description = format!("{} {title} {}{label} ({serial})", product.os, product.arch);
    let mut properties = BTreeMap::new();
    for (key, value) in [
        ("architecture", product.arch.as_str()),
        ("description", &description),
        ("label", &version.label),
        ("os", &product.os),
        ("release", &product.release),
        ("serial", serial),
        ("type", kind),
        ("variant", &product.variant),
        ("version", &product.version),
    ] {
        if !value.is_empty() {
            properties.insert(key.to_owned(), value.to_owned());
        }
    }
    for (key, value) in &product.requirements {
        properties.insert(format!("requirements.{key}"), value.clone());
    }
    let aliases = product.aliases.split(',').map(str::trim).filter(|alias| !alias.is_empty());
    StreamImage {
        fingerprint: fingerprint.to_owned(),
        aliases: aliases.map(str::to_owned).collect(),
        architecture: architecture.name().to_owned(),
        virtual_machine: false,
        created: date(serial),
        expires: date(&product.support_eol.replace('-', "")),
        properties,
        serial: serial.to_owned(),
        files: files.iter().map(|item| file(product, version, item)).collect(),
        list: Arc::default(),
    }
}

/// The day that a version begins with: `20210131…`.
fn date(text: &str) -> Option<DateTime<Utc>> {
    let day = NaiveDate::parse_from_str(text.get(..8)?, "%Y%m%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc())
}
