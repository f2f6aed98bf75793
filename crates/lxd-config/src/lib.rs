//! Declarative configuration keys: what a key is, which values it takes, and what else must be known of it.
//!
//! A key is one `static` [`Key<T>`] beside its owner, declared with [`keys!`]. Validation, typed reads, the reference
//! pages, the completion of key names, "can it change live" and the check of restricted projects all come from it.
//! The keys of one kind of object form a [`Table`].

mod doc;
mod key;
pub mod project;
pub mod server;
mod table;
mod value;

pub use doc::page;
pub use key::{AnyKey, Check, Condition, Effect, Key, KeyError, Live, Meta, Reason, Restriction, Scope};
pub use table::{Table, changed};
pub use value::{Blob, Value, Words};

/// Declares keys and the list of them. The doc comment of a key is its text in the reference pages.
///
/// ```
/// use lxd_config::{Key, Table, keys};
///
/// keys! {
///     /// Keys that say when to start.
///     BOOT = [
///         /// Number of seconds to wait after this instance was started.
///         DELAY: i64 = Key::new("boot.autostart.delay").default("0"),
///     ]
/// }
///
/// static TABLE: Table = Table::new("instance", &[BOOT]);
/// let config = [("boot.autostart.delay".to_owned(), "5".to_owned())].into();
/// assert!(TABLE.check(&config).is_ok());
/// assert_eq!(DELAY.read(&config), Ok(Some(5)));
/// ```
#[macro_export]
macro_rules! keys {
    (
        $(#[$list_doc:meta])*
        $list:ident = [$($(#[doc = $doc:literal])+ $name:ident: $type:ty = $key:expr),* $(,)?]
    ) => {
        $($(#[doc = $doc])+ pub static $name: $crate::Key<$type> = $key.doc(concat!($($doc),+));)*

        $(#[$list_doc])*
        pub static $list: &[&'static dyn $crate::AnyKey] = &[$(&$name),*];
    };
}
