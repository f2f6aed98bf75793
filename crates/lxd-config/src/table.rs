//! The keys of one kind of object.

use lxd_types::{Config, ConfigExt, ValueError};

use crate::key::{AnyKey, Effect, KeyError, Reason};

/// All keys that one kind of object takes.
pub struct Table {
    title: &'static str,
    groups: &'static [&'static [&'static dyn AnyKey]],
    rule: Option<&'static str>,
}

impl Table {
    /// A table of the lists that [`crate::keys!`] made. Of two patterns that fit, the earlier one counts.
    pub const fn new(title: &'static str, groups: &'static [&'static [&'static dyn AnyKey]]) -> Self {
        Self { title, groups, rule: None }
    }

    /// In restricted projects this rule of the project decides about all of its keys that are not harmless.
    #[must_use]
    pub const fn under(mut self, rule: &'static str) -> Self {
        self.rule = Some(rule);
        self
    }

    /// The rule of [`Table::under`].
    pub fn rule(&self) -> Option<&'static str> {
        self.rule
    }

    /// What the keys belong to.
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// All keys, in the order in which they were declared.
    pub fn keys(&self) -> impl Iterator<Item = &'static dyn AnyKey> + use<> {
        self.groups.iter().flat_map(|group| group.iter().copied())
    }

    /// The key of this name; patterns are looked at last. No key has control characters: they would break the lines of what is
    /// written of it.
    pub fn find(&self, key: &str) -> Option<&'static dyn AnyKey> {
        if key.contains(char::is_control) {
            return None;
        }
        let exact = self.keys().find(|known| !known.is_pattern() && known.meta().name == key);
        exact.or_else(|| self.keys().find(|known| known.is_pattern() && known.matches(key)))
    }

    /// Checks one key and its value. The empty value means "not set" and is always right.
    ///
    /// # Errors
    /// The key is unknown, or does not take this value.
    pub fn check_one(&self, key: &str, value: &str) -> Result<&'static dyn AnyKey, KeyError> {
        let refuse = |reason| KeyError { key: key.to_owned(), value: value.to_owned(), reason };
        let known = self.find(key).ok_or_else(|| refuse(Reason::Unknown))?;
        known.check(value).map_err(|why| refuse(Reason::Invalid(why)))?;
        Ok(known)
    }

    /// Checks every key and value, in the order of their names, and that what is required is set.
    ///
    /// # Errors
    /// The first refusal.
    pub fn check(&self, config: &Config) -> Result<(), KeyError> {
        for (key, value) in config {
            self.check_one(key, value)?;
        }
        let missing = self.keys().find(|key| key.meta().required && config.set(key.meta().name).is_none());
        missing.map_or(Ok(()), |key| {
            Err(KeyError {
                key: key.meta().name.to_owned(),
                value: String::new(),
                reason: Reason::Invalid(ValueError::new("Required value")),
            })
        })
    }

    /// Refuses the first set key among `keys` that has no effect in this version. Call it with what the user set
    /// on the object itself, not with what stood there before.
    ///
    /// # Errors
    /// [`Reason::NotYet`] for that key.
    pub fn check_works<'a>(
        &self,
        keys: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Result<(), KeyError> {
        for (key, value) in keys {
            let effect = self.find(key).map(|known| known.meta().effect);
            if effect == Some(Effect::NotYet) && !value.is_empty() {
                return Err(KeyError { key: key.clone(), value: value.clone(), reason: Reason::NotYet });
            }
        }
        Ok(())
    }
}

/// The keys whose values differ between two configurations, with the new value (`""` when it is gone).
pub fn changed<'a>(old: &'a Config, new: &'a Config) -> Vec<(&'a str, &'a str)> {
    let mut keys: Vec<&str> = old.keys().chain(new.keys()).map(String::as_str).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .map(|key| (key, new.value(key)))
        .filter(|(key, value)| old.value(key) != *value)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Restriction};
    use crate::keys;

    keys! {
        /// Keys of the test.
        TEST = [
            /// How much memory.
            MEMORY: lxd_types::MemoryLimit = Key::new("limits.memory").live().safe(),
            /// A choice.
            ENFORCE: String = Key::new("limits.memory.enforce").default("hard").one_of(&["soft", "hard"]),
            /// On by default.
            DEVLXD: bool = Key::new("security.devlxd").default("true"),
            /// Not there yet.
            LATER: bool = Key::new("security.later").not_yet(),
            /// Anything.
            USER: crate::Blob = Key::new("user.*").safe(),
            /// Names of interfaces.
            HWADDR: lxd_types::Mac = Key::new("volatile.<name>.hwaddr"),
        ]
    }

    static TABLE: Table = Table::new("test", &[TEST]);

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn text(pairs: &[(&str, &str)]) -> String {
        TABLE.check(&config(pairs)).unwrap_err().to_string()
    }

    #[test]
    fn keys_and_values_are_checked() {
        assert_eq!(text(&[("no.such", "")]), "Unknown configuration key: no.such");
        assert_eq!(text(&[("user.", "x")]), "Unknown configuration key: user.");
        assert_eq!(text(&[("volatile..hwaddr", "x")]), "Unknown configuration key: volatile..hwaddr");
        assert_eq!(text(&[("user.a\nb", "x")]), "Unknown configuration key: user.a\nb");
        assert_eq!(text(&[("limits.memory", "lots")]), "Invalid value: lots");
        assert_eq!(
            text(&[("limits.memory.enforce", "Hard")]),
            "Invalid value \"Hard\" (not one of [soft hard])"
        );
        let good = config(&[
            ("limits.memory", ""),
            ("user.a", "x\ny"),
            ("volatile.e.t.hwaddr", "00:16:3e:00:00:01"),
        ]);
        assert_eq!(TABLE.check(&good), Ok(()));
    }

    #[test]
    fn reads_are_typed_and_know_the_default() {
        let none = Config::new();
        assert!(DEVLXD.is_on(&none) && !DEVLXD.is_on(&config(&[("security.devlxd", "off")])));
        assert_eq!(MEMORY.read(&none), Ok(None));
        assert_eq!(ENFORCE.read(&none), Ok(Some("hard".to_owned())));
        assert_eq!(
            MEMORY.read(&config(&[("limits.memory", "50%")])),
            Ok(Some(lxd_types::MemoryLimit::Percent(50)))
        );
    }

    #[test]
    fn what_does_not_work_yet_is_refused_when_set() {
        let set = config(&[("security.later", "true")]);
        assert_eq!(TABLE.check_works(&set).unwrap_err().to_string(), "not supported yet: security.later");
        assert!(TABLE.check_works(&config(&[("security.later", "")])).is_ok());
    }

    #[test]
    fn a_key_without_a_class_is_restricted() {
        assert_eq!(DEVLXD.meta().restriction, Restriction::Restricted);
        assert_eq!(MEMORY.meta().restriction, Restriction::Safe);
    }

    #[test]
    fn differences_ignore_how_nothing_is_written() {
        let old = config(&[("a", "1"), ("b", "2"), ("c", "")]);
        let new = config(&[("a", "1"), ("b", "3"), ("d", "4")]);
        assert_eq!(changed(&old, &new), [("b", "3"), ("d", "4")]);
    }
}
