//! Server configuration: the table `config`, which the global and the local database both have (the keys of one
//! member are in the local one). Values are plain text; which keys exist is no matter of this crate.

use lxd_types::Result;
use rusqlite::params;

use crate::{Config, Tx};

/// All keys.
///
/// # Errors
/// A failure of the database.
pub fn all(tx: &Tx<'_>) -> Result<Config> {
    let mut config = Config::new();
    tx.each("SELECT key, value FROM config", [], |row| {
        config.insert(row.get(0)?, row.get::<_, Option<String>>(1)?.unwrap_or_default());
        Ok(())
    })?;
    Ok(config)
}

/// One key.
///
/// # Errors
/// A failure of the database.
pub fn get(tx: &Tx<'_>, key: &str) -> Result<Option<String>> {
    tx.first("SELECT IFNULL(value, '') FROM config WHERE key = ?1", [key], |row| row.get(0))
}

/// Sets a key; an empty value removes it.
///
/// # Errors
/// A failure of the database.
pub fn set(tx: &Tx<'_>, key: &str, value: &str) -> Result<()> {
    if value.is_empty() {
        return tx.execute("DELETE FROM config WHERE key = ?1", [key]).map(drop);
    }
    tx.execute(
        "INSERT INTO config (key, value) VALUES (?1, ?2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE value IS NOT excluded.value",
        params![key, value],
    )
    .map(drop)
}

/// Makes the table hold exactly `wanted`; rows that are right stay untouched.
///
/// # Errors
/// A failure of the database.
pub fn replace(tx: &Tx<'_>, wanted: &Config) -> Result<()> {
    for key in all(tx)?.keys() {
        if wanted.get(key).is_none_or(String::is_empty) {
            set(tx, key, "")?;
        }
    }
    for (key, value) in wanted {
        set(tx, key, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{config, temporary};

    #[tokio::test]
    async fn replaces_exactly() {
        let (db, _dir) = temporary();
        db.write(|tx| replace(tx, &config(&[("a", "1"), ("b", "2"), ("gone", "")]))).await.unwrap();
        db.write(|tx| replace(tx, &config(&[("b", "3"), ("c", "4")]))).await.unwrap();
        assert_eq!(db.read(all).await.unwrap(), config(&[("b", "3"), ("c", "4")]));
        assert_eq!(db.read(|tx| get(tx, "c")).await.unwrap().as_deref(), Some("4"));
        db.write(|tx| set(tx, "c", "")).await.unwrap();
        assert_eq!(db.read(|tx| get(tx, "c")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_unchanged_value_is_no_commit() {
        let (db, _dir) = temporary();
        db.local_write(|tx| set(tx, "core.https_address", ":8443")).await.unwrap();
        let before = db.stats().local_commits;
        db.local_write(|tx| set(tx, "core.https_address", ":8443")).await.unwrap();
        assert_eq!(db.stats().local_commits, before);
    }
}
