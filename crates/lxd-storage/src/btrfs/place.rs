//! Where a `btrfs` pool lives: a loop file of ours, a block device, or a place on a btrfs file system of the host.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lxd_host::runner::{Cmd, Runner};
use lxd_sys::loopdev::{self, Loop};
use lxd_sys::{Dir, btrfs, mount as mounts};
use lxd_types::names::PoolName;
use lxd_types::{ByteSize, Config, ConfigExt, Error, Kind, Result};
use rustix::mount::{MountFlags, UnmountFlags};

use crate::blocking::{blocking, io_error};
use crate::driver::PoolSpec;
use crate::folder;

/// Mount options where none are set (manual 3.2.8).
const OPTIONS: &str = "user_subvol_rm_allowed";

/// Least size of a loop file that nobody gave one.
const SMALLEST: u64 = 5 << 30;
/// Most size of one.
const LARGEST: u64 = 30 << 30;

/// What the source of a pool is.
enum Source<'a> {
    /// A file of ours that becomes a loop device.
    LoopFile(&'a Path),
    /// A file elsewhere, of a pool that was recovered.
    File(&'a Path),
    /// A block device.
    Device(&'a Path),
    /// A directory on btrfs.
    Directory(&'a Path),
}

/// The loop file of a pool.
fn loop_file(lxd_dir: &Path, name: &PoolName) -> PathBuf {
    lxd_dir.join("disks").join(format!("{name}.img"))
}

fn source_of(spec: &PoolSpec) -> Source<'_> {
    let source = spec.source.as_path();
    if source == loop_file(&spec.lxd_dir, &spec.name) {
        return Source::LoopFile(source);
    }
    match std::fs::symlink_metadata(source).map(|found| found.file_type()) {
        Ok(kind) if kind.is_file() => Source::File(source),
        Ok(_) if std::fs::metadata(source).is_ok_and(|found| found.file_type().is_block_device()) => {
            Source::Device(source)
        }
        _ => Source::Directory(source),
    }
}

/// The keys of a new pool: its source, and the size of its loop file.
///
/// # Errors
/// No room for a loop file; a size beside another source.
pub fn plan(lxd_dir: &Path, name: &PoolName, mut config: Config) -> Result<Config> {
    let given = config.value("source").to_owned();
    let file = loop_file(lxd_dir, name);
    if !given.is_empty() && Path::new(&given) != file {
        if !Path::new(&given).is_absolute() {
            return Err(Error::internal(format!("Source path '{given}' is not absolute")));
        }
        config.insert("volatile.initial_source".to_owned(), given);
        return Ok(config);
    }
    config.insert("source".to_owned(), file.to_string_lossy().into_owned());
    if config.value("size").is_empty() {
        let free = Dir::open(lxd_dir)
            .and_then(|dir| dir.space())
            .map_err(|error| io_error(error, "Failed to read the free space for a loop file"))?
            .free;
        let size = default_size(free)?;
        config.insert("size".to_owned(), format!("{}GiB", size >> 30));
    }
    Ok(config)
}

/// A fifth of the free space, but at least 5 and at most 30 GiB, in whole GiB.
fn default_size(free: u64) -> Result<u64> {
    let wanted = ((free / 5) >> 30 << 30).clamp(SMALLEST, LARGEST);
    if wanted > free {
        return Err(Error::internal(format!(
            "Not enough space for a loop file: {} GiB are needed, {} GiB are free (set \"size\" or \"source\")",
            wanted >> 30,
            free >> 30
        )));
    }
    Ok(wanted)
}

/// Makes the pool; takes back what it made when something fails.
pub(super) async fn create(spec: &Arc<PoolSpec>, runner: &Arc<dyn Runner>) -> Result<()> {
    let checked = spec.clone();
    blocking(move || check(&checked)).await?;
    let format = match source_of(spec) {
        Source::LoopFile(path) => Some(("Failed to make the btrfs file system", path.to_owned())),
        Source::Device(path) => Some(("Failed to format block device", path.to_owned())),
        Source::Directory(_) | Source::File(_) => None,
    };
    let done = async {
        if let Some((failure, path)) = format {
            let cmd = Cmd::new("mkfs.btrfs").arg("-q").arg("-L").arg(spec.name.as_str()).arg("--").arg(path);
            let made = runner.run(cmd).await;
            made.map_err(|error| Error::with_source(Kind::Internal, failure, error))?;
        }
        let spec = spec.clone();
        blocking(move || mount(&spec)).await
    };
    let done = done.await;
    if done.is_err() {
        let spec = spec.clone();
        blocking(move || {
            take_back(&spec);
            Ok(())
        })
        .await?;
    }
    done
}

/// Checks the source, and makes subvolume, the pool's directory and the loop file.
fn check(spec: &PoolSpec) -> Result<()> {
    if let Source::Directory(path) | Source::File(path) = source_of(spec) {
        if path.starts_with(&spec.lxd_dir) {
            let text = format!("Source path '{}' is within the LXD directory", path.display());
            return Err(Error::internal(text));
        }
        directory(path)?;
    }
    let pools = pools_dir(spec)?;
    pools.mkdir(spec.name.as_str(), 0o711).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::internal(format!(
            "Storage pool directory \"{}\" already exists",
            spec.mount_path().display()
        )),
        _ => io_error(error, "Failed to create the storage pool's directory"),
    })?;
    let Source::LoopFile(path) = source_of(spec) else { return Ok(()) };
    let made = loop_size(&spec.config).and_then(|size| make_loop_file(path, size));
    if made.is_err() {
        let _ = pools.remove_dir(spec.name.as_str());
    }
    made
}

fn loop_size(config: &Config) -> Result<u64> {
    Ok(config.value("size").parse::<ByteSize>().map_err(|why| Error::internal(why.0))?.bytes())
}

fn make_loop_file(path: &Path, size: u64) -> Result<()> {
    let failed = |error| io_error(error, format!("Failed to create the loop file \"{}\"", path.display()));
    let disks = path.parent().unwrap_or(Path::new("/"));
    match std::fs::create_dir(disks) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        Err(_) => {}
        Ok(()) => {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(disks, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.set_len(size).map_err(failed)
}

/// An empty subvolume (or whole file system) of btrfs; one that is not there is made.
fn directory(path: &Path) -> Result<()> {
    let shown = path.display();
    let not_btrfs = || Error::internal("Provided path does not reside on a btrfs filesystem");
    let failed =
        |error| io_error(error, format!("Failed to open source path '{shown}'")).with_kind(Kind::Internal);
    if !path.exists() {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(not_btrfs()) };
        let parent = Dir::open(parent).map_err(failed)?;
        if !btrfs::is_btrfs(&parent).map_err(failed)? {
            return Err(not_btrfs());
        }
        return btrfs::create(&parent, name)
            .map_err(|error| io_error(error, format!("Failed to create subvolume '{shown}'")));
    }
    let dir = Dir::open(path).map_err(failed)?;
    if !btrfs::is_btrfs(&dir).map_err(failed)? {
        return Err(not_btrfs());
    }
    if !btrfs::is_subvolume(&dir).map_err(failed)? {
        return Err(Error::internal(format!(
            "Source path '{shown}' is a plain directory: name a subvolume, or a path that does not exist"
        )));
    }
    if !dir.read_dir(".").map_err(failed)?.is_empty() {
        return Err(Error::internal(format!("Source path '{shown}' isn't empty")));
    }
    Ok(())
}

/// Makes the pool usable after a start: mount and lay-out.
pub(super) fn mount(spec: &PoolSpec) -> Result<()> {
    let pools = pools_dir(spec)?;
    pools.mkdir_all(spec.name.as_str(), 0o711).map_err(|error| folder::unavailable(spec, error))?;
    if !is_mounted(spec, &pools)? {
        attach(spec)?;
    }
    let root = require_btrfs(spec)?;
    root.chmod(".", 0o711).map_err(|error| folder::unavailable(spec, error))?;
    folder::lay_out(&root)
}

fn require_btrfs(spec: &PoolSpec) -> Result<Dir> {
    let root = folder::root(spec)?;
    match btrfs::is_btrfs(&root).map_err(|error| folder::unavailable(spec, error))? {
        true => Ok(root),
        false => Err(folder::unavailable(spec, io::Error::other("the source is not btrfs"))),
    }
}

/// Makes a pool reachable that nobody recorded. Answers whether it was not before.
pub(super) fn adopt(spec: &PoolSpec) -> Result<bool> {
    let pools = pools_dir(spec)?;
    pools.mkdir_all(spec.name.as_str(), 0o711).map_err(|error| folder::unavailable(spec, error))?;
    let opened = !is_mounted(spec, &pools)?;
    let attached = if opened { attach(spec) } else { Ok(()) };
    let checked =
        attached.and_then(|()| require_btrfs(spec)).and_then(|root| folder::require_layout(spec, &root));
    if opened && checked.is_err() {
        leave(spec)?;
    }
    checked.map(|()| opened)
}

/// Takes the mount away again; a directory with anything in it stays.
pub(super) fn leave(spec: &PoolSpec) -> Result<()> {
    let pools = pools_dir(spec)?;
    unmount(spec, &pools, UnmountFlags::NOFOLLOW)?;
    folder::remove_if_empty(&pools, Path::new(spec.name.as_str()))
        .map_err(|error| io_error(error, "Failed to remove the storage pool's directory"))
}

/// Something is mounted at the pool's place when that is another mount than the folder of pools.
fn is_mounted(spec: &PoolSpec, pools: &Dir) -> Result<bool> {
    let failed = |error: io::Error| folder::unavailable(spec, error);
    let place = folder::root(spec)?;
    let mount_of = |dir: &Dir| {
        let flags = rustix::fs::AtFlags::EMPTY_PATH;
        rustix::fs::statx(dir, "", flags, rustix::fs::StatxFlags::MNT_ID).map(|found| found.stx_mnt_id)
    };
    let other = mount_of(&place).map_err(|error| failed(error.into()))?;
    Ok(other != mount_of(pools).map_err(|error| failed(error.into()))?)
}

fn attach(spec: &PoolSpec) -> Result<()> {
    let failed = |error: io::Error| folder::unavailable(spec, error);
    match source_of(spec) {
        Source::LoopFile(path) | Source::File(path) => {
            let file = open_loop_file(path).map_err(failed)?;
            let device = Loop::attach(&file).map_err(failed)?;
            mount_device(spec, &device.path)
        }
        Source::Device(path) => mount_device(spec, path),
        Source::Directory(path) => {
            let place = folder::root(spec)?;
            let source = Dir::open(path).map_err(failed)?;
            let tree = mounts::clone_fd(&source, false).map_err(failed)?;
            mounts::attach(tree, place).map_err(failed)
        }
    }
}

fn open_loop_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

fn mount_device(spec: &PoolSpec, device: &Path) -> Result<()> {
    let wanted = spec.config.value("btrfs.mount_options");
    let (flags, data) = mount_options(if wanted.is_empty() { OPTIONS } else { wanted });
    let data = std::ffi::CString::new(data).map_err(|error| folder::unavailable(spec, error.into()))?;
    rustix::mount::mount(device, spec.mount_path(), "btrfs", flags, Some(data.as_c_str()))
        .map_err(|error| folder::unavailable(spec, error.into()))
}

/// Gives the mount of a device the options of now. A directory of the host has those of the host.
pub(super) fn remount(spec: &PoolSpec) -> Result<()> {
    if matches!(source_of(spec), Source::Directory(_)) {
        return Ok(());
    }
    let wanted = spec.config.value("btrfs.mount_options");
    let (flags, data) = mount_options(if wanted.is_empty() { OPTIONS } else { wanted });
    let failed = |error: io::Error| {
        io_error(error, format!("Failed to apply the mount options {wanted:?}")).with_kind(Kind::BadRequest)
    };
    rustix::mount::mount_remount(spec.mount_path(), flags, data).map_err(|error| failed(error.into()))
}

/// Options for everybody as flags, those of btrfs as the text that it reads.
fn mount_options(options: &str) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut own = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "defaults" | "rw" => {}
            "ro" => flags |= MountFlags::RDONLY,
            "noatime" => flags |= MountFlags::NOATIME,
            "nodiratime" => flags |= MountFlags::NODIRATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            "strictatime" => flags |= MountFlags::STRICTATIME,
            "nodev" => flags |= MountFlags::NODEV,
            "nosuid" => flags |= MountFlags::NOSUID,
            "noexec" => flags |= MountFlags::NOEXEC,
            "sync" => flags |= MountFlags::SYNCHRONOUS,
            _ => own.push(option),
        }
    }
    (flags, own.join(","))
}

/// Removes the lay-out, the mount and the loop file. Data that is left is not ours to delete: the error says where it is.
pub(super) fn delete(spec: &PoolSpec) -> Result<()> {
    let pools = pools_dir(spec)?;
    let name = spec.name.as_str();
    let there = pools.kind(name).map_err(|error| io_error(error, "Failed to look for the storage pool"))?;
    if there.is_some() {
        let gone = matches!(source_of(spec), Source::LoopFile(path) if !path.exists());
        if !gone {
            mount(spec)?;
            folder::remove_layout(spec, &folder::root(spec)?)?;
        }
        unmount(spec, &pools, UnmountFlags::NOFOLLOW)?;
        pools
            .remove_dir(name)
            .map_err(|error| io_error(error, "Failed to remove the storage pool's directory"))?;
    }
    match source_of(spec) {
        Source::LoopFile(path) => remove_loop_file(path),
        _ => Ok(()),
    }
}

fn unmount(spec: &PoolSpec, pools: &Dir, flags: UnmountFlags) -> Result<()> {
    if !is_mounted(spec, pools)? {
        return Ok(());
    }
    rustix::mount::unmount(spec.mount_path(), flags)
        .map_err(|error| io_error(error.into(), "Failed to unmount storage pool").with_kind(Kind::Busy))
}

fn remove_loop_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error(error, format!("Failed to remove the loop file \"{}\"", path.display())))
        }
        _ => Ok(()),
    }
}

/// Removes what a failed create made; the first error is the one to report.
fn take_back(spec: &PoolSpec) {
    let Ok(pools) = pools_dir(spec) else { return };
    if is_mounted(spec, &pools).unwrap_or(false) {
        if let Ok(root) = folder::root(spec) {
            folder::take_back_layout(&root);
        }
        let _ = rustix::mount::unmount(spec.mount_path(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    }
    let _ = pools.remove_dir(spec.name.as_str());
    if let Source::LoopFile(path) = source_of(spec) {
        let _ = remove_loop_file(path);
    }
}

/// Makes the loop file larger, and the file system in it.
pub(super) fn grow(spec: &PoolSpec, size: u64) -> Result<()> {
    let Source::LoopFile(path) = source_of(spec) else {
        return Err(Error::bad_request("Only storage pools in a loop file have a size that can be changed"));
    };
    let failed = |error| io_error(error, format!("Failed to grow the loop file \"{}\"", path.display()));
    let file = open_loop_file(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() > size {
        return Err(Error::bad_request("Storage pools cannot be made smaller"));
    }
    file.set_len(size).map_err(failed)?;
    let root = super::BtrfsPool::root(spec)?;
    let device = loop_device_of(path).map_err(failed)?;
    loopdev::update_size(device).map_err(failed)?;
    btrfs::grow(&root).map_err(failed)
}

/// The loop device that has this file.
fn loop_device_of(path: &Path) -> io::Result<File> {
    for entry in std::fs::read_dir("/sys/block")? {
        let name = entry?.file_name();
        let backing = Path::new("/sys/block").join(&name).join("loop/backing_file");
        if std::fs::read_to_string(backing).is_ok_and(|text| Path::new(text.trim_end()) == path) {
            return OpenOptions::new().read(true).write(true).open(Path::new("/dev").join(name));
        }
    }
    Err(io::Error::from(io::ErrorKind::NotFound))
}

fn pools_dir(spec: &PoolSpec) -> Result<Dir> {
    let path = spec.lxd_dir.join("storage-pools");
    Dir::open(&path).map_err(|error| io_error(error, format!("Failed to open \"{}\"", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loop_files_have_a_fifth_of_the_free_space() {
        let gib = |size: u64| size << 30;
        assert_eq!(default_size(gib(100)).unwrap(), gib(20));
        assert_eq!(default_size(gib(1000)).unwrap(), gib(30));
        assert_eq!(default_size(gib(6)).unwrap(), gib(5));
        assert!(default_size(gib(4)).unwrap_err().chain().contains("5 GiB are needed, 4 GiB are free"));
    }

    #[test]
    fn mount_options_are_parted() {
        let (flags, own) = mount_options("noatime,compress=zstd,rw,discard");
        assert_eq!((flags, own.as_str()), (MountFlags::NOATIME, "compress=zstd,discard"));
    }
}
