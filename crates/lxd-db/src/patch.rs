//! `patch.local.sql` and `patch.global.sql`: statements of an administrator that run before anything else looks at the
//! database (manual 3.6.4).

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use lxd_types::error::Context;
use lxd_types::{Error, Result};
use rusqlite::Connection;

use crate::error::file;
use crate::open::{Kind, Paths};

/// The patch of a database, if there is one: its path and text.
pub(crate) fn waiting(paths: &Paths, kind: &Kind) -> Result<Option<(PathBuf, String)>> {
    let path = paths.dir.join(format!("patch.{}.sql", kind.name));
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(format!("Failed to read {}", path.display())),
    }
}

/// Runs a patch in one transaction and removes its file. When it fails, the database and the file are as before.
pub(crate) fn apply(conn: &mut Connection, path: &PathBuf, text: &str) -> Result<()> {
    let told =
        || format!("Failed to run {} (nothing was changed; repair or remove the file)", path.display());
    let tx = conn.transaction().map_err(file(told()))?;
    tx.execute_batch(text).map_err(file(told()))?;
    if tx.is_autocommit() {
        return Err(Error::internal(format!(
            "{} must not end the transaction that it runs in",
            path.display()
        )));
    }
    tx.commit().map_err(file(told()))?;
    tracing::warn!(path = %path.display(), "Ran a database patch");
    fs::remove_file(path).context(format!("Failed to remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::testing::temporary;
    use crate::{Db, config};

    #[tokio::test]
    async fn patches_run_once_before_the_start() {
        let (db, dir) = temporary();
        db.close();
        let patch = |name: &str| dir.path().join("database").join(name);
        let set = |value: &str| format!("INSERT INTO config (key, value) VALUES ('user.p', '{value}');");
        fs::write(patch("patch.global.sql"), set("global")).unwrap();
        fs::write(patch("patch.local.sql"), set("local")).unwrap();
        let db = Db::open(dir.path()).unwrap();
        assert_eq!(db.read(|tx| config::get(tx, "user.p")).await.unwrap().as_deref(), Some("global"));
        assert_eq!(db.local_read(|tx| config::get(tx, "user.p")).await.unwrap().as_deref(), Some("local"));
        assert!(!patch("patch.global.sql").exists() && !patch("patch.local.sql").exists());
        assert!(patch("local.db.bak").exists() && patch("global.bak/db.bin").exists());
    }

    #[tokio::test]
    async fn a_failing_patch_changes_nothing_and_stays() {
        let (db, dir) = temporary();
        db.close();
        let path = dir.path().join("database/patch.global.sql");
        fs::write(&path, "INSERT INTO config (key, value) VALUES ('a', 'b'); nonsense;").unwrap();
        let error = Db::open(dir.path()).err().unwrap().chain();
        assert!(error.contains("patch.global.sql") && error.contains("syntax error"), "{error}");
        fs::remove_file(&path).unwrap();
        let db = Db::open(dir.path()).unwrap();
        assert!(db.read(config::all).await.unwrap().is_empty());
    }
}
