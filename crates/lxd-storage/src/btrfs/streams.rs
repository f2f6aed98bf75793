//! Volumes as streams of `btrfs send`: what shares content with an earlier one carries only the difference.
//!
//! Streams are foreign input when they come back: `btrfs receive` reads them with the folder into which it receives as its root
//! directory; what came is put in its place by snapshots.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use lxd_host::runner::{Cmd, Input};
use lxd_sys::{Dir, btrfs};
use lxd_types::helper::HARMLESS_DEVICES;
use lxd_types::{Error, Kind, Result};

use super::{BtrfsPool, tree};
use crate::blocking::{blocking, io_error};
use crate::driver::{Filler, IncomingPart, Outgoing, OutgoingPart, Stream, Streams, Subvolume};
use crate::folder::{self, RESTORING, sibling};
use crate::volume::VolumeRef;

/// Below the folder of an incoming volume: the files of the archive.
const FILES: &str = "files";
/// Below it: where `btrfs receive` works.
const RECEIVED: &str = "received";

#[async_trait]
impl Streams for BtrfsPool {
    async fn outgoing(&self, parts: &[OutgoingPart]) -> Result<Outgoing> {
        let (spec, parts) = (self.spec.clone(), parts.to_vec());
        blocking(move || {
            let root = Self::root(&spec)?;
            describe(&root, &parts).map_err(|error| io_error(error, "Failed to read the subvolumes"))
        })
        .await
    }

    async fn incoming(&self, volume: &VolumeRef, parts: &[IncomingPart], unpack: Filler) -> Result<()> {
        let done = self.receive(volume, parts, unpack).await;
        let (spec, volume) = (self.spec.clone(), volume.clone());
        blocking(move || {
            let root = Self::root(&spec)?;
            let settled = super::snapshots::settle(&root, &volume);
            if done.is_err() {
                super::volumes::remove(&root, &volume)?;
            }
            done.and(settled)
        })
        .await
    }
}

/// A subvolume of a part: its path below that, and where it is.
struct Found {
    path: PathBuf,
    dir: Dir,
}

/// A subvolume and all that are nested in it, parents first.
fn all_of(dir: Dir) -> std::io::Result<Vec<Found>> {
    let mut found = vec![Found { path: PathBuf::new(), dir }];
    let mut next = 0;
    while let Some(at) = found.get(next) {
        let mut inner = btrfs::nested(&at.dir)?;
        inner.sort();
        let opened = inner.into_iter().map(|path| Ok((at.path.join(&path), at.dir.open_dir(&path)?)));
        let opened = opened.collect::<std::io::Result<Vec<_>>>()?;
        found.extend(opened.into_iter().map(|(path, dir)| Found { path, dir }));
        next += 1;
    }
    Ok(found)
}

/// The streams of all parts, each with the same subvolume in the part before as what it differs from.
fn describe(root: &Dir, parts: &[OutgoingPart]) -> std::io::Result<Outgoing> {
    let mut out = Outgoing::default();
    let mut before: HashMap<PathBuf, u64> = HashMap::new();
    for part in parts {
        let mut here = HashMap::new();
        for Found { path, dir } in all_of(root.open_dir(part.snapshot.path())?)? {
            let (parent, id) = (before.get(&path).copied(), btrfs::id(&dir)?);
            out.subvolumes.push(Subvolume {
                path: format!("/{}", path.display()),
                snapshot: part.name.clone(),
                readonly: path.as_os_str().is_empty() && !part.name.is_empty(),
                uuid: uuid_text(btrfs::uuid(&dir)?),
            });
            let name = format!("{}{}.bin", part.place, suffix(&path)?);
            if out.streams.iter().any(|other| other.name == name) {
                let text =
                    format!("two subvolumes would both be \"{name}\" in the backup: rename a snapshot");
                return Err(std::io::Error::other(text));
            }
            let send = Box::new(move |to: &File| btrfs::send(&dir, parent, to));
            out.streams.push(Stream { name, send });
            here.insert(path, id);
        }
        before = here;
    }
    Ok(out)
}

fn uuid_text(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// What the name of a nested subvolume's file has more: its path with `-` for `/`, and `--` for `-`.
fn suffix(path: &Path) -> std::io::Result<String> {
    if path.as_os_str().is_empty() {
        return Ok(String::new());
    }
    let text = path.to_str().ok_or_else(|| {
        std::io::Error::other(format!("the name of the subvolume {} is not UTF-8", path.display()))
    })?;
    Ok(format!("_{}", text.replace('-', "--").replace('/', "-")))
}

/// The path that a suffix (without its `_`) says.
fn path_of(suffix: &str) -> Option<PathBuf> {
    let text = suffix.replace("--", "\0").replace('-', "/").replace('\0', "-");
    let path = PathBuf::from(text);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    (is_plain && path.components().next().is_some()).then_some(path)
}

/// A stream that was received.
struct Received {
    /// Path of the subvolume below its part.
    path: PathBuf,
    /// Its name in the folder.
    entry: String,
}

impl BtrfsPool {
    async fn receive(&self, volume: &VolumeRef, parts: &[IncomingPart], unpack: Filler) -> Result<()> {
        let (spec, wanted) = (self.spec.clone(), volume.clone());
        let files = Arc::new(blocking(move || prepare(&Self::root(&spec)?, &wanted)).await?);
        unpack(files.clone()).await?;
        let mut count = 0;
        let mut all = Vec::new();
        for part in parts {
            let streams = streams_of(&files, part, parts)?;
            let mut received = Vec::new();
            for (path, name) in streams {
                let entry = self.receive_one(volume, &files, &name, count).await?;
                received.push(Received { path, entry });
                count += 1;
            }
            all.push(received);
        }
        let (spec, volume, parts) = (self.spec.clone(), volume.clone(), parts.to_vec());
        blocking(move || {
            let root = Self::root(&spec)?;
            let from = open(&root, &format!("{}/{RECEIVED}", sibling(&volume)))?;
            for (part, received) in parts.iter().zip(&all) {
                put(&root, &from, &volume, part, received)?;
            }
            folder::dress(&folder::open(&root, &volume)?, &volume)
        })
        .await
    }

    /// Receives one stream; the answer is the name of the subvolume that it made.
    async fn receive_one(
        &self,
        volume: &VolumeRef,
        files: &Dir,
        name: &str,
        number: usize,
    ) -> Result<String> {
        let failed = |error| io_error(error, format!("Failed to read \"{name}\" of the backup"));
        let stream = files.open_file(name).map_err(failed)?;
        let place = format!("{}/{RECEIVED}", sibling(volume));
        let path = self.spec.mount_path().join(&place);
        let cmd = Cmd::new("btrfs").args(["receive", "-C", "-e", "--"]).arg(path);
        self.runner.run(cmd.input(Input::File(stream)).unlimited()).await.map_err(|error| {
            Error::with_source(Kind::Internal, format!("Failed to receive \"{name}\" of the backup"), error)
        })?;
        let (spec, entry) = (self.spec.clone(), format!("{number}"));
        let made = entry.clone();
        blocking(move || {
            let from = open(&Self::root(&spec)?, &place)?;
            name_new(&from, &made).map_err(|error| io_error(error, "Failed to keep what was received"))
        })
        .await?;
        Ok(entry)
    }
}

/// Makes the folders of an incoming volume; the answer is that of the archive's files.
fn prepare(root: &Dir, volume: &VolumeRef) -> Result<Dir> {
    super::snapshots::settle(root, volume)?;
    if folder::there(root, volume)? {
        return Err(folder::taken());
    }
    let place = sibling(volume);
    let made = root
        .mkdir_all(RESTORING, 0o700)
        .and_then(|()| root.mkdir(&place, 0o700))
        .and_then(|()| root.mkdir(format!("{place}/{RECEIVED}"), 0o700))
        .and_then(|()| root.mkdir(format!("{place}/{FILES}"), 0o700));
    made.map_err(|error| io_error(error, "Failed to make a folder for the backup"))?;
    open(root, &format!("{place}/{FILES}"))
}

fn open(root: &Dir, path: &str) -> Result<Dir> {
    root.open_dir(path).map_err(|error| io_error(error, format!("Failed to open \"{path}\"")))
}

/// The files of a part with the paths of their subvolumes, parents first.
fn streams_of(files: &Dir, part: &IncomingPart, all: &[IncomingPart]) -> Result<Vec<(PathBuf, String)>> {
    let (folder, whole) = part.place.rsplit_once('/').unwrap_or((".", &part.place));
    let entries = files.read_dir(folder).map_err(|error| io_error(error, "Failed to read the backup"))?;
    let names = |name: &OsStr| name.to_str().and_then(|name| name.strip_suffix(".bin")).map(str::to_owned);
    // It belongs to the part with the longest name: a snapshot can be called as another one's subvolume.
    let is_another = |name: &str| {
        let longer = |other: &&IncomingPart| other.place.len() > part.place.len();
        all.iter().filter(longer).filter_map(|other| other.place.rsplit_once('/')).any(|(above, own)| {
            above == folder
                && name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        })
    };
    let mut found = Vec::new();
    for name in entries.iter().filter_map(|entry| names(&entry.name)) {
        let file = format!("{folder}/{name}.bin");
        if name == whole {
            found.push((PathBuf::new(), file));
        } else if let Some(suffix) = name.strip_prefix(whole).and_then(|rest| rest.strip_prefix('_'))
            && !is_another(&name)
        {
            let path = path_of(suffix)
                .ok_or_else(|| Error::bad_request(format!("The backup has a wrong name: \"{file}\"")))?;
            found.push((path, file));
        }
    }
    found.sort();
    match found.first() {
        Some((path, _)) if path.as_os_str().is_empty() => Ok(found),
        _ => Err(Error::bad_request(format!("The backup lacks \"{}.bin\"", part.place))),
    }
}

/// Gives the one entry that has no number its number.
fn name_new(from: &Dir, number: &str) -> std::io::Result<()> {
    let entries = from.read_dir(".")?;
    let known: usize = number.parse().unwrap_or(usize::MAX);
    let is_known = |name: &OsStr| {
        name.to_str().and_then(|name| name.parse::<usize>().ok()).is_some_and(|found| found < known)
    };
    let new: Vec<_> = entries.iter().filter(|entry| !is_known(&entry.name)).collect();
    match new[..] {
        [one] if one.name.to_str() == Some(number) => Ok(()),
        [one] => from.rename_new(&one.name, number),
        _ => Err(std::io::Error::other("the stream holds not one subvolume")),
    }
}

/// Puts a part in its place.
fn put(root: &Dir, from: &Dir, volume: &VolumeRef, part: &IncomingPart, received: &[Received]) -> Result<()> {
    let snapshot = part.snapshot.as_ref().map(|name| volume.snapshot(name));
    let place = match &snapshot {
        Some(snapshot) => {
            folder::make_snapshot_folder(root, snapshot)?;
            snapshot.path()
        }
        None => volume.path(),
    };
    let failed = |error| io_error(error, format!("Failed to restore \"{place}\""));
    for Received { path, entry } in received {
        let source = from.open_dir(entry.as_str()).map_err(failed)?;
        if path.as_os_str().is_empty() {
            tree::snapshot(&source, root, &place, false).map_err(failed)?;
            continue;
        }
        let target = root.open_dir(&place).map_err(failed)?;
        // An older kernel sends an empty directory in its place.
        match target.remove_dir(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        tree::snapshot_at(&source, &target, path).map_err(failed)?;
    }
    // A stream can hold what no archive may.
    let made = root.open_dir(&place).map_err(failed)?;
    made.remove_devices(&HARMLESS_DEVICES).map_err(failed)?;
    match snapshot {
        Some(_) => tree::make_read_only(root, &place).map_err(failed),
        None => Ok(()),
    }
}

/// Removes what is left of an incoming volume.
pub(super) fn clean(root: &Dir, place: &str) -> std::io::Result<()> {
    let received = format!("{place}/{RECEIVED}");
    let entries = match root.read_dir(&received) {
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound) => {
            return tree::remove(root, place);
        }
        other => other?,
    };
    for entry in entries {
        if let Some(name) = entry.name.to_str() {
            tree::remove(root, &format!("{received}/{name}"))?;
        }
    }
    tree::remove(root, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_nested_subvolumes_go_both_ways() {
        for (path, name) in [("nest", "_nest"), ("dir/na me_-x", "_dir-na me_--x"), ("a-/b", "_a---b")] {
            assert_eq!(suffix(Path::new(path)).unwrap(), name);
        }
        assert_eq!(path_of("dir-na me_--x"), Some(PathBuf::from("dir/na me_-x")));
        for wrong in ["", "..", "-etc", "a-..-b"] {
            assert_eq!(path_of(wrong), None, "{wrong}");
        }
    }
}
