//! Receiving an image: every block goes to the disk and into the hash at the same time, on two threads.

use std::fs::File;
use std::io::Write;

use bytes::Bytes;
use lxd_types::names::Fingerprint;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::ImageError;
use crate::inspect::{Inspected, inspect, inspect_split};
use crate::occupancy::Inside;
use crate::store::Store;

/// Blocks that may wait for the disk or the hash; hyper's are at most 512 KiB.
const WAITING: usize = 16;

/// The files of an image, in the order in which they are hashed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The unified image, or the metadata tarball.
    Meta,
    /// The root file system of a split image.
    Rootfs,
}

/// An upload under way. Dropped before [`Upload::finish`], it removes what was written.
pub struct Upload {
    store: Store,
    hash: Worker<Sha256>,
    present: Option<(Part, Writing)>,
    done: Vec<(Part, Incoming)>,
    size: u64,
    most: u64,
    /// What is said of more than that.
    full: String,
}

/// A received image that has no name yet; removed again unless [`Received::keep`] is called.
pub struct Received {
    /// SHA-256 of all bytes, the image's name.
    pub fingerprint: Fingerprint,
    /// Bytes of all files.
    pub size: u64,
    /// What is in it.
    pub inspected: Inspected,
    files: Vec<(Part, Incoming)>,
}

impl Upload {
    /// Begins to receive a unified image or, with [`Upload::begin_part`], a split one.
    pub fn new(store: &Store) -> Self {
        let hash = Worker::start(Sha256::new(), |hash: &mut Sha256, block| {
            hash.update(block);
            Ok(())
        });
        Self {
            store: store.clone(),
            hash,
            present: None,
            done: Vec::new(),
            size: 0,
            most: u64::MAX,
            full: String::new(),
        }
    }

    /// More than `most` bytes are refused in these words.
    #[must_use]
    pub fn with_room(self, most: u64, full: String) -> Self {
        Self { most, full, ..self }
    }

    /// The next blocks belong to this part. Parts come in the order of [`Part`], each at most once.
    ///
    /// # Errors
    /// The order is wrong, or the file cannot be made.
    pub async fn begin_part(&mut self, part: Part) -> Result<(), ImageError> {
        self.end_part().await?;
        let expected = if self.done.is_empty() { Part::Meta } else { Part::Rootfs };
        if part != expected || self.done.len() > 1 {
            return Err(ImageError::BadParts);
        }
        let store = self.store.clone();
        let inside = store.occupancy.enter().await;
        let (incoming, file) = blocking(move || {
            let (name, file) = store.incoming()?;
            Ok((Incoming { store, name: Some(name), _inside: inside }, file))
        })
        .await?;
        let worker = Worker::start(file, |file: &mut File, block| {
            file.write_all(block).map_err(ImageError::io("Failed to write the image"))
        });
        self.present = Some((part, Writing { incoming, worker }));
        Ok(())
    }

    /// Takes the next block.
    ///
    /// # Errors
    /// Disk full and the like.
    pub async fn write(&mut self, block: Bytes) -> Result<(), ImageError> {
        if self.present.is_none() {
            self.begin_part(Part::Meta).await?;
        }
        self.size += block.len() as u64;
        if self.size > self.most {
            return Err(ImageError::NoRoom(self.full.clone()));
        }
        if let Some((_, writing)) = &mut self.present {
            writing.worker.send(block.clone()).await?;
        }
        self.hash.send(block).await
    }

    /// Whether the root file system of a split image has begun.
    pub fn has_rootfs(&self) -> bool {
        self.present.as_ref().is_some_and(|(part, _)| *part == Part::Rootfs) || self.done.len() > 1
    }

    /// Bytes received so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Waits until all is written and hashed, and looks into the image.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub async fn finish(mut self) -> Result<Received, ImageError> {
        self.end_part().await?;
        if self.size == 0 {
            return Err(ImageError::Empty);
        }
        let digest = self.hash.end().await?.finalize();
        let fingerprint = hex::encode(digest);
        let fingerprint = fingerprint.parse().expect("a SHA-256 in hexadecimal is a fingerprint");
        let (files, inspected) = blocking(move || {
            let inspected = inspect_incoming(&self.store, &self.done)?;
            Ok((self.done, inspected))
        })
        .await?;
        Ok(Received { fingerprint, size: self.size, inspected, files })
    }

    async fn end_part(&mut self) -> Result<(), ImageError> {
        if let Some((part, writing)) = self.present.take() {
            drop(writing.worker.end().await?);
            self.done.push((part, writing.incoming));
        }
        Ok(())
    }
}

fn inspect_incoming(store: &Store, files: &[(Part, Incoming)]) -> Result<Inspected, ImageError> {
    let open = |at: usize| files.get(at).map(|(_, incoming)| incoming.open(store)).transpose();
    let mut meta = open(0)?.ok_or(ImageError::Empty)?;
    match open(1)? {
        Some(mut rootfs) => inspect_split(&mut meta, &mut rootfs),
        None => inspect(&mut meta),
    }
}

impl Received {
    /// Refuses an image that is not the announced one (empty: none was announced).
    ///
    /// # Errors
    /// [`ImageError::Fingerprint`].
    pub fn expect(&self, fingerprint: &str) -> Result<(), ImageError> {
        if fingerprint.is_empty() || fingerprint == self.fingerprint.as_str() {
            return Ok(());
        }
        Err(ImageError::Fingerprint { got: self.fingerprint.to_string(), expected: fingerprint.to_owned() })
    }

    /// Puts the files into their place. Files of the same fingerprint are replaced by equal ones.
    ///
    /// # Errors
    /// I/O errors.
    pub async fn keep(self) -> Result<(), ImageError> {
        blocking(move || {
            // The metadata file last: with it the image is there.
            for (part, mut incoming) in self.files.into_iter().rev() {
                incoming.keep(&self.fingerprint, part == Part::Rootfs)?;
            }
            Ok(())
        })
        .await
    }
}

struct Writing {
    incoming: Incoming,
    worker: Worker<File>,
}

/// A received file; removed when dropped without a name.
struct Incoming {
    store: Store,
    name: Option<String>,
    /// The store stays where it is meanwhile.
    _inside: Inside,
}

impl Incoming {
    fn open(&self, store: &Store) -> Result<File, ImageError> {
        let name = self.name.as_deref().unwrap_or_default();
        store.open_incoming(name)
    }

    fn keep(&mut self, fingerprint: &Fingerprint, rootfs: bool) -> Result<(), ImageError> {
        let Some(name) = self.name.as_deref() else { return Ok(()) };
        self.store.keep(name, fingerprint, rootfs)?;
        self.name = None;
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            self.store.discard(name);
        }
    }
}

/// A thread that takes blocks one after the other.
struct Worker<T> {
    blocks: mpsc::Sender<Bytes>,
    thread: JoinHandle<Result<T, ImageError>>,
}

impl<T: Send + 'static> Worker<T> {
    fn start(
        mut sink: T,
        mut take: impl FnMut(&mut T, &[u8]) -> Result<(), ImageError> + Send + 'static,
    ) -> Self {
        let (blocks, mut incoming) = mpsc::channel::<Bytes>(WAITING);
        let thread = tokio::task::spawn_blocking(move || {
            while let Some(block) = incoming.blocking_recv() {
                take(&mut sink, &block)?;
            }
            Ok(sink)
        });
        Self { blocks, thread }
    }

    /// Hands a block over; the error of a worker that gave up is found.
    async fn send(&mut self, block: Bytes) -> Result<(), ImageError> {
        if self.blocks.send(block).await.is_ok() {
            return Ok(());
        }
        match (&mut self.thread).await {
            Ok(Err(error)) => Err(error),
            _ => Err(ImageError::Io { action: "Failed to receive the image", source: gone() }),
        }
    }

    async fn end(self) -> Result<T, ImageError> {
        drop(self.blocks);
        self.thread
            .await
            .map_err(|_| ImageError::Io { action: "Failed to receive the image", source: gone() })?
    }
}

fn gone() -> std::io::Error {
    std::io::Error::other("the thread ended early")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ImageError::Io { action: "Failed to look into the image", source: gone() })?
}
