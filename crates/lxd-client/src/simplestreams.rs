//! Image servers that speak simplestreams: what they offer, and finding an image in it. The parsing is total: whatever
//! a server sends is either understood or left out.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use http::{HeaderMap, HeaderValue};
use lxd_api::Timestamp;
use lxd_api::image::{Image, ImageAlias};
use lxd_types::arch::Architecture;
use serde::Deserialize;

use crate::{Error, Proxies, Reply, Result, web};

/// The longest index or list of products that is read, in bytes.
const LONGEST: usize = 128 * 1024 * 1024;

/// An image that a server offers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamImage {
    /// SHA-256 over its files, as the server announces it.
    pub fingerprint: String,
    /// Its aliases without architecture; the newest image of a product has them.
    pub aliases: Vec<String>,
    /// Its architecture.
    pub architecture: String,
    /// True for virtual machines.
    pub virtual_machine: bool,
    /// When it was built.
    pub created: Option<DateTime<Utc>>,
    /// When its release is not maintained any more.
    pub expires: Option<DateTime<Utc>>,
    /// Its properties.
    pub properties: BTreeMap<String, String>,
    /// Its version, which grows with time.
    pub serial: String,
    /// The metadata, and for a split image the root file system.
    pub files: Vec<StreamFile>,
}

/// A file of an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamFile {
    /// Path below the server's URL.
    pub path: String,
    /// Bytes.
    pub size: u64,
}

impl StreamImage {
    /// Bytes of its files.
    pub fn size(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.size))
    }
}

/// What a server offers, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Streams {
    /// The images.
    pub images: Vec<StreamImage>,
    /// Version of the answers, for asking again.
    etags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    index: BTreeMap<String, IndexEntry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct IndexEntry {
    datatype: String,
    path: String,
}

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

impl Streams {
    /// Reads what a server offers; with what it offered before, only what changed since is sent.
    ///
    /// # Errors
    /// The server is away or sends no index.
    pub async fn fetch(server: &str, before: Option<&Self>, proxies: &Proxies) -> Result<Self> {
        let base = server.trim_end_matches('/');
        let mut etags = BTreeMap::new();
        let index_url = format!("{base}/streams/v1/index.json");
        let index: Index = match load(&index_url, "", proxies).await? {
            Loaded::New(bytes, _) => serde_json::from_slice(&bytes).map_err(Error::protocol)?,
            Loaded::Same => return Err(Error::Protocol(format!("{index_url:?}: unexpected answer 304"))),
        };
        let mut images = Vec::new();
        let entries = index.index.into_values().filter(|entry| entry.datatype == "image-downloads");
        let paths: Vec<String> = entries.map(|entry| entry.path).filter(|path| is_plain(path)).collect();
        // Unchanged as a whole, or read anew as a whole: images do not remember which list they came from.
        let mut changed = before.is_none_or(|before| before.etags.len() != paths.len());
        let mut lists = Vec::new();
        for path in &paths {
            let known = before.and_then(|before| before.etags.get(path)).map_or("", String::as_str);
            match load(&format!("{base}/{path}"), known, proxies).await? {
                Loaded::Same => {
                    etags.insert(path.clone(), known.to_owned());
                    lists.push(None);
                }
                Loaded::New(bytes, etag) => {
                    changed = true;
                    if !etag.is_empty() {
                        etags.insert(path.clone(), etag);
                    }
                    lists.push(Some(bytes));
                }
            }
        }
        if let Some(before) = before.filter(|_| !changed) {
            return Ok(before.clone());
        }
        for (path, list) in paths.iter().zip(lists) {
            let bytes = match list {
                Some(bytes) => bytes,
                None => match load(&format!("{base}/{path}"), "", proxies).await? {
                    Loaded::New(bytes, _) => bytes,
                    Loaded::Same => continue,
                },
            };
            images.extend(parse(&bytes)?);
        }
        sort(&mut images);
        Ok(Self { images, etags })
    }

    /// The images as LXD servers list theirs; the newest of each product has the aliases.
    pub fn listed(&self) -> Vec<Image> {
        let mut taken = HashSet::new();
        self.images
            .iter()
            .map(|image| {
                let mut listed = image.as_listed();
                listed.aliases.retain(|alias| {
                    taken.insert((alias.name.clone(), image.architecture.clone(), image.virtual_machine))
                });
                listed
            })
            .collect()
    }

    /// The newest image of an alias, for the first architecture that has one; or the image whose fingerprint begins so.
    pub fn find(
        &self,
        name: &str,
        virtual_machine: bool,
        architectures: &[Architecture],
    ) -> Option<&StreamImage> {
        let fits = |image: &&StreamImage| image.virtual_machine == virtual_machine;
        let by_alias = architectures.iter().find_map(|architecture| {
            let mut images = self.images.iter().filter(fits);
            images.find(|image| image.architecture == architecture.name() && image.has_alias(name))
        });
        // Who names an architecture gets it.
        let with_architecture = || {
            let (alias, architecture) = name.rsplit_once('/')?;
            let architecture = Architecture::from_alias(architecture)?.name();
            let mut images = self.images.iter().filter(fits);
            images.find(|image| image.architecture == architecture && image.has_alias(alias))
        };
        let by_fingerprint = || {
            let digits = name.len() >= 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
            self.images.iter().find(|image| digits && image.fingerprint.starts_with(name))
        };
        by_alias.or_else(with_architecture).or_else(by_fingerprint)
    }
}

impl StreamImage {
    fn as_listed(&self) -> Image {
        let time =
            |time: Option<DateTime<Utc>>| time.map_or_else(|| Timestamp::from_unix(0), Timestamp::from);
        let alias = |name: &String| ImageAlias { name: name.clone(), ..ImageAlias::default() };
        Image {
            properties: self.properties.clone(),
            public: true,
            expires_at: time(self.expires),
            aliases: self.aliases.iter().map(alias).collect(),
            architecture: self.architecture.clone(),
            fingerprint: self.fingerprint.clone(),
            size: i64::try_from(self.size()).unwrap_or(i64::MAX),
            kind: if self.virtual_machine { "virtual-machine" } else { "container" }.to_owned(),
            created_at: time(self.created),
            uploaded_at: time(self.created),
            ..Image::default()
        }
    }

    fn has_alias(&self, name: &str) -> bool {
        self.aliases.iter().any(|alias| alias == name)
    }
}

fn sort(images: &mut [StreamImage]) {
    images.sort_by(|a, b| b.serial.cmp(&a.serial));
}

enum Loaded {
    New(Vec<u8>, String),
    Same,
}

async fn load(url: &str, etag: &str, proxies: &Proxies) -> Result<Loaded> {
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", HeaderValue::from_static("LXD 4.18"));
    if let Some(etag) = HeaderValue::from_str(etag).ok().filter(|etag| !etag.is_empty()) {
        headers.insert("if-none-match", etag);
    }
    let mut reply: Reply = web::fetch("GET", url, &headers, proxies).await?;
    match reply.status {
        200 => {}
        304 => return Ok(Loaded::Same),
        status => return Err(Error::Protocol(format!("Unable to fetch {url:?}: HTTP status {status}"))),
    }
    let etag = reply.header("etag").to_owned();
    let mut bytes = Vec::new();
    while let Some(block) = reply.chunk().await? {
        if bytes.len() + block.len() > LONGEST {
            return Err(Error::Protocol(format!("{url:?} is longer than {LONGEST} bytes")));
        }
        bytes.extend_from_slice(&block);
    }
    Ok(Loaded::New(bytes, etag))
}

/// A path below the server's URL that stays there.
fn is_plain(path: &str) -> bool {
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
        for (serial, version) in &product.versions {
            images.extend(of_version(&product, architecture, serial, version));
        }
    }
    Ok(images)
}

/// A container's and a virtual machine's image of one version, where it has them.
fn of_version(
    product: &Product,
    architecture: Architecture,
    serial: &str,
    version: &Version,
) -> Vec<StreamImage> {
    let items = || version.items.values().filter(|item| is_plain(&item.path));
    let of_type = |name: &str| items().find(|item| item.ftype == name);
    let mut found = Vec::new();
    if let Some(whole) = of_type("lxd_combined.tar.gz") {
        found.push(image(product, architecture, serial, version, &whole.sha256, "tar.gz", &[whole]));
    }
    if let Some(meta) = of_type("lxd.tar.xz") {
        let legacy_root = if meta.combined_rootxz_sha256.is_empty() {
            &meta.combined_sha256
        } else {
            &meta.combined_rootxz_sha256
        };
        let roots = [("squashfs", &meta.combined_squashfs_sha256), ("root.tar.xz", legacy_root)];
        let root = roots.iter().find_map(|(name, hash)| Some((name, *hash, of_type(name)?)));
        if let Some((name, hash, root)) = root.filter(|_| found.is_empty()) {
            found.push(image(product, architecture, serial, version, hash, name, &[meta, root]));
        }
        let disks = [
            ("disk-kvm.img", &meta.combined_disk_kvm),
            ("uefi1.img", &meta.combined_uefi1),
            ("disk1.img", &meta.combined_disk1),
        ];
        let disk = disks.iter().find_map(|(name, hash)| Some((name, *hash, of_type(name)?)));
        if let Some((name, hash, disk)) = disk {
            let image = image(product, architecture, serial, version, hash, name, &[meta, disk]);
            found.push(StreamImage { virtual_machine: true, ..image });
        }
    }
    found.retain(|image| image.fingerprint.len() == 64 && image.fingerprint.bytes().all(is_lower_hex));
    found
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn image(
    product: &Product,
    architecture: Architecture,
    serial: &str,
    version: &Version,
    fingerprint: &str,
    kind: &str,
    files: &[&Item],
) -> StreamImage {
    let title = if product.release_title.is_empty() { &product.release } else { &product.release_title };
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
        files: files.iter().map(|item| StreamFile { path: item.path.clone(), size: item.size }).collect(),
    }
}

/// The day that a version begins with: `20210131…`.
fn date(text: &str) -> Option<DateTime<Utc>> {
    let day = NaiveDate::parse_from_str(text.get(..8)?, "%Y%m%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn hash(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    fn streams() -> Streams {
        let version = |squash: char, tar: char, disk: char| {
            json!({"items": {
                "lxd.tar.xz": {
                    "ftype": "lxd.tar.xz", "path": "images/lxd.tar.xz", "size": 10,
                    "combined_squashfs_sha256": hash(squash), "combined_rootxz_sha256": hash(tar),
                    "combined_disk-kvm-img_sha256": hash(disk),
                },
                "root.squashfs": {"ftype": "squashfs", "path": "images/root.squashfs", "size": 100},
                "root.tar.xz": {"ftype": "root.tar.xz", "path": "images/root.tar.xz", "size": 90},
                "disk.qcow2": {"ftype": "disk-kvm.img", "path": "images/disk.qcow2", "size": 500},
                "evil": {"ftype": "lxd_combined.tar.gz", "path": "../../etc/shadow", "sha256": hash('9')},
            }})
        };
        let list = json!({"products": {
            "a": {
                "aliases": "tiny/1, tiny", "arch": "amd64", "os": "Tiny", "release": "one", "variant": "default",
                "requirements": {"secureboot": "false"},
                "versions": {"20210101_01:00": version('a', 'b', 'c'), "20220101_01:00": version('d', 'e', 'f')},
            },
            "b": {"aliases": "tiny", "arch": "arm64", "os": "Tiny", "versions": {"20230101": version('1', '2', '3')}},
            "c": {"aliases": "tiny", "arch": "vax", "versions": {"1": version('4', '5', '6')}},
        }});
        let mut images = parse(list.to_string().as_bytes()).unwrap();
        sort(&mut images);
        Streams { images, etags: BTreeMap::new() }
    }

    #[test]
    fn the_newest_of_the_right_kind_is_found() {
        let streams = streams();
        let find = |name: &str, vm: bool, architectures: &[Architecture]| {
            streams.find(name, vm, architectures).map(|image| image.fingerprint.clone())
        };
        let native = [Architecture::X86_64, Architecture::I686];
        assert_eq!(find("tiny", false, &native), Some(hash('d')));
        assert_eq!(find("tiny/1", true, &native), Some(hash('f')));
        assert_eq!(find("tiny", false, &[Architecture::Aarch64]), Some(hash('1')));
        assert_eq!(find("tiny/arm64", false, &native), Some(hash('1')));
        assert_eq!(find("tiny/1/amd64", false, &native), Some(hash('d')));
        assert_eq!(find(&hash('a')[..12], false, &native), Some(hash('a')));
        for missing in ["nosuch", "", "aaa", "tiny/vax"] {
            assert_eq!(find(missing, false, &native), None, "{missing}");
        }
    }

    #[test]
    fn files_stay_below_the_server() {
        let streams = streams();
        assert!(streams.images.iter().all(|image| image.fingerprint != hash('9')));
        for bad in ["", "/etc/passwd", "a/../b", "https://x/y", "a b", "a//b", "x?y"] {
            assert!(!is_plain(bad), "{bad:?}");
        }
        assert!(is_plain("images/a-b/c.tar.xz"));
    }

    #[test]
    fn facts_of_an_image() {
        let streams = streams();
        let image = streams.find("tiny", false, &[Architecture::X86_64]).unwrap();
        assert_eq!(image.properties["description"], "Tiny one amd64 (20220101_01:00)");
        assert_eq!(image.properties["requirements.secureboot"], "false");
        assert_eq!((image.size(), image.files.len()), (110, 2));
        assert_eq!(image.created.unwrap().to_rfc3339(), "2022-01-01T00:00:00+00:00");
    }

    #[test]
    fn nonsense_is_an_error_and_no_panic() {
        assert!(parse(b"nonsense").is_err() && parse(b"[]").is_err());
        assert!(parse(b"{}").unwrap().is_empty());
        assert!(
            parse(br#"{"products": {"a": {"arch": "amd64", "versions": {"": {}}}}}"#).unwrap().is_empty()
        );
    }

    proptest! {
        #[test]
        fn no_list_panics_and_no_file_leaves_the_server(any: Vec<u8>, path in "[a-z./:\\\\? \n-]{0,20}", size: u64, hash in "[0-9a-fA-F/.]{64}") {
            let _ = (parse(&any), serde_json::from_slice::<Index>(&any));
            let item = json!({"ftype": "lxd_combined.tar.gz", "path": path, "size": size, "sha256": hash});
            let list = json!({"products": {"a": {"arch": "amd64", "versions": {"1": {"items": {"x": item}}}}}});
            for image in parse(list.to_string().as_bytes()).unwrap() {
                prop_assert!(image.fingerprint.bytes().all(is_lower_hex));
                prop_assert!(image.files.iter().all(|file| file.path.split('/').all(|part| !part.is_empty() && part != "..")));
            }
        }
    }
}
