//! Whether a database changed, asked without a query: SQLite counts commits in the header of the index of its
//! write-ahead log (`db.bin-shm`, <https://www.sqlite.org/walformat.html>), those of other programs too.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use lxd_types::Result;
use lxd_types::error::Context;

/// Bytes of the header: a counter of transactions, the end of the log, checksums.
const HEADER: usize = 48;

/// The state of a database. What was read after it was asked for is still true as long as it is the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Version([u8; HEADER]);

/// The header of the index. SQLite's locks belong to the process and end with any descriptor of the file: this one is
/// kept for as long as there are connections.
pub(crate) struct Versions(File);

impl Versions {
    /// Those of an open database.
    ///
    /// # Errors
    /// No connection has read from the database yet, or I/O errors.
    pub(crate) fn of(database: &Path) -> Result<Self> {
        let mut path = database.as_os_str().to_owned();
        path.push("-shm");
        let file = File::open(&path).context(format!("Failed to open {}", path.to_string_lossy()))?;
        Ok(Self(file))
    }

    /// The present one; none while a commit is being made visible.
    pub(crate) fn present(&self) -> Option<Version> {
        // A writer changes the second copy first: equal ones are whole.
        let mut copies = [0_u8; 2 * HEADER];
        self.0.read_exact_at(&mut copies, 0).ok()?;
        let (first, second) = copies.split_at(HEADER);
        (first == second).then(|| first.try_into().map(Version).ok())?
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use crate::config;
    use crate::testing::temporary;

    #[tokio::test]
    async fn every_commit_is_seen_and_nothing_else() {
        let (db, dir) = temporary();
        let first = db.global_version().unwrap();
        db.read(config::all).await.unwrap();
        assert_eq!(db.global_version(), Some(first));
        db.write(|tx| config::set(tx, "user.a", "1")).await.unwrap();
        let second = db.global_version().unwrap();
        assert_ne!(second, first);
        let failed = db.write(|_| Err::<(), _>(lxd_types::Error::bad_request("no"))).await;
        assert!(failed.is_err());
        assert_eq!(db.global_version(), Some(second));
        let other = Connection::open(dir.path().join("database/global/db.bin")).unwrap();
        other.execute("UPDATE config SET value = '2' WHERE key = 'user.a'", []).unwrap();
        assert_ne!(db.global_version(), Some(second));
        assert_eq!(db.read(|tx| config::get(tx, "user.a")).await.unwrap().as_deref(), Some("2"));
    }
}
