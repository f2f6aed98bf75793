//! What all `…_config` tables have in common: an owner, a key, a value; for pools and networks also a member.

use std::collections::HashMap;

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

/// The statements of a `…_config` table in which some keys belong to one member.
pub(crate) struct MemberKeyValue {
    /// `SELECT owner, key, value …` of all owners, for member `?1`.
    pub every: &'static str,
    /// `SELECT key, value … WHERE owner = ?1`, for member `?2`.
    pub read: &'static str,
    /// Sets key `?3` of owner `?1` for member `?2` (NULL: all) to `?4`.
    pub set: &'static str,
    /// Removes key `?3` of owner `?1` for member `?2` (NULL: all).
    pub unset: &'static str,
    /// The keys that belong to one member.
    pub local: &'static [&'static str],
}

/// Declares a [`MemberKeyValue`] for a table, its owner's column and the keys that belong to one member.
macro_rules! member_key_value {
    ($table:literal, $owner:literal, $local:expr) => {
        $crate::keyvalue::MemberKeyValue {
            every: concat!(
                "SELECT ",
                $owner,
                ", key, IFNULL(value, '') FROM ",
                $table,
                " WHERE node_id IS NULL OR node_id = ?1"
            ),
            read: concat!(
                "SELECT key, IFNULL(value, '') FROM ",
                $table,
                " WHERE ",
                $owner,
                " = ?1 AND (node_id IS NULL OR node_id = ?2)"
            ),
            set: concat!(
                "INSERT INTO ",
                $table,
                " (",
                $owner,
                ", node_id, key, value) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (",
                $owner,
                ", IFNULL(node_id, -1), key) DO UPDATE SET value = excluded.value ",
                "WHERE value IS NOT excluded.value"
            ),
            unset: concat!("DELETE FROM ", $table, " WHERE ", $owner, " = ?1 AND node_id IS ?2 AND key = ?3"),
            local: $local,
        }
    };
}
pub(crate) use member_key_value;

impl MemberKeyValue {
    /// All keys of an owner as a member sees them.
    pub(crate) fn all(&self, tx: &Tx<'_>, owner: i64, node_id: i64) -> Result<Config> {
        let mut config = Config::new();
        tx.each(self.read, [owner, node_id], |row| {
            config.insert(row.get(0)?, row.get(1)?);
            Ok(())
        })?;
        Ok(config)
    }

    /// [`MemberKeyValue::all`] of all owners at once.
    pub(crate) fn every(&self, tx: &Tx<'_>, node_id: i64) -> Result<HashMap<i64, Config>> {
        let mut configs: HashMap<i64, Config> = HashMap::new();
        tx.each(self.every, [node_id], |row| {
            configs.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
            Ok(())
        })?;
        Ok(configs)
    }

    /// Makes the owner have exactly `wanted` as the member sees it; rows that are right stay untouched.
    pub(crate) fn replace(&self, tx: &Tx<'_>, owner: i64, node_id: i64, wanted: &Config) -> Result<()> {
        let present = self.all(tx, owner, node_id)?;
        let member = |key: &str| self.local.contains(&key).then_some(node_id);
        for key in present.keys().filter(|key| wanted.get(*key).is_none_or(String::is_empty)) {
            tx.execute(self.unset, params![owner, member(key), key])?;
        }
        let changed =
            wanted.iter().filter(|(key, value)| !value.is_empty() && present.get(*key) != Some(*value));
        for (key, value) in changed {
            tx.execute(self.set, params![owner, member(key), key, value])?;
        }
        Ok(())
    }
}
