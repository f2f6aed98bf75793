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

use crate::context::Context;
use crate::started::{MountEntry, MountKind, Propagation};

/// Where the mount of the device stands on the host.
pub(super) fn place(context: &Context) -> PathBuf {
    context.devices_dir.join(place_name(&context.device))
}

fn place_name(device: &DeviceName) -> String {
    format!("disk.{}", device.file_name())
}

/// Refuses a source of the host that is missing although it is required, and block devices, which this version does
/// not mount.
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
        let Some((source, kind)) = open_source(&context, &path, required)? else { return Ok(None) };
        let shift = device.flag("shift", Flag::DefaultFalse);
        prepare(&context, &device, source, kind, shift).map(Some)
    })
    .await
}

/// Mounts the directory of a custom volume, with owners as the instance sees its own files.
pub(super) async fn volume(context: &Context, device: &Device, dir: Arc<Dir>) -> Result<MountEntry> {
    let (context, device) = (context.clone(), device.clone());
    blocking(move || {
        let source = dir.open_raw(".", OFlags::PATH, 0).context("Failed to open the volume")?;
        prepare(&context, &device, source, MountKind::Directory, true)
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

/// Numbers of the disk that holds a path.
pub(super) async fn disk_of(path: PathBuf) -> Result<(u32, u32)> {
    blocking(move || {
        let number = std::fs::metadata(&path).context(format!("Failed to look at {path:?}"))?.dev();
        // The kernel's encoding of device numbers.
        let major = ((number >> 8) & 0xfff) | ((number >> 32) & !0xfff);
        let minor = (number & 0xff) | ((number >> 12) & !0xff);
        Ok((major as u32, minor as u32))
    })
    .await
}

fn open_source(context: &Context, path: &Path, required: bool) -> Result<Option<(OwnedFd, MountKind)>> {
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
        FileKind::Block => {
            return Err(Error::bad_request("not supported yet: block devices as source of a disk"));
        }
        _ => MountKind::File,
    };
    Ok(Some((file.into(), kind)))
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

/// Puts a copy of the source's mount, with all its attributes, at the device's place.
fn prepare(
    context: &Context,
    device: &Device,
    source: OwnedFd,
    kind: MountKind,
    shift: bool,
) -> Result<MountEntry> {
    let on = |key| device.flag(key, Flag::DefaultFalse);
    let (readonly, recursive) = (on("readonly"), on("recursive"));
    let propagation = Propagation::from_word(device.value("propagation")).unwrap_or_default();
    let failed = || format!("Failed to set up the mount of disk {:?}", context.device.as_str());
    let tree = mount::clone_fd(&source, recursive).context(failed())?;
    let private = propagation == Propagation::Private;
    let attributes = Attributes { read_only: readonly, private, recursive, ..Attributes::default() };
    mount::set_attributes(&tree, attributes).context(failed())?;
    if shift && !context.idmap.is_empty() {
        shift_owners(context, &tree, recursive)?;
    }
    let place = put(context, &tree, kind).context(failed())?;
    Ok(MountEntry {
        source: place,
        target: inside(device.value("path")),
        kind,
        readonly,
        recursive,
        propagation,
    })
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
