//! One of several at a time: whoever comes second waits and finds what the first left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use lxd_client::simplestreams::Streams;

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

/// A simplestreams server, as somebody may reach it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct StreamsKey {
    /// Its URL.
    pub server: String,
    /// Only addresses of other machines may be dialled.
    pub outside: bool,
    /// Its certificate (DER) where a known one is demanded.
    pub pinned: Option<Vec<u8>>,
}

/// Servers whose lists are kept at most.
const MOST: usize = 32;
/// Bytes of lists that are kept at most.
const MOST_BYTES: u64 = 128 << 20;
/// How long a list is kept that nobody asks for.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// What simplestreams servers said last, and when: one question at a time to each.
#[derive(Default)]
pub struct Known {
    /// Held for a look-up, never across an await.
    all: Mutex<HashMap<StreamsKey, Slot>>,
}

/// What a server said; held while it is asked.
type Said = Arc<tokio::sync::Mutex<Option<(Instant, Arc<Streams>)>>>;

struct Slot {
    said: Said,
    used: Instant,
    bytes: u64,
}

impl Known {
    /// What is known of a server; whoever holds it may ask anew.
    pub fn of(&self, key: &StreamsKey) -> Said {
        let mut all = self.all();
        let new = || Slot { said: Said::default(), used: Instant::now(), bytes: 0 };
        let slot = all.entry(key.clone()).or_insert_with(new);
        slot.used = Instant::now();
        let said = slot.said.clone();
        forget(&mut all);
        said
    }

    /// So many bytes were read of this server.
    pub fn weigh(&self, key: &StreamsKey, bytes: u64) {
        let mut all = self.all();
        if let Some(slot) = all.get_mut(key) {
            slot.bytes = bytes;
        }
        forget(&mut all);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<StreamsKey, Slot>> {
        self.all.lock().expect("no panic happens while the lock is held")
    }
}

/// Forgets what is old, and, while it is too much, what was asked for the longest time ago; but nothing that is in use.
fn forget(all: &mut HashMap<StreamsKey, Slot>) {
    let idle = |slot: &Slot| Arc::strong_count(&slot.said) == 1;
    all.retain(|_, slot| !idle(slot) || slot.used.elapsed() < KEPT);
    while all.len() > MOST || all.values().map(|slot| slot.bytes).sum::<u64>() > MOST_BYTES {
        let idle = all.iter().filter(|(_, slot)| idle(slot));
        let Some(oldest) = idle.min_by_key(|(_, slot)| slot.used).map(|(key, _)| key.clone()) else { return };
        all.remove(&oldest);
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

    #[test]
    fn lists_of_servers_are_forgotten_oldest_first() {
        let known = Known::default();
        let key =
            |number: usize| StreamsKey { server: format!("https://{number}"), outside: false, pinned: None };
        let held = known.of(&key(0));
        for number in 1..=MOST * 2 {
            known.of(&key(number));
        }
        let servers = || known.all().len();
        assert_eq!(servers(), MOST);
        assert!(Arc::ptr_eq(&held, &known.of(&key(0))), "what is in use stays");
        known.weigh(&key(MOST * 2), MOST_BYTES);
        known.weigh(&key(MOST * 2 - 1), MOST_BYTES);
        assert_eq!(servers(), 2, "the one in use, and one that fits");
    }
}
