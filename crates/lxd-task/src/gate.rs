//! Gates: actions on an instance *try* its gate. Who finds it taken learns which action holds it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use lxd_types::Kind;
use lxd_types::error::Classify;

/// Told of each gate that is entered, before the action begins.
type Listener = dyn Fn(&str) + Send + Sync;

/// All gates of this member. Cheap to clone.
#[derive(Clone, Default)]
pub struct Gates {
    listener: Option<Arc<Listener>>,
    /// Held for a look-up or an insertion, never across an await.
    taken: Arc<Mutex<BTreeMap<String, Holder>>>,
}

/// Who holds a gate.
#[derive(Clone, Debug)]
pub struct Holder {
    /// What is being done, e.g. `start`.
    pub action: &'static str,
    /// Since when.
    pub since: Instant,
    token: u64,
}

/// A gate is taken by another action.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("Instance is busy running a {action:?} operation")]
pub struct Taken {
    /// What the holder does.
    pub action: &'static str,
}

impl Classify for Taken {
    fn kind(&self) -> Kind {
        Kind::Busy
    }
}

/// An entered gate; left when dropped.
#[derive(Debug)]
pub struct Guard {
    gates: Gates,
    keys: Vec<String>,
    token: u64,
}

impl std::fmt::Debug for Gates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gates").field("taken", &self.holders()).finish()
    }
}

impl Gates {
    /// Gates whose entering is told to `listener`, which must not block.
    pub fn telling(listener: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { listener: Some(Arc::new(listener)), ..Self::default() }
    }

    /// Enters one gate.
    ///
    /// # Errors
    /// It is taken.
    pub fn enter(&self, key: impl Into<String>, action: &'static str) -> Result<Guard, Taken> {
        self.enter_all([key.into()], action)
    }

    /// Enters several gates or none of them.
    ///
    /// # Errors
    /// One is taken.
    pub fn enter_all(
        &self,
        keys: impl IntoIterator<Item = String>,
        action: &'static str,
    ) -> Result<Guard, Taken> {
        let mut keys: Vec<String> = keys.into_iter().collect();
        keys.sort();
        keys.dedup();
        let mut taken = self.taken.lock().expect("no panic happens while the lock is held");
        if let Some(holder) = keys.iter().find_map(|key| taken.get(key)) {
            return Err(Taken { action: holder.action });
        }
        let token = rand::random();
        for key in &keys {
            taken.insert(key.clone(), Holder { action, since: Instant::now(), token });
        }
        drop(taken);
        if let Some(listener) = &self.listener {
            keys.iter().for_each(|key| listener(key));
        }
        Ok(Guard { gates: self.clone(), keys, token })
    }

    /// The holder of a gate, if it is taken.
    pub fn holder(&self, key: &str) -> Option<Holder> {
        self.taken.lock().expect("no panic happens while the lock is held").get(key).cloned()
    }

    /// All taken gates, for `/internal/debug`.
    pub fn holders(&self) -> Vec<(String, Holder)> {
        let taken = self.taken.lock().expect("no panic happens while the lock is held");
        taken.iter().map(|(key, holder)| (key.clone(), holder.clone())).collect()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut taken = self.gates.taken.lock().expect("no panic happens while the lock is held");
        for key in &self.keys {
            if taken.get(key).is_some_and(|holder| holder.token == self.token) {
                taken.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_learns_what_the_first_does() {
        let gates = Gates::default();
        let first = gates.enter("c1", "start").unwrap();
        assert_eq!(gates.enter("c1", "stop").unwrap_err(), Taken { action: "start" });
        drop(first);
        assert!(gates.enter("c1", "stop").is_ok());
    }

    #[test]
    fn several_are_taken_wholly_or_not_at_all() {
        let gates = Gates::default();
        let _held = gates.enter("b", "copy").unwrap();
        assert!(gates.enter_all(["a".into(), "b".into()], "rename").is_err());
        assert!(gates.holder("a").is_none());
    }
}
