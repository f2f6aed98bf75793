//! The mounts of disks on the host, below the instance's devices directory.
//!
//! A source path is the administrator's word and is followed as the host follows it, links included; it is opened once,
//! and what was opened is what is mounted. Where a project names the directories that disks may show, links that lead out
//! of these are refused, whoever changes them and when. The place where it is mounted is below our own directory.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use lxd_sys::dir::OFlags;
use lxd_sys::mount::{self, Attributes};
use lxd_sys::{Dir, FileKind, UserNamespace};
use lxd_types::error::Context as _;
use lxd_types::names::DeviceName;
use lxd_types::{ConfigExt, Device, Error, Flag, Kind, Result};

use super::filesystem::{self, Options};
use crate::context::Context;
use crate::started::{MountEntry, MountKind, Propagation};

/// Where the mount of the device stands on the host.
pub(super) fn place(context: &Context) -> PathBuf {
    context.devices_dir.join(place_name(&context.device))
}

fn place_name(device: &DeviceName) -> String {
    format!("disk.{}", device.file_name())
}

/// Refuses a source of the host that is missing although it is required.
pub(super) async fn check_source(context: &Context, path: PathBuf, device: &Device) -> Result<()> {
    let required = device.flag("required", Flag::DefaultTrue);
    let context = context.clone();
    blocking(move || open_source(&context, &path, required).map(drop)).await
}

/// Mounts a path of the host; nothing when it is missing and not required.
pub(super) async fn host_path(
    context: &Context,
    device: &Device,
    path: PathBuf,
) -> Result<Option<MountEntry>> {
    let (context, device) = (context.clone(), device.clone());
    blocking(move || {
        let required = device.flag("required", Flag::DefaultTrue);
        let Some((source, found)) = open_source(&context, &path, required)? else { return Ok(None) };
        let shift = device.flag("shift", Flag::DefaultFalse);
        let (tree, kind) = match found {
            Found::Path(kind) => (clone(&context, &device, &source)?, kind),
            Found::Device => (device_tree(&context, &device, source)?, MountKind::Directory),
        };
        prepare(&context, &device, tree, kind, shift).map(Some)
    })
    .await
}

/// Mounts the directory of a custom volume; `shift`: with owners as the instance sees its own files.
pub(super) async fn volume(
    context: &Context,
    device: &Device,
    dir: Arc<Dir>,
    shift: bool,
) -> Result<MountEntry> {
    let (context, device) = (context.clone(), device.clone());
    blocking(move || {
        let source = dir.open_raw(".", OFlags::PATH, 0).context("Failed to open the volume")?;
        let tree = clone(&context, &device, source)?;
        prepare(&context, &device, tree, MountKind::Directory, shift)
    })
    .await
}

/// Unmounts what stands at the device's place and removes the place; nothing there is fine.
pub(super) async fn release(context: &Context) -> Result<()> {
    let context = context.clone();
    blocking(move || {
        let name = place_name(&context.device);
        match Dir::open(&context.devices_dir) {
            Ok(dir) => clear_place(&dir, &name).context(format!("Failed to remove {name:?}")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).context("Failed to open the devices directory"),
        }
    })
    .await
}

/// What a source of the host is.
enum Found {
    /// Something that is shown as it is.
    Path(MountKind),
    /// A block device, whose file system is shown.
    Device,
}

fn open_source(context: &Context, path: &Path, required: bool) -> Result<Option<(OwnedFd, Found)>> {
    let opened = match &context.disk_paths {
        None => {
            let flags = OFlags::PATH.bits() as i32;
            OpenOptions::new().read(true).custom_flags(flags).open(path)
        }
        Some(allowed) => open_allowed(allowed, path),
    };
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !required => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!(
                "Missing source path {:?} for disk {:?}",
                path.to_string_lossy(),
                context.device.as_str()
            );
            return Err(Error::bad_request(text));
        }
        Err(error) => return Err(error).context(format!("Failed to open {path:?}")),
    };
    let mode = file.metadata().context(format!("Failed to look at {path:?}"))?.mode();
    let kind = match FileKind::of_mode(mode) {
        FileKind::Dir => MountKind::Directory,
        FileKind::Block => return Ok(Some((file.into(), Found::Device))),
        _ => MountKind::File,
    };
    Ok(Some((file.into(), Found::Path(kind))))
}

/// Opens a path below one of the allowed directories, through which no link leads out of that directory.
fn open_allowed(allowed: &[PathBuf], path: &Path) -> io::Result<File> {
    let below = allowed.iter().find_map(|dir| Some((dir, path.strip_prefix(dir).ok()?)));
    let Some((dir, rest)) = below else {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the project does not allow this path"));
    };
    let rest = if rest.as_os_str().is_empty() { Path::new(".") } else { rest };
    Dir::open(dir)?.open_beneath(rest, OFlags::PATH).map(File::from)
}

fn failed(context: &Context) -> String {
    format!("Failed to set up the mount of disk {:?}", context.device.as_str())
}

/// A copy of the source's mount.
fn clone(context: &Context, device: &Device, source: impl AsFd) -> Result<OwnedFd> {
    Options::parse(device.value("raw.mount.options"))?.require_general()?;
    mount::clone_fd(source, device.flag("recursive", Flag::DefaultFalse)).context(failed(context))
}

/// The file system of a block device.
fn device_tree(context: &Context, device: &Device, source: OwnedFd) -> Result<OwnedFd> {
    if device.flag("recursive", Flag::DefaultFalse) {
        return Err(Error::bad_request(
            "The recursive option is only supported for additional bind-mounted paths",
        ));
    }
    let mut options = Options::parse(device.value("raw.mount.options"))?;
    options.attributes.read_only |= device.flag("readonly", Flag::DefaultFalse);
    filesystem::mount_device(source, &options).context(failed(context))
}

/// Puts the tree of a source, with all its attributes, at the device's place.
fn prepare(
    context: &Context,
    device: &Device,
    tree: OwnedFd,
    kind: MountKind,
    shift: bool,
) -> Result<MountEntry> {
    let on = |key| device.flag(key, Flag::DefaultFalse);
    let options = Options::parse(device.value("raw.mount.options"))?.attributes;
    let (readonly, recursive) = (on("readonly") || options.read_only, on("recursive"));
    let propagation = Propagation::from_word(device.value("propagation")).unwrap_or_default();
    let (private, slave) = spread(propagation, !context.idmap.is_empty());
    let attributes = Attributes { read_only: readonly, private, slave, recursive, ..options };
    mount::set_attributes(&tree, attributes).context(failed(context))?;
    if shift && !context.idmap.is_empty() {
        shift_owners(context, &tree, recursive)?;
    }
    let place = put(context, &tree, kind).context(failed(context))?;
    Ok(MountEntry {
        source: place,
        target: inside(device.value("path")),
        kind,
        readonly,
        recursive,
        propagation,
    })
}

/// Whether the mount at the device's place is private, or a slave of its source: it must never be a peer of it unless the
/// instance shall mount on the host. That of an unprivileged instance shall not, whatever is asked for: a mount namespace of its
/// own makes it a slave at the start, and a mount that is added later must be no more.
fn spread(propagation: Propagation, mapped: bool) -> (bool, bool) {
    use Propagation::{RecursiveShared, RecursiveSlave, Shared, Slave};
    match propagation {
        Slave | RecursiveSlave => (false, true),
        Shared | RecursiveShared => (false, mapped),
        _ => (true, false),
    }
}

fn shift_owners(context: &Context, tree: impl AsFd, recursive: bool) -> Result<()> {
    UserNamespace::new(&context.idmap)
        .and_then(|namespace| mount::set_idmap(tree, &namespace, recursive))
        .map_err(|error| {
            Error::with_source(Kind::Internal, "Required idmapping abilities not available", error)
        })
}

fn put(context: &Context, tree: impl AsFd, kind: MountKind) -> io::Result<PathBuf> {
    let dir = Dir::open(&context.devices_dir)?;
    let name = place_name(&context.device);
    clear_place(&dir, &name)?;
    match kind {
        MountKind::Directory => dir.mkdir(&name, 0o700)?,
        MountKind::File => drop(dir.create_new(&name, 0o600)?),
    }
    mount::attach(tree, dir.open_raw(&name, OFlags::PATH, 0)?)?;
    Ok(place(context))
}

/// Unmounts all that is mounted there (an interrupted start may have left something) and removes the place.
fn clear_place(dir: &Dir, name: &str) -> io::Result<()> {
    loop {
        match mount::unmount(dir, name, true) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // Nothing is mounted there any more.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
            Err(error) => return Err(error),
        }
    }
    match dir.kind(name)? {
        Some(FileKind::Dir) => dir.remove_dir(name),
        Some(_) => dir.remove_file(name),
        None => Ok(()),
    }
}

/// The path inside, relative to the root and without `.` and empty parts; `..` was refused by validation.
fn inside(path: &str) -> PathBuf {
    let normal = |part: Component<'_>| match part {
        Component::Normal(part) => Some(part.to_owned()),
        _ => None,
    };
    Path::new(path).components().filter_map(normal).collect()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => Err(Error::with_source(Kind::Internal, "Setting up a disk failed", panic)),
    }
}

#[cfg(test)]
mod tests;
