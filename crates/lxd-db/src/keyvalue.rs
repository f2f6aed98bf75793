//! What all `…_config` tables have in common: an owner, a key, a value.

use lxd_types::Result;
use rusqlite::params;

use crate::{Config, Tx};

/// The statements of one `…_config` table. Values are never empty: an empty one means "no such key".
pub(crate) struct KeyValue {
    /// `SELECT key, value … WHERE owner = ?1`
    pub read: &'static str,
    /// `INSERT … (owner, key, value) … ON CONFLICT … DO UPDATE …`
    pub set: &'static str,
    /// `DELETE … WHERE owner = ?1 AND key = ?2`
    pub unset: &'static str,
}

/// Declares a [`KeyValue`] for a table and its owner's column.
macro_rules! key_value {
    ($table:literal, $owner:literal) => {
        $crate::keyvalue::KeyValue {
            read: concat!("SELECT key, IFNULL(value, '') FROM ", $table, " WHERE ", $owner, " = ?1"),
            set: concat!(
                "INSERT INTO ",
                $table,
                " (",
                $owner,
                ", key, value) VALUES (?1, ?2, ?3) ON CONFLICT (",
                $owner,
                ", key) DO UPDATE SET value = excluded.value WHERE value IS NOT excluded.value"
            ),
            unset: concat!("DELETE FROM ", $table, " WHERE ", $owner, " = ?1 AND key = ?2"),
        }
    };
}
pub(crate) use key_value;

impl KeyValue {
    /// All keys of an owner.
    pub(crate) fn all(&self, tx: &Tx<'_>, owner: i64) -> Result<Config> {
        let mut config = Config::new();
        tx.each(self.read, [owner], |row| {
            config.insert(row.get(0)?, row.get(1)?);
            Ok(())
        })?;
        Ok(config)
    }

    /// Sets one key; an empty value removes it.
    pub(crate) fn set(&self, tx: &Tx<'_>, owner: i64, key: &str, value: &str) -> Result<()> {
        if value.is_empty() {
            return tx.execute(self.unset, params![owner, key]).map(drop);
        }
        tx.execute(self.set, params![owner, key, value]).map(drop)
    }

    /// Makes the owner have exactly `wanted`; rows that are right stay untouched.
    pub(crate) fn replace(&self, tx: &Tx<'_>, owner: i64, wanted: &Config) -> Result<()> {
        let present = self.all(tx, owner)?;
        for key in present.keys().filter(|key| wanted.get(*key).is_none_or(String::is_empty)) {
            self.set(tx, owner, key, "")?;
        }
        self.add(tx, owner, wanted.iter().filter(|(key, value)| present.get(*key) != Some(*value)))
    }

    /// Sets several keys.
    pub(crate) fn add<'k>(
        &self,
        tx: &Tx<'_>,
        owner: i64,
        keys: impl IntoIterator<Item = (&'k String, &'k String)>,
    ) -> Result<()> {
        keys.into_iter()
            .filter(|(_, value)| !value.is_empty())
            .try_for_each(|(key, value)| self.set(tx, owner, key, value))
    }
}
