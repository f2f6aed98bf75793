//! One download of an image at a time: whoever comes second waits and finds it here.

use std::collections::HashMap;
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
