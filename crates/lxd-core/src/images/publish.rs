//! `POST /1.0/images` with an instance or a snapshot as source: an image of it (manual 3.3.3).

use std::io::{self, Write};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chrono::Utc;
use lxd_api::image::{ImageMetadata, ImagesPost};
use lxd_api::instance::InstanceSource;
use lxd_auth::Permit;
use lxd_image::{Encoder, METADATA_LIMIT, Metadata, Packer, Upload};
use lxd_storage::transfer;
use lxd_sys::Dir;
use lxd_task::operation::Operation;
use lxd_task::{OpHandle, OperationSpec};
use lxd_types::compression::Compression;
use lxd_types::{Error, Kind, Result};
use tokio::sync::mpsc;

use super::create::{self, UploadOptions};
use crate::SharedCore;
use crate::instances::{CopyOf, hold_origin, origin_of, yaml_of};

/// Bytes of one block on the way from the packer to the image store.
const BLOCK: usize = 256 << 10;

/// Blocks that may wait.
const QUEUE: usize = 8;

/// Starts to make an image of an instance or snapshot; the answer is the operation.
///
/// # Errors
/// There is no such instance, it runs, or the compression is unknown.
pub async fn publish(core: &SharedCore, permit: &Permit, post: ImagesPost) -> Result<Arc<Operation>> {
    let source = InstanceSource { source: post.source.name.clone(), ..InstanceSource::default() };
    let origin = CopyOf::parse(&source, permit.project())?;
    if (post.source.kind == "snapshot") != origin.snapshot.is_some() {
        return Err(Error::bad_request(format!("{:?} is no {}", post.source.name, post.source.kind)));
    }
    let (chosen, setting) = (&post.compression_algorithm, "images.compression_algorithm");
    let compression = crate::projects::compression(core, permit.project(), setting, chosen).await?;
    let wanted = origin.clone();
    let architecture = core.db.read(move |tx| crate::instances::architecture_of(tx, &wanted)).await?;
    let spec =
        OperationSpec::task("Downloading image", permit.project().as_str()).by(permit.caller().requestor());
    let (work, permit) = (core.clone(), permit.clone());
    Ok(core.operations.spawn(spec, move |op| async move {
        // One after the other: each uses all processors and much of the disk.
        let _turn = work.publishing.lock().await;
        op.check()?;
        let _gate = hold_origin(&work, &op, &origin).await?;
        if origin.snapshot.is_none() && work.runtime.is_running(&origin.instance) {
            return Err(Error::bad_request("The instance is running, stop it to publish it"));
        }
        let options = UploadOptions {
            filename: post.filename,
            public: post.public,
            auto_update: post.auto_update,
            aliases: post.aliases.into_iter().map(|alias| (alias.name, alias.description)).collect(),
            profiles: (!post.profiles.is_empty()).then_some(post.profiles),
            expiry: (!post.expires_at.is_never()).then(|| post.expires_at.0.to_utc()),
            ..UploadOptions::default()
        };
        let metadata = ImageMetadata {
            architecture,
            creation_date: Utc::now().timestamp(),
            expiry_date: options.expiry.map_or(0, |expiry| expiry.timestamp()),
            properties: post.properties,
            ..ImageMetadata::default()
        };
        let (pool, volume) = origin_of(&work, &origin).await?;
        let mounted = transfer::mount(&pool, &volume).await?;
        let packed = pack(&work, &op, mounted.dir, metadata, compression).await;
        let unmounted = transfer::unmount(&pool, &volume).await;
        let received = packed?.finish().await?;
        unmounted?;
        create::store(&work, &permit, &op, received, options).await
    }))
}

/// Packs the volume into the image store.
async fn pack(
    core: &SharedCore,
    op: &OpHandle,
    volume: Arc<Dir>,
    metadata: ImageMetadata,
    compression: Compression,
) -> Result<Upload> {
    let (sender, mut blocks) = mpsc::channel(QUEUE);
    let packing =
        tokio::task::spawn_blocking(move || write(&volume, metadata, compression, Blocks::new(sender)));
    let mut upload = Upload::new(&core.image_store);
    while let Some(block) = blocks.recv().await {
        // Leaving the loop closes the channel, and that ends the packing.
        op.check()?;
        upload.write(block).await?;
    }
    packing.await.map_err(|panic| Error::with_source(Kind::Internal, "Packing panicked", panic))??;
    Ok(upload)
}

/// Writes the archive: metadata, templates, root file system.
fn write(volume: &Dir, metadata: ImageMetadata, compression: Compression, out: Blocks) -> Result<()> {
    let failed = |error: io::Error| Error::with_source(Kind::Internal, "Failed to pack the instance", error);
    let text = yaml_of(&completed(volume, metadata)?);
    let pack = || {
        let mut packer = Packer::new(Encoder::new(compression, out)?);
        packer.file("metadata.yaml", 0o644, text.as_bytes())?;
        packer.tree(&volume.open_dir("rootfs")?, "rootfs")?;
        match volume.open_dir("templates") {
            Ok(templates) => packer.tree(&templates, "templates")?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        packer.finish()?.finish()?.finish()
    };
    pack().map_err(failed)
}

/// Properties and templates come from the volume where the request gives none.
fn completed(volume: &Dir, mut metadata: ImageMetadata) -> Result<ImageMetadata> {
    let text = match volume.read_limited("metadata.yaml", METADATA_LIMIT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(metadata),
        other => other
            .map_err(|error| Error::with_source(Kind::Internal, "Failed to read metadata.yaml", error))?,
    };
    let present = Metadata::parse(&text)?.to_api();
    if metadata.properties.is_empty() {
        metadata.properties = present.properties;
    }
    metadata.templates = present.templates;
    Ok(metadata)
}

/// A writer that sends blocks into the async world.
struct Blocks {
    sender: mpsc::Sender<Bytes>,
    block: BytesMut,
}

impl Blocks {
    fn new(sender: mpsc::Sender<Bytes>) -> Self {
        Self { sender, block: BytesMut::with_capacity(BLOCK) }
    }

    fn send(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::replace(&mut self.block, BytesMut::with_capacity(BLOCK)).freeze();
        self.sender.blocking_send(block).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn finish(mut self) -> io::Result<()> {
        self.send()
    }
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (BLOCK - self.block.len()).min(bytes.len());
        self.block.extend_from_slice(&bytes[..room]);
        if self.block.len() == BLOCK {
            self.send()?;
        }
        Ok(room)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
