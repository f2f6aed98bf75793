//! Whom the server trusts: the certificates of the database, kept in memory for every connection to look at.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

/// What is known of a trusted certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trusted {
    /// The projects that it is limited to; `None`: not limited.
    pub projects: Option<Vec<String>>,
}

/// Trusted client certificates by fingerprint. Cheap to look at.
#[derive(Default)]
pub struct TrustStore {
    /// Replaced as a whole; held for a copy of the `Arc`.
    known: RwLock<Arc<HashMap<String, Trusted>>>,
}

impl TrustStore {
    /// Replaces what is known.
    pub fn replace(&self, known: HashMap<String, Trusted>) {
        *self.known.write().expect("no panic happens while the lock is held") = Arc::new(known);
    }

    /// What is known of a fingerprint (64 hexadecimal digits).
    pub fn find(&self, fingerprint: &str) -> Option<Trusted> {
        let known = self.known.read().expect("no panic happens while the lock is held").clone();
        known.get(fingerprint).cloned()
    }
}
