//! `shift`: gives the files of an instance, whose owners a host shifted on disk, the owners of the inside.
//!
//! First a plan of what becomes of every file is written beside the root file system, then it is done. The plan holds the owners
//! that files get, not the difference: one that was interrupted is done again from its beginning. Confined as `unpack` is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use lxd_sys::Dir;
use lxd_sys::dir::{Mode, OFlags};
use lxd_types::helper::{SHIFT_PLAN, Shift, Shifted};
use lxd_types::{IdKind, IdMap};
use rustix::fs::{AtFlags, FileType, Gid, Uid, XattrFlags};
use serde::{Deserialize, Serialize};

use crate::link::{Link, Outcome, failure, system};
use crate::{owners, unpack};

/// Where the plan is while it is being written.
const UNFINISHED: &str = "shift.plan.new";

/// The longest attribute that the kernel keeps.
const ATTRIBUTE_MAX: usize = 65_536;

/// Attributes that name ids.
const ATTRIBUTES: [&str; 3] = ["security.capability", "system.posix_acl_access", "system.posix_acl_default"];

/// What becomes of a file.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Step {
    path: Vec<u8>,
    uid: u32,
    gid: u32,
    /// Of files and directories: a change of the owner takes bits of it away.
    mode: Option<u32>,
    attributes: Vec<(String, Vec<u8>)>,
}

/// Runs the job.
pub fn run(link: &Link) -> Outcome<()> {
    let (job, mut fds): (Shift, _) = link.job()?;
    let (Some(volume), None) = (fds.pop(), fds.pop()) else {
        return Err(failure("One descriptor is needed"));
    };
    let volume = unpack::confine(&volume).map_err(|error| system("Failed to confine the helper", &error))?;
    let files = shift(&volume, &job.owners).map_err(|error| system("Failed to shift owners", &error))?;
    link.ok(&Shifted { files }, &[])
}

fn shift(volume: &Dir, map: &IdMap) -> io::Result<u64> {
    if !volume.exists(SHIFT_PLAN)? {
        let mut plan = BufWriter::new(volume.create(UNFINISHED, 0o600)?);
        write_plan(volume, map, &mut plan)?;
        plan.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        volume.rename(UNFINISHED, SHIFT_PLAN)?;
        volume.sync()?;
    }
    let mut files = 0;
    for line in BufReader::new(volume.open_file(SHIFT_PLAN)?).lines() {
        apply(volume, &serde_json::from_str(&line?)?)?;
        files += 1;
    }
    rustix::fs::syncfs(volume)?;
    Ok(files)
}

fn write_plan(volume: &Dir, map: &IdMap, plan: &mut impl Write) -> io::Result<()> {
    let mut waiting = vec![PathBuf::from("rootfs")];
    while let Some(path) = waiting.pop() {
        let (step, is_dir) = step(volume, map, &path)?;
        serde_json::to_writer(&mut *plan, &step)?;
        plan.write_all(b"\n")?;
        if is_dir {
            waiting.extend(volume.read_dir(&path)?.into_iter().map(|entry| path.join(entry.name)));
        }
    }
    Ok(())
}

fn step(volume: &Dir, map: &IdMap, path: &Path) -> io::Result<(Step, bool)> {
    let found = volume.stat(path)?;
    let kind = FileType::from_raw_mode(found.st_mode);
    let mut step = Step {
        path: path.as_os_str().as_bytes().to_vec(),
        uid: owners::inside(map, IdKind::Uid, found.st_uid),
        gid: owners::inside(map, IdKind::Gid, found.st_gid),
        mode: None,
        attributes: Vec::new(),
    };
    if matches!(kind, FileType::RegularFile | FileType::Directory) {
        step.mode = Some(found.st_mode & 0o7777);
        let file = open(volume, path)?;
        for name in ATTRIBUTES {
            let mut value = vec![0; ATTRIBUTE_MAX];
            let Ok(length) = rustix::fs::fgetxattr(&file, name, &mut value[..]) else { continue };
            let value = owners::attribute(map, name.as_bytes(), &value[..length]);
            step.attributes.push((name.to_owned(), value));
        }
    }
    Ok((step, kind == FileType::Directory))
}

/// Owner, then mode, then attributes: each takes something of the next away.
fn apply(volume: &Dir, step: &Step) -> io::Result<()> {
    let path = PathBuf::from(std::ffi::OsString::from_vec(step.path.clone()));
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let folder = volume.open_raw(parent, OFlags::DIRECTORY, 0)?;
    let (uid, gid) = (Uid::from_raw(step.uid), Gid::from_raw(step.gid));
    rustix::fs::chownat(&folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    let Some(mode) = step.mode else { return Ok(()) };
    let file = open(volume, &path)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    for (name, value) in &step.attributes {
        rustix::fs::fsetxattr(file.as_fd(), name.as_str(), value, XattrFlags::empty())?;
    }
    Ok(())
}

fn open(volume: &Dir, path: &Path) -> io::Result<File> {
    Ok(volume.open_raw(path, OFlags::RDONLY | OFlags::NONBLOCK, 0)?.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};

    use super::*;

    #[test]
    fn owners_are_shifted_and_what_was_interrupted_is_done_again() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let map = IdMap::range(100_000, 65_536).unwrap();
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("rootfs");
        std::fs::create_dir_all(root.join("dir")).unwrap();
        // The range overlaps with itself: 200 inside is 100200 on the host, and that is an id inside, too.
        for (name, id) in [("", 100_000), ("dir", 100_001), ("dir/set-id", 100_200)] {
            if name.ends_with("set-id") {
                std::fs::write(root.join(name), "x").unwrap();
                std::fs::set_permissions(root.join(name), std::fs::Permissions::from_mode(0o6755)).unwrap();
            }
            chown(root.join(name), Some(id), Some(id)).unwrap();
        }
        std::fs::set_permissions(root.join("dir/set-id"), std::fs::Permissions::from_mode(0o6755)).unwrap();
        symlink("/etc/passwd", root.join("link")).unwrap();
        lchown(root.join("link"), Some(100_007), Some(5)).unwrap();
        let volume = Dir::open(temp.path()).unwrap();
        assert_eq!(shift(&volume, &map).unwrap(), 4);
        let shown = |name: &str| {
            let found = std::fs::symlink_metadata(root.join(name)).unwrap();
            (found.uid(), found.gid())
        };
        let wanted = [(0, 0), (1, 1), (200, 200), (7, 65_534)];
        assert_eq!(["", "dir", "dir/set-id", "link"].map(shown), wanted);
        assert_eq!(std::fs::metadata(root.join("dir/set-id")).unwrap().mode() & 0o7777, 0o6755);
        // Half of it is undone; the plan says what is to be.
        chown(root.join("dir"), Some(100_001), Some(1)).unwrap();
        shift(&volume, &map).unwrap();
        assert_eq!(["", "dir", "dir/set-id", "link"].map(shown), wanted);
    }
}
