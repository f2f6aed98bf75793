//! Unpacking an image into the root volume of an instance: by the confined helper, which gets the open archive
//! and the open directory and nothing else.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::sync::Arc;

use lxd_sys::Dir;
use lxd_task::OpHandle;
use lxd_types::helper::{Format, Unpack, UnpackLimits, Unpacked};
use lxd_types::names::Fingerprint;
use lxd_types::{Error, IdMap, Result};

use crate::SharedCore;

/// First bytes of a squashfs.
const SQUASHFS: &[u8; 4] = b"hsqs";

/// Unpacks `metadata.yaml`, `templates` and `rootfs` of an image into `dir`. Ends early when the operation is
/// cancelled.
///
/// # Errors
/// The image's files are missing, damaged or hostile.
pub async fn unpack(
    core: &SharedCore,
    op: &OpHandle,
    fingerprint: &Fingerprint,
    dir: Arc<Dir>,
) -> Result<()> {
    let (store, wanted) = (core.image_store.clone(), fingerprint.clone());
    let files = tokio::task::spawn_blocking(move || store.files(&wanted))
        .await
        .map_err(|panic| Error::internal(panic.to_string()))??;
    match files.rootfs {
        None => {
            let only = ["metadata.yaml", "templates", "rootfs"].map(str::to_owned).to_vec();
            extract(core, op, files.meta, &dir, only).await
        }
        Some(rootfs) => {
            let only = ["metadata.yaml", "templates"].map(str::to_owned).to_vec();
            extract(core, op, files.meta, &dir, only).await?;
            let target = make_rootfs(dir).await?;
            extract(core, op, rootfs, &target, Vec::new()).await
        }
    }
}

async fn make_rootfs(dir: Arc<Dir>) -> Result<Dir> {
    tokio::task::spawn_blocking(move || {
        dir.mkdir("rootfs", 0o755)?;
        dir.open_dir("rootfs")
    })
    .await
    .map_err(|panic| Error::internal(panic.to_string()))?
    .map_err(|e| Error::internal(format!("Failed to make the root directory: {e}")))
}

async fn extract(
    core: &SharedCore,
    op: &OpHandle,
    mut archive: File,
    target: &Dir,
    only: Vec<String>,
) -> Result<()> {
    let format = if is_squashfs(&mut archive)? { Format::Squashfs } else { Format::Detect };
    let job = Unpack {
        format,
        strip: String::new(),
        only,
        stop_early: false,
        owners: IdMap::default(),
        devices: true,
        limits: UnpackLimits::default(),
    };
    let fds = [archive.as_fd(), target.as_fd()];
    let mut helper = core.helper()?.start("unpack", &job, &fds, None).await?;
    // Leaving this function kills the helper: that is how a cancelled operation ends it.
    tokio::select! {
        () = op.cancelled() => op.check(),
        done = helper.answer::<Unpacked>() => done.map(drop).map_err(|error| error.context("Failed to unpack the image")),
    }
}

fn is_squashfs(archive: &mut File) -> Result<bool> {
    let mut first = [0; 4];
    let read = archive.read(&mut first).and_then(|n| archive.rewind().map(|()| n));
    let n = read.map_err(|e| Error::internal(format!("Failed to read the image: {e}")))?;
    Ok(&first[..n] == SQUASHFS)
}
