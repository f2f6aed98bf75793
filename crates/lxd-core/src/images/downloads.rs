//! One of several at a time: whoever comes second waits and finds what the first left.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, Weak};

/// Downloads under way, by fingerprint.
#[derive(Default)]
pub struct Downloads {
    /// Held for a look-up, never across an await.
    turns: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Downloads {
    /// Whose turn it is to fetch this image.
    pub fn of(&self, fingerprint: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().expect("no panic happens while the lock is held");
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(fingerprint).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        turns.insert(fingerprint.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

/// What was learnt of things that are asked for one question at a time.
pub struct Known<K, V> {
    /// Held for a look-up, never across an await.
    all: Mutex<HashMap<K, Slot<V>>>,
}

/// Held while the question is asked.
type Slot<V> = Arc<tokio::sync::Mutex<Option<V>>>;

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self { all: Mutex::default() }
    }
}

impl<K: Clone + Eq + Hash, V> Known<K, V> {
    /// What is known of a thing; whoever holds it may ask anew.
    pub fn of(&self, key: &K) -> Arc<tokio::sync::Mutex<Option<V>>> {
        let mut all = self.all.lock().expect("no panic happens while the lock is held");
        all.entry(key.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_shared_and_forgotten() {
        let downloads = Downloads::default();
        let first = downloads.of("a");
        assert!(Arc::ptr_eq(&first, &downloads.of("a")));
        assert!(!Arc::ptr_eq(&first, &downloads.of("b")));
        drop(first);
        downloads.of("c");
        assert_eq!(downloads.turns.lock().unwrap().len(), 1);
    }
}
