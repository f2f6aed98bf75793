//! Root file systems as what changed since an older image that is here: `vcdiff` files of simplestreams servers, applied by
//! `xdelta3` in a confined helper. Whatever is wrong with one, the whole file is fetched instead.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::path::Path;

use bytes::Bytes;
use lxd_client::simplestreams::{StreamDelta, StreamFile};
use lxd_image::Upload;
use lxd_types::helper::{Delta, Patched};
use lxd_types::names::Fingerprint;
use lxd_types::{Error, Result};
use rustix::pipe::{PipeFlags, pipe_with};
use sha2::{Digest, Sha256};

use super::fetch::{Sink, WebSource, download};
use super::meter::Meter;
use crate::SharedCore;

/// The program, where the helper finds it.
const PROGRAM: &[&str] = &["/usr/local/bin/xdelta3", "/usr/bin/xdelta3", "/bin/xdelta3"];

/// Bytes that are copied at once.
const PIECE: usize = 1 << 20;

/// Makes a root file system of a delta where that is possible; false: nothing was written, fetch the whole file.
///
/// # Errors
/// The operation was cancelled, or the image cannot be written.
pub(super) async fn apply(
    core: &SharedCore,
    meter: &mut Meter,
    upload: &mut Upload,
    source: &WebSource,
    wanted: &StreamFile,
) -> Result<bool> {
    let Some((delta, base)) = usable(core, wanted).await else { return Ok(false) };
    meter.allow(delta.size);
    let made = make(core, meter, source, wanted, &delta, base).await;
    meter.check()?;
    match made {
        Ok(file) => feed(upload, file).await.map(|()| true),
        Err(error) => {
            tracing::warn!(
                file = wanted.path,
                error = error.chain(),
                "A delta is of no use, the whole file is fetched"
            );
            Ok(false)
        }
    }
}

/// A delta to an image that is here.
async fn usable(core: &SharedCore, wanted: &StreamFile) -> Option<(StreamDelta, File)> {
    // Without the file's own hash the result could be judged only together with the rest, too late for the other way.
    if wanted.sha256.is_empty() || wanted.deltas.is_empty() {
        return None;
    }
    let (store, deltas) = (core.image_store.clone(), wanted.deltas.clone());
    let find = move || {
        if !PROGRAM.iter().any(|path| Path::new(path).is_file()) {
            return None;
        }
        deltas.into_iter().find_map(|delta| {
            let base: Fingerprint = delta.base.parse().ok()?;
            let rootfs = store.files(&base).ok()?.rootfs?;
            Some((delta, rootfs))
        })
    };
    tokio::task::spawn_blocking(find).await.ok().flatten()
}

async fn make(
    core: &SharedCore,
    meter: &mut Meter,
    source: &WebSource,
    wanted: &StreamFile,
    delta: &StreamDelta,
    base: File,
) -> Result<File> {
    let mut scratch = Scratch { file: scratch(core).await?, hash: Sha256::new() };
    let file = StreamFile { path: delta.path.clone(), size: delta.size, ..StreamFile::default() };
    download(meter, &mut scratch, source, &file).await?;
    let got = hex::encode(scratch.hash.finalize());
    if !delta.sha256.is_empty() && got != delta.sha256 {
        return Err(Error::bad_request(format!(
            "Hash mismatch for {:?}: {got} != {}",
            delta.path, delta.sha256
        )));
    }
    let result = scratch_of(core, base, scratch.file, wanted.size).await?;
    if result.1 != wanted.sha256 {
        return Err(Error::bad_request(format!(
            "The delta {:?} does not lead to {:?}",
            delta.path, wanted.path
        )));
    }
    Ok(result.0)
}

/// An unnamed file beside the images; it goes with its last descriptor, however the daemon ends.
async fn scratch(core: &SharedCore) -> Result<File> {
    let store = core.image_store.clone();
    blocking(move || Ok(store.scratch()?)).await
}

/// Runs the helper; the file that it made and its SHA-256.
async fn scratch_of(core: &SharedCore, base: File, delta: File, most: u64) -> Result<(File, String)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from).map_err(failed)?;
    let fds = [base.as_fd(), delta.as_fd(), write.as_fd()];
    let mut helper = core.helper()?.start("delta", &Delta::default(), &fds, None).await?;
    // Only the helper holds the writing end: its death is the end of the file.
    drop(write);
    let mut out = scratch(core).await?;
    let copied = blocking(move || {
        let (mut from, mut hash, mut piece) = (File::from(read), Sha256::new(), vec![0; PIECE]);
        let mut left = most;
        loop {
            let got = from.read(&mut piece).map_err(failed)?;
            let block = piece.get(..got).unwrap_or_default();
            if block.is_empty() {
                out.rewind().map_err(failed)?;
                return Ok((out, hex::encode(hash.finalize())));
            }
            left =
                left.checked_sub(got as u64).ok_or_else(|| Error::bad_request("The delta makes too much"))?;
            hash.update(block);
            out.write_all(block).map_err(failed)?;
        }
    });
    let copied = copied.await?;
    helper.answer::<Patched>().await?;
    Ok(copied)
}

async fn feed(upload: &mut Upload, mut file: File) -> Result<()> {
    loop {
        let (back, block) = blocking(move || {
            let mut piece = vec![0; PIECE];
            let got = file.read(&mut piece).map_err(failed)?;
            piece.truncate(got);
            Ok((file, Bytes::from(piece)))
        })
        .await?;
        if block.is_empty() {
            return Ok(());
        }
        file = back;
        upload.take(block).await?;
    }
}

/// The delta's file, with its hash.
struct Scratch {
    file: File,
    hash: Sha256,
}

impl Sink for Scratch {
    async fn take(&mut self, block: Bytes) -> Result<()> {
        self.hash.update(&block);
        let mut file = self.file.try_clone().map_err(failed)?;
        blocking(move || file.write_all(&block).map_err(failed)).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|panic| Error::internal(panic.to_string()))?
}

fn failed(error: io::Error) -> Error {
    Error::internal(format!("Failed to apply a delta: {error}"))
}
