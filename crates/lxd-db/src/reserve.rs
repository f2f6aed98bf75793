//! Space kept back for a full disk. SQLite needs some for its log and its index before anything can even be read, and a
//! server that does not start cannot be told to delete something.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The whole.
const SIZE: u64 = 1 << 20;

/// What is given back at once: a few commits. Somebody else may take it first, so it must not be all.
const STEP: u64 = 256 << 10;

fn path(dir: &Path) -> PathBuf {
    dir.join("reserve")
}

/// Keeps space back in the database directory, if there is any.
///
/// # Errors
/// There is none; nothing is kept then.
pub(crate) fn keep(dir: &Path) -> io::Result<()> {
    let path = path(dir);
    if std::fs::metadata(&path).is_ok_and(|found| found.len() >= SIZE) {
        return Ok(());
    }
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
    Ok(rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, SIZE)?)
}

/// Whether a failure can come from a full disk; then the space was given back and a second try makes sense.
pub(crate) fn is_needed(dir: &Path) -> bool {
    rustix::fs::statvfs(dir).is_ok_and(|space| space.f_bavail * space.f_frsize < SIZE) && release(dir)
}

/// Gives some of the space back; whether there was any.
pub(crate) fn release(dir: &Path) -> bool {
    let Ok(file) = OpenOptions::new().write(true).open(path(dir)) else { return false };
    let Ok(found) = file.metadata() else { return false };
    found.len() > 0 && file.set_len(found.len().saturating_sub(STEP)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_kept_and_given_back_in_steps() {
        let dir = tempfile::tempdir().unwrap();
        keep(dir.path()).unwrap();
        keep(dir.path()).unwrap();
        let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path(dir.path())).unwrap());
        assert!(blocks * 512 >= SIZE, "the space is not only promised");
        for _ in 0..SIZE / STEP {
            assert!(release(dir.path()));
        }
        assert!(!release(dir.path()));
        keep(dir.path()).unwrap();
        assert!(release(dir.path()));
    }
}
