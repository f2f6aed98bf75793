//! Temporary databases for the unit tests of this crate.

use crate::{Config, Db, Devices};

/// A fresh database and the directory that it lives in.
pub(crate) fn temporary() -> (Db, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let db = Db::open(dir.path()).expect("a fresh database");
    (db, dir)
}

/// A configuration from pairs.
pub(crate) fn config(pairs: &[(&str, &str)]) -> Config {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Devices from names and pairs.
pub(crate) fn devices(list: &[(&str, &[(&str, &str)])]) -> Devices {
    list.iter().map(|(name, pairs)| ((*name).to_owned(), config(pairs))).collect()
}
