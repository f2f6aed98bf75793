//! Whom the server trusts: the certificates of the database, kept in memory for every connection to look at.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use crate::Limits;

/// What is known of a trusted certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trusted {
    /// It is a client's. Others (`metrics`, `server`) are known, so that they are not let in as something else.
    pub is_client: bool,
    /// The projects that it is limited to; `None`: not limited.
    pub projects: Option<Limits>,
}

impl Trusted {
    /// True when `new` allows all that this does.
    fn is_within(&self, new: Option<&Self>) -> bool {
        if !self.is_client {
            return true;
        }
        match (&self.projects, new.filter(|new| new.is_client).map(|new| &new.projects)) {
            (_, None) => false,
            (_, Some(None)) => true,
            (None, Some(Some(_))) => false,
            (Some(old), Some(Some(new))) => old.is_within(new),
        }
    }
}

/// Certificates by fingerprint. Cheap to look at.
#[derive(Default)]
pub struct TrustStore {
    /// Replaced as a whole; held for a copy of the `Arc`.
    known: RwLock<Arc<HashMap<String, Trusted>>>,
}

impl TrustStore {
    /// Replaces what is known; the fingerprints that are trusted less than before.
    pub fn replace(&self, known: HashMap<String, Trusted>) -> Vec<String> {
        let mut present = self.known.write().expect("no panic happens while the lock is held");
        let old = std::mem::replace(&mut *present, Arc::new(known));
        let less = |(fingerprint, old): &(&String, &Trusted)| !old.is_within(present.get(*fingerprint));
        old.iter().filter(less).map(|(fingerprint, _)| fingerprint.clone()).collect()
    }

    /// What is known of a fingerprint (64 hexadecimal digits).
    pub fn find(&self, fingerprint: &str) -> Option<Trusted> {
        let known = self.known.read().expect("no panic happens while the lock is held").clone();
        known.get(fingerprint).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lost_trust() {
        let limited = |projects: &[&str]| Trusted {
            is_client: true,
            projects: Some(Limits::of_certificate(projects.iter().map(|name| (*name).to_owned()).collect())),
        };
        let full = Trusted { is_client: true, projects: None };
        let other = Trusted { is_client: false, projects: None };
        let store = TrustStore::default();
        let set = |pairs: &[(&str, &Trusted)]| {
            let all = pairs.iter().map(|(name, trusted)| ((*name).to_owned(), (*trusted).clone()));
            let mut lost = store.replace(all.collect());
            lost.sort();
            lost
        };
        assert!(set(&[("a", &full), ("b", &limited(&["x", "y"])), ("c", &limited(&["x"]))]).is_empty());
        assert_eq!(set(&[("a", &limited(&["x"])), ("b", &limited(&["x"])), ("c", &full)]), ["a", "b"]);
        assert_eq!(set(&[("a", &full)]), ["b", "c"]);
        assert_eq!(set(&[("a", &other)]), ["a"]);
        assert!(set(&[]).is_empty());
    }
}
