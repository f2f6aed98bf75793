//! Image servers that speak simplestreams: what they offer, and finding an image in it. The parsing is total: whatever
//! a server sends is either understood or left out.

mod products;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};
use lxd_api::Timestamp;
use lxd_api::image::{Image, ImageAlias};
use lxd_types::arch::Architecture;
use serde::Deserialize;

use products::is_plain;
pub use products::parse;

use crate::{Egress, Error, Reply, Result, web};

/// Bytes of index and lists of products that are read of one server at most.
const LONGEST: usize = 64 * 1024 * 1024;
/// Lists of products of one server that are read at most.
const MOST_LISTS: usize = 64;

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
    /// Path of the list that offers it.
    pub list: Arc<str>,
}

/// A file of an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamFile {
    /// Path below the server's URL.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Its own SHA-256, when the server says it.
    pub sha256: String,
    /// What changed since files of older images.
    pub deltas: Vec<StreamDelta>,
}

/// What changed since a file of an older image (`vcdiff`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamDelta {
    /// Fingerprint of the older image.
    pub base: String,
    /// Path below the server's URL.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the delta.
    pub sha256: String,
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
    /// Bytes that were read for them.
    pub bytes: u64,
    /// Version of the answers (tag or date), for asking again.
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

impl Index {
    /// The lists of images, each once.
    fn paths(self) -> BTreeSet<String> {
        let entries = self.index.into_values().filter(|entry| entry.datatype == "image-downloads");
        entries.map(|entry| entry.path).filter(|path| is_plain(path)).take(MOST_LISTS).collect()
    }
}

impl Streams {
    /// Reads what a server offers; with what it offered before, only what changed since is sent.
    ///
    /// # Errors
    /// The server is away or sends no index.
    pub async fn fetch(server: &str, before: Option<&Self>, egress: &Egress) -> Result<Self> {
        let base = server.trim_end_matches('/');
        let mut budget = LONGEST;
        let index_url = format!("{base}/streams/v1/index.json");
        let index: Index = match load(&index_url, "", egress, &mut budget).await? {
            Loaded::New(bytes, _) => serde_json::from_slice(&bytes).map_err(Error::protocol)?,
            Loaded::Same => return Err(Error::Protocol(format!("{index_url:?}: unexpected answer 304"))),
        };
        let mut now = Self::default();
        for path in index.paths() {
            let known = before.and_then(|before| before.etags.get(&path)).map_or("", String::as_str);
            let list: Arc<str> = path.as_str().into();
            match load(&format!("{base}/{path}"), known, egress, &mut budget).await? {
                Loaded::Same => {
                    let before = before.into_iter().flat_map(|before| &before.images);
                    now.images.extend(before.filter(|image| *image.list == *path).cloned());
                    now.etags.insert(path, known.to_owned());
                }
                Loaded::New(bytes, etag) => {
                    let images = parse(&bytes)?.into_iter();
                    now.images.extend(images.map(|image| StreamImage { list: list.clone(), ..image }));
                    if !etag.is_empty() {
                        now.etags.insert(path, etag);
                    }
                }
            }
        }
        // Lists that were not sent again are kept, so they count as they did.
        now.bytes = before.map_or(0, |before| before.bytes).max((LONGEST - budget) as u64);
        sort(&mut now.images);
        Ok(now)
    }

    /// The images as LXD servers list theirs; the newest of each product has the aliases, those of the own architecture
    /// without its name too.
    pub fn listed(&self, own: Architecture) -> Vec<Image> {
        let mut taken = HashSet::new();
        self.images
            .iter()
            .map(|image| {
                let mut listed = image.as_listed(own);
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
        let by_fingerprint =
            || self.images.iter().find(|image| is_fingerprint(name) && image.fingerprint.starts_with(name));
        by_alias.or_else(with_architecture).or_else(by_fingerprint)
    }
}

/// Whether a name can be a fingerprint, or the beginning of one; other names are aliases.
pub fn is_fingerprint(name: &str) -> bool {
    name.len() >= 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl StreamImage {
    /// An image as LXD servers list theirs.
    pub fn as_listed(&self, own: Architecture) -> Image {
        let time =
            |time: Option<DateTime<Utc>>| time.map_or_else(|| Timestamp::from_unix(0), Timestamp::from);
        let alias = |name: String| ImageAlias { name, ..ImageAlias::default() };
        let short = self.properties.get("architecture").unwrap_or(&self.architecture);
        let bare = self.architecture == own.name();
        let names = self.aliases.iter().flat_map(|name| {
            let whole = format!("{name}/{short}");
            bare.then(|| name.clone()).into_iter().chain([whole])
        });
        Image {
            properties: self.properties.clone(),
            public: true,
            expires_at: time(self.expires),
            aliases: names.map(alias).collect(),
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

/// Reads a file, with no more bytes than are left in the budget.
async fn load(url: &str, etag: &str, egress: &Egress, budget: &mut usize) -> Result<Loaded> {
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", HeaderValue::from_static("LXD 4.18"));
    if let Some(version) = HeaderValue::from_str(etag).ok().filter(|etag| !etag.is_empty()) {
        let is_date = !etag.ends_with('"');
        headers.insert(if is_date { IF_MODIFIED_SINCE } else { IF_NONE_MATCH }, version);
    }
    let mut reply: Reply = web::fetch("GET", url, &headers, egress).await?;
    match reply.status {
        200 => {}
        304 => return Ok(Loaded::Same),
        status => return Err(Error::Protocol(format!("Unable to fetch {url:?}: HTTP status {status}"))),
    }
    let tag = reply.header("etag");
    let etag = if tag.ends_with('"') { tag } else { reply.header("last-modified") }.to_owned();
    let mut bytes = Vec::new();
    let silent = |_| Error::Connect(format!("{url:?}: timeout in the middle of the answer"));
    while let Some(block) = tokio::time::timeout(egress.patience, reply.chunk()).await.map_err(silent)?? {
        let Some(left) = budget.checked_sub(block.len()) else {
            return Err(Error::Protocol(format!("{url:?}: the lists are longer than {LONGEST} bytes")));
        };
        *budget = left;
        bytes.extend_from_slice(&block);
    }
    Ok(Loaded::New(bytes, etag))
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
                "delta": {"ftype": "squashfs.vcdiff", "path": "images/d", "size": 3, "delta_base": "20210101_01:00"},
                "lost": {"ftype": "squashfs.vcdiff", "path": "images/e", "size": 3, "delta_base": "nosuch"},
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
        Streams { images, ..Streams::default() }
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
        assert_eq!(image.properties["description"], "Tiny  amd64 (20220101_01:00)");
        let listed =
            |own| image.as_listed(own).aliases.into_iter().map(|alias| alias.name).collect::<Vec<_>>();
        assert_eq!(listed(Architecture::X86_64), ["tiny/1", "tiny/1/amd64", "tiny", "tiny/amd64"]);
        assert_eq!(listed(Architecture::Aarch64), ["tiny/1/amd64", "tiny/amd64"]);
        assert_eq!(image.properties["requirements.secureboot"], "false");
        assert_eq!((image.size(), image.files.len()), (110, 2));
        let deltas: Vec<_> = image.files[1].deltas.iter().map(|delta| (&*delta.base, &*delta.path)).collect();
        assert_eq!(deltas, [(&*hash('a'), "images/d")]);
        assert_eq!(image.created.unwrap().to_rfc3339(), "2022-01-01T00:00:00+00:00");
    }

    #[test]
    fn only_so_many_lists_are_read_and_each_once() {
        let entry = |path: String| json!({"datatype": "image-downloads", "path": path});
        let many: serde_json::Map<_, _> =
            (0..200).map(|n| (n.to_string(), entry(format!("l/{n}")))).collect();
        let index: Index = serde_json::from_value(json!({"index": many})).unwrap();
        assert_eq!(index.paths().len(), MOST_LISTS);
        let same: serde_json::Map<_, _> = (0..9).map(|n| (n.to_string(), entry("l/x".to_owned()))).collect();
        let index: Index = serde_json::from_value(json!({"index": same})).unwrap();
        assert_eq!(index.paths().len(), 1);
    }

    /// A server that sends these answers, one for each connection.
    async fn serve(answers: Vec<String>) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let _ = stream.read(&mut request).await.unwrap();
                stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await.unwrap();
            }
        });
        url
    }

    fn ok(body: &serde_json::Value, etag: &str) -> String {
        let body = body.to_string();
        format!(
            "200 OK\r\nETag: \"{etag}\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    #[tokio::test]
    async fn lists_that_did_not_change_are_kept_beside_those_that_did() {
        let index = json!({"index": {
            "a": {"datatype": "image-downloads", "path": "a.json"},
            "b": {"datatype": "image-downloads", "path": "b.json"},
        }});
        let list = |digit: char| {
            let item = json!({"ftype": "lxd_combined.tar.gz", "path": "x", "size": 1, "sha256": hash(digit)});
            json!({"products": {"p": {"arch": "amd64", "versions": {"1": {"items": {"x": item}}}}}})
        };
        let same = "304 Not Modified\r\nConnection: close\r\n\r\n".to_owned();
        let first = vec![ok(&index, "i"), ok(&list('1'), "a1"), ok(&list('2'), "b1")];
        let second = vec![ok(&index, "i"), same, ok(&list('3'), "b2")];
        let url = serve([first, second].concat()).await;
        let egress = Egress::default();
        let before = Streams::fetch(&url, None, &egress).await.unwrap();
        let now = Streams::fetch(&url, Some(&before), &egress).await.unwrap();
        let mut found: Vec<_> = now.images.iter().map(|image| (&*image.list, &*image.fingerprint)).collect();
        found.sort_unstable();
        assert_eq!(found, [("a.json", &*hash('1')), ("b.json", &*hash('3'))]);
    }

    #[tokio::test]
    async fn a_budget_holds_for_all_lists_together() {
        let url = serve(vec![ok(&json!("x".repeat(100)), ""), ok(&json!("x".repeat(100)), "")]).await;
        let (egress, mut budget) = (Egress::default(), 150);
        assert!(load(&url, "", &egress, &mut budget).await.is_ok());
        assert!(load(&url, "", &egress, &mut budget).await.is_err());
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
                prop_assert!(products::is_hash(&image.fingerprint));
                prop_assert!(image.files.iter().all(|file| file.path.split('/').all(|part| !part.is_empty() && part != "..")));
            }
        }
    }
}
