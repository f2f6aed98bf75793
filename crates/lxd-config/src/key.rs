//! A configuration key and all that is known of it.

use std::marker::PhantomData;

use lxd_types::error::{Classify, Kind};
use lxd_types::{Config, ConfigExt, ValueError};

use crate::value::Value;

/// A configuration key whose values have the type `T`.
///
/// A name that ends in `*` stands for all keys with that beginning, one with `<name>` in it for all keys with
/// something in that place.
pub struct Key<T> {
    meta: Meta,
    value: PhantomData<fn() -> T>,
}

/// What is known of a key, whatever its type.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// The key's name or pattern.
    pub name: &'static str,
    /// The value when nothing is set.
    pub default: Option<&'static str>,
    /// When a change takes effect.
    pub live: Live,
    /// To which objects it applies.
    pub condition: Condition,
    /// Whether each cluster member has its own value.
    pub scope: Scope,
    /// Who may set it in a restricted project.
    pub restriction: Restriction,
    /// The API extension that brought it.
    pub since: Option<&'static str>,
    /// Whether this version does what it says.
    pub effect: Effect,
    /// Whether it must be set.
    pub required: bool,
    /// Whether its value is never shown.
    pub secret: bool,
    /// The only values it takes; empty when the type decides.
    pub choices: &'static [&'static str],
    /// A further rule for its values.
    pub check: Option<Check>,
    /// What the reference pages say.
    pub doc: &'static str,
}

/// A rule for values beyond their type; the error is what the user reads.
pub type Check = fn(&str) -> Result<(), ValueError>;

/// When a change of a key takes effect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Live {
    /// At once, also for what is running.
    Yes,
    /// At the next start.
    No,
    /// The question does not arise: it is read when it is needed.
    NotApplicable,
}

/// To which instances a key applies. Profiles take all of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition {
    /// To all.
    Any,
    /// To containers.
    Container,
    /// To containers; without effect on privileged ones.
    UnprivilegedContainer,
    /// To virtual machines.
    VirtualMachine,
}

/// Whether the members of a cluster share a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// All members have the same.
    Global,
    /// Each member has its own.
    Local,
}

/// Who may set a key in a restricted project.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Restriction {
    /// Nobody: what a key is until its owner has thought about it.
    Restricted,
    /// Everybody: it reaches nothing outside the object itself.
    Safe,
    /// Whom the project's key of this name lets, such as `restricted.containers.lowlevel`.
    Project(&'static str),
}

/// Whether this version does what a key says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// It does.
    Works,
    /// The value is stored and shown, with a warning, and changes nothing.
    Stored,
    /// Setting it is refused, because who sets it relies on it.
    NotYet,
}

/// A key or value that is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", self.text())]
pub struct KeyError {
    /// The key, as the user wrote it.
    pub key: String,
    /// The value.
    pub value: String,
    /// Why.
    pub reason: Reason,
}

/// Why a key or value is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reason {
    /// There is no such key.
    Unknown,
    /// The key does not take this value.
    Invalid(ValueError),
    /// The key has no effect in this version.
    NotYet,
}

impl KeyError {
    fn text(&self) -> String {
        match &self.reason {
            Reason::Unknown => format!("Unknown configuration key: {}", self.key),
            Reason::Invalid(why) => why.to_string(),
            Reason::NotYet => format!("not supported yet: {}", self.key),
        }
    }
}

impl Classify for KeyError {
    fn kind(&self) -> Kind {
        Kind::BadRequest
    }
}

/// A [`Key`] whose type does not matter.
pub trait AnyKey: Sync {
    /// What is known of it.
    fn meta(&self) -> &Meta;

    /// The name of its type in the reference pages.
    fn label(&self) -> &'static str;

    /// Whether it takes this value. The empty one is "not set".
    ///
    /// # Errors
    /// It does not; the text is what the user reads.
    fn check(&self, value: &str) -> Result<(), ValueError>;

    /// Whether `key` is this key or one that its pattern stands for.
    fn matches(&self, key: &str) -> bool {
        let name = self.meta().name;
        if let Some(start) = name.strip_suffix('*') {
            return key.strip_prefix(start).is_some_and(|rest| !rest.is_empty());
        }
        match name.split_once("<name>") {
            Some((start, end)) => {
                key.len() > start.len() + end.len() && key.starts_with(start) && key.ends_with(end)
            }
            None => name == key,
        }
    }

    /// Whether the name is a pattern.
    fn is_pattern(&self) -> bool {
        self.meta().name.contains(['*', '<'])
    }
}

impl<T: Value> AnyKey for Key<T> {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn label(&self) -> &'static str {
        T::LABEL
    }

    fn check(&self, value: &str) -> Result<(), ValueError> {
        if value.is_empty() {
            return Ok(());
        }
        T::parse(value)?;
        let choices = self.meta.choices;
        if !choices.is_empty() && !choices.contains(&value) {
            return Err(ValueError(format!("Invalid value {value:?} (not one of [{}])", choices.join(" "))));
        }
        self.meta.check.map_or(Ok(()), |check| check(value))
    }
}

impl<T: Value> Key<T> {
    /// The value that is set, or the default; `None` when there is neither.
    ///
    /// # Errors
    /// The value is none of this type: it came past validation.
    pub fn read(&self, config: &Config) -> Result<Option<T>, KeyError> {
        let Some(text) = config.set(self.meta.name).or(self.meta.default) else { return Ok(None) };
        let refuse = |why| KeyError {
            key: self.meta.name.to_owned(),
            value: text.to_owned(),
            reason: Reason::Invalid(why),
        };
        T::parse(text).map(Some).map_err(refuse)
    }

    /// The value that is set, else the default, else `fallback`.
    ///
    /// # Errors
    /// As [`Key::read`].
    pub fn read_or(&self, config: &Config, fallback: T) -> Result<T, KeyError> {
        Ok(self.read(config)?.unwrap_or(fallback))
    }
}

impl Key<bool> {
    /// Whether the key is on, by its value or its default. A malformed value counts as off.
    pub fn is_on(&self, config: &Config) -> bool {
        self.read(config).ok().flatten().unwrap_or(false)
    }
}

impl<T> Key<T> {
    /// A key that applies to everything, takes effect at the next start, and is restricted.
    pub const fn new(name: &'static str) -> Self {
        let meta = Meta {
            name,
            default: None,
            live: Live::No,
            condition: Condition::Any,
            scope: Scope::Global,
            restriction: Restriction::Restricted,
            since: None,
            effect: Effect::Works,
            required: false,
            secret: false,
            choices: &[],
            check: None,
            doc: "",
        };
        Self { meta, value: PhantomData }
    }

    /// The key's name or pattern.
    pub const fn name(&self) -> &'static str {
        self.meta.name
    }

    /// Sets the value that holds when nothing is set.
    pub const fn default(mut self, value: &'static str) -> Self {
        self.meta.default = Some(value);
        self
    }

    /// A change takes effect at once.
    pub const fn live(mut self) -> Self {
        self.meta.live = Live::Yes;
        self
    }

    /// The key is read when it is needed; nothing is to be done after a change.
    pub const fn passive(mut self) -> Self {
        self.meta.live = Live::NotApplicable;
        self
    }

    /// Sets to which instances it applies.
    pub const fn only(mut self, condition: Condition) -> Self {
        self.meta.condition = condition;
        self
    }

    /// Each cluster member has its own value.
    pub const fn local(mut self) -> Self {
        self.meta.scope = Scope::Local;
        self
    }

    /// Everybody may set it in a restricted project.
    pub const fn safe(mut self) -> Self {
        self.meta.restriction = Restriction::Safe;
        self
    }

    /// The project's key `class` says who may set it in a restricted project.
    pub const fn restricted_by(mut self, class: &'static str) -> Self {
        self.meta.restriction = Restriction::Project(class);
        self
    }

    /// Sets the API extension that brought it.
    pub const fn since(mut self, extension: &'static str) -> Self {
        self.meta.since = Some(extension);
        self
    }

    /// The value is stored and has no effect in this version.
    pub const fn stored(mut self) -> Self {
        self.meta.effect = Effect::Stored;
        self
    }

    /// Setting it is refused in this version.
    pub const fn not_yet(mut self) -> Self {
        self.meta.effect = Effect::NotYet;
        self
    }

    /// It must be set.
    pub const fn required(mut self) -> Self {
        self.meta.required = true;
        self
    }

    /// Its value is never shown: readers see only that there is one.
    pub const fn secret(mut self) -> Self {
        self.meta.secret = true;
        self
    }

    /// It takes only these values.
    pub const fn one_of(mut self, choices: &'static [&'static str]) -> Self {
        self.meta.choices = choices;
        self
    }

    /// Adds a rule for its values, checked after the type's own.
    pub const fn check(mut self, check: Check) -> Self {
        self.meta.check = Some(check);
        self
    }

    /// Sets what the reference pages say; [`crate::keys!`] does it from the doc comment.
    pub const fn doc(mut self, doc: &'static str) -> Self {
        self.meta.doc = doc;
        self
    }
}
