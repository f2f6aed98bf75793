//! Devices of profiles, instances and snapshots: three pairs of tables of the same form.

use std::collections::HashMap;

use lxd_types::Result;
use rusqlite::{Params, params};

use crate::{Config, Devices, Tx};

/// The numbers of device types in the column `type`.
const TYPES: &[(&str, i64)] = &[
    ("none", 0),
    ("nic", 1),
    ("disk", 2),
    ("unix-char", 3),
    ("unix-block", 4),
    ("usb", 5),
    ("gpu", 6),
    ("infiniband", 7),
    ("proxy", 8),
    ("unix-hotplug", 9),
    ("tpm", 10),
    ("pci", 11),
];

/// The statements of one pair of device tables.
pub(crate) struct DeviceTables {
    /// Owner, device, key and value of all owners.
    pub every: &'static str,
    /// Device, key and value of owner `?1`.
    pub read: &'static str,
    /// Adds device `?2` of type `?3` to owner `?1`.
    pub insert: &'static str,
    /// Removes device `?2` of owner `?1`.
    pub delete: &'static str,
    /// Adds key `?2` with value `?3` to device `?1`.
    pub insert_key: &'static str,
}

/// Declares the [`DeviceTables`] of a table, its owner's column and the column that refers to a device.
macro_rules! device_tables {
    ($table:literal, $owner:literal, $device:literal) => {
        $crate::devices::DeviceTables {
            every: concat!(
                "SELECT d.name, c.key, IFNULL(c.value, ''), d.",
                $owner,
                " FROM ",
                $table,
                " AS d LEFT JOIN ",
                $table,
                "_config AS c ON c.",
                $device,
                " = d.id"
            ),
            read: concat!(
                "SELECT d.name, c.key, IFNULL(c.value, '') FROM ",
                $table,
                " AS d LEFT JOIN ",
                $table,
                "_config AS c ON c.",
                $device,
                " = d.id WHERE d.",
                $owner,
                " = ?1"
            ),
            insert: concat!("INSERT INTO ", $table, " (", $owner, ", name, type) VALUES (?1, ?2, ?3)"),
            delete: concat!("DELETE FROM ", $table, " WHERE ", $owner, " = ?1 AND name = ?2"),
            insert_key: concat!(
                "INSERT INTO ",
                $table,
                "_config (",
                $device,
                ", key, value) VALUES (?1, ?2, ?3)"
            ),
        }
    };
}
pub(crate) use device_tables;

impl DeviceTables {
    /// The devices of one owner.
    pub(crate) fn all(&self, tx: &Tx<'_>, owner: i64) -> Result<Devices> {
        let mut devices = Devices::new();
        tx.each(self.read, [owner], |row| {
            add_row(&mut devices, row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(())
        })?;
        Ok(devices)
    }

    /// Hands each owner's devices to `give`; owners that `give` does not know are its own matter.
    pub(crate) fn every(
        &self,
        tx: &Tx<'_>,
        params: impl Params,
        devices: &mut HashMap<i64, Devices>,
    ) -> Result<()> {
        tx.each(self.every, params, |row| {
            let owner = row.get(3)?;
            add_row(devices.entry(owner).or_default(), row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(())
        })
    }

    /// The devices of all instances of a project; for the tables of instances only.
    pub(crate) fn of_project(
        &self,
        tx: &Tx<'_>,
        project_id: i64,
        devices: &mut HashMap<i64, Devices>,
    ) -> Result<()> {
        let sql =
            format!("{} WHERE d.instance_id IN (SELECT id FROM instances WHERE project_id = ?1)", self.every);
        tx.each(&sql, [project_id], |row| {
            let owner = row.get(3)?;
            add_row(devices.entry(owner).or_default(), row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(())
        })
    }

    /// Adds devices to an owner that has none of these names.
    pub(crate) fn insert(&self, tx: &Tx<'_>, owner: i64, devices: &Devices) -> Result<()> {
        for (name, config) in devices {
            let kind = config.get("type").map_or("none", String::as_str);
            let number = TYPES.iter().find(|(known, _)| *known == kind).map_or(0, |(_, number)| *number);
            let id = tx.insert(self.insert, params![owner, name, number])?;
            for (key, value) in config.iter().filter(|(_, value)| !value.is_empty()) {
                tx.execute(self.insert_key, params![id, key, value])?;
            }
        }
        Ok(())
    }

    /// Makes the owner have exactly `wanted`; devices that are right stay untouched.
    pub(crate) fn replace(&self, tx: &Tx<'_>, owner: i64, wanted: &Devices) -> Result<()> {
        let present = self.all(tx, owner)?;
        for (name, config) in &present {
            if wanted.get(name) != Some(config) {
                tx.execute(self.delete, params![owner, name])?;
            }
        }
        let changed = wanted.iter().filter(|(name, config)| present.get(*name) != Some(*config));
        self.insert(tx, owner, &changed.map(|(name, config)| (name.clone(), config.clone())).collect())
    }
}

fn add_row(devices: &mut Devices, name: String, key: Option<String>, value: String) {
    let device: &mut Config = devices.entry(name).or_default();
    if let Some(key) = key {
        device.insert(key, value);
    }
}
