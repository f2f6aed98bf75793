//! The archive of a backup.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use lxd_image::{Encoder, Packer};
use lxd_storage::{Content, DISK, Origin, OutgoingPart, SnapshotRef, VolumeKind, VolumeRef, transfer};
use lxd_sys::Dir;
use lxd_sys::dir::OFlags;
use lxd_types::compression::Compression;
use lxd_types::names::{BackupName, SnapshotName};
use lxd_types::{Error, Result};

use super::{BackupKey, Material, draft, in_folder};
use crate::SharedCore;

/// A backup that is being written.
type Archive = Packer<Encoder<BufWriter<File>>>;

/// Bytes that are written to the disk at once.
const BLOCK: usize = 1 << 20;

/// The name of a volume in its backup, and the folder of its snapshots there.
pub(super) fn places(volume: &VolumeRef) -> (&'static str, &'static str) {
    match volume.kind {
        VolumeKind::Custom => ("backup/volume", "backup/volume-snapshots"),
        _ => ("backup/container", "backup/snapshots"),
    }
}

/// Makes everything reachable that is packed, packs it, and ends that again.
pub(super) async fn pack(
    core: &SharedCore,
    key: &BackupKey,
    name: &BackupName,
    material: &Material,
    still: Option<&SnapshotRef>,
    compression: Compression,
) -> Result<()> {
    let volume = &material.volume;
    let (whole, snapshots) = places(volume);
    let of = |name| (format!("{snapshots}/{name}"), Origin::Snapshot(volume.snapshot(name)));
    let mut origins: Vec<(String, Origin)> = material.snapshots.iter().map(of).collect();
    origins.push((whole.to_owned(), still.map_or_else(|| volume.into(), Origin::from)));
    let mut parts = Vec::new();
    let mut mounted = Ok(());
    for (place, origin) in &origins {
        match transfer::mount(&material.pool, origin).await {
            Ok(at) => parts.push((place.clone(), at.dir)),
            Err(error) => {
                mounted = Err(error);
                break;
            }
        }
    }
    let count = parts.len();
    let packed = match mounted {
        Ok(()) => {
            let content = volume.content;
            let add = move |packer: &mut Archive, _: &Dir| add_trees(packer, &parts, content);
            write(core, key, name, material, compression, add).await
        }
        Err(error) => Err(error),
    };
    for (_, origin) in origins.iter().take(count) {
        transfer::unmount(&material.pool, origin).await?;
    }
    packed
}

fn add_trees(packer: &mut Archive, parts: &[(String, Arc<Dir>)], content: Content) -> std::io::Result<()> {
    for (place, dir) in parts {
        match content {
            Content::Filesystem => packer.tree(dir, place)?,
            Content::Block => packer.copy(&format!("{place}.img"), &dir.open_file(DISK)?)?,
        }
    }
    Ok(())
}

/// Packs the driver's own streams. `still` stands for what is backed up.
pub(super) async fn pack_streams(
    core: &SharedCore,
    key: &BackupKey,
    name: &BackupName,
    material: &Material,
    still: &SnapshotRef,
    compression: Compression,
) -> Result<()> {
    let (whole, snapshots) = places(&material.volume);
    let of = |name: &SnapshotName| OutgoingPart {
        place: format!("{snapshots}/{name}"),
        name: name.to_string(),
        snapshot: material.volume.snapshot(name),
    };
    let mut parts: Vec<OutgoingPart> = material.snapshots.iter().map(of).collect();
    parts.push(OutgoingPart { place: whole.to_owned(), name: String::new(), snapshot: still.clone() });
    let streams = material.pool.streams().ok_or_else(not_optimized)?;
    let outgoing = streams.outgoing(&parts).await?;
    let header = lxd_api::yaml::text(&BTreeMap::from([("subvolumes", outgoing.subvolumes)]));
    let header = header.map_err(|error| Error::internal(error.to_string()))?;
    write(core, key, name, material, compression, move |packer, folder| {
        packer.file("backup/optimized_header.yaml", 0o644, header.as_bytes())?;
        for stream in outgoing.streams {
            // Its length stands before it.
            let flags = OFlags::TMPFILE | OFlags::RDWR;
            let file = File::from(folder.open_raw(".", flags, 0o600)?);
            (stream.send)(&file)?;
            packer.copy(&stream.name, &file)?;
        }
        Ok(())
    })
    .await
}

/// A storage driver that has no form of its own.
pub(super) fn not_optimized() -> Error {
    Error::bad_request("The storage driver has no form of its own for backups")
}

/// Writes the archive: the index, then what `content` adds. It gets its name when it is whole.
async fn write(
    core: &SharedCore,
    key: &BackupKey,
    name: &BackupName,
    material: &Material,
    compression: Compression,
    content: impl FnOnce(&mut Archive, &Dir) -> std::io::Result<()> + Send + 'static,
) -> Result<()> {
    let (draft, name) = (draft(name), name.clone());
    let index = material.index.render()?;
    in_folder(core, &key.owner, move |folder| {
        let write = || {
            let file = folder.create(&*draft, 0o600)?;
            let out = BufWriter::with_capacity(BLOCK, file);
            let mut packer = Packer::new(Encoder::new(compression, out)?);
            packer.file("backup/index.yaml", 0o644, index.as_bytes())?;
            content(&mut packer, &folder)?;
            let mut out = packer.finish()?.finish()?;
            out.flush()?;
            out.get_ref().sync_all()?;
            folder.rename(&*draft, name.as_str())
        };
        let written = write();
        if written.is_err() {
            let _ = folder.remove_file(&*draft);
        }
        written
    })
    .await
}
