//! Names of things: checked when made, each a type of its own so that two cannot be swapped.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Classify, Kind};

/// A name that breaks the rules of its kind. The text is what the user reads.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(pub String);

impl Classify for NameError {
    fn kind(&self) -> Kind {
        Kind::BadRequest
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $check:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), String> = $check;
                check(name).map_err(NameError)?;
                Ok(Self(name.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                name.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    )*};
}

names! {
    /// An instance: a host name (manual 3.2.2).
    InstanceName, |name| host_name(name).map_err(|why| format!("Invalid instance name: {why}"));
    /// A snapshot of an instance or a volume.
    SnapshotName, snapshot_name;
    /// A project.
    ProjectName, project_name;
    /// A profile.
    ProfileName, |name| plain_name(name, "Profile", "profile");
    /// A storage pool.
    PoolName, pool_name;
    /// A custom storage volume.
    VolumeName, |name| plain_name(name, "Storage volume", "storage volume");
    /// A managed network; also the name of its interface.
    NetworkName, interface_name;
    /// A network ACL.
    AclName, acl_name;
    /// A device of an instance or a profile. May contain slashes: see [`DeviceName::file_name`].
    DeviceName, device_name;
    /// An alias of an image. May contain slashes; never a file name.
    AliasName, alias_name;
    /// A backup.
    BackupName, |name| plain_name(name, "Backup", "backup");
    /// A file below a log or template directory.
    FileName, |name| plain_name(name, "File", "file");
    /// A full image fingerprint: 64 lower-case hexadecimal digits.
    Fingerprint, fingerprint;
}

impl DeviceName {
    /// The name as a file name: `/` becomes `%2F`. Names cannot contain `%`, so two names never meet.
    pub fn file_name(&self) -> String {
        self.0.replace('/', "%2F")
    }
}

impl ProjectName {
    /// The project `default`, which always exists.
    pub fn default_project() -> Self {
        Self("default".to_owned())
    }
}

fn host_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > 63 {
        return Err("Name must be 1-63 characters long");
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("Name must not start with a number");
    }
    if name.starts_with('-') {
        return Err("Name must not start with \"-\" character");
    }
    if name.ends_with('-') {
        return Err("Name must not end with \"-\" character");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err("Name can only contain alphanumeric and hyphen characters");
    }
    Ok(())
}

/// As the reference has it; the first two characters begin words with a meaning in rules.
fn acl_name(name: &str) -> Result<(), String> {
    match name.chars().next() {
        None => Err("Name is required".to_owned()),
        Some(first @ ('@' | '#')) => Err(format!("Name cannot start with reserved character '{first}'")),
        Some(_) => host_name(name).map_err(str::to_owned),
    }
}

/// The rules that all names obey which become file names: nothing that leaves its directory or breaks a line.
fn plain_name(name: &str, what: &str, invalid: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("No name provided".to_owned());
    }
    if name.contains('/') {
        return Err(format!("{what} names may not contain slashes"));
    }
    if name == "." || name == ".." {
        return Err(format!("Invalid {invalid} name {name:?}"));
    }
    if name.len() > 255 {
        return Err(format!("Invalid {invalid} name: Must not be longer than 255 bytes"));
    }
    if name.chars().any(char::is_control) {
        return Err(format!("Invalid {invalid} name: Must not contain control characters"));
    }
    Ok(())
}

fn snapshot_name(name: &str) -> Result<(), String> {
    if name.contains('/') {
        return Err("Invalid snapshot name: Cannot contain \"/\"".to_owned());
    }
    if name.contains(' ') {
        return Err("Invalid instance snapshot name: Cannot contain space or / characters".to_owned());
    }
    plain_name(name, "Snapshot", "snapshot")
}

fn project_name(name: &str) -> Result<(), String> {
    plain_name(name, "Project", "project")?;
    if name == "*" {
        return Err("Reserved project name".to_owned());
    }
    for (characters, word) in
        [(&[' '][..], "spaces"), (&['_'][..], "underscores"), (&['\'', '"'][..], "quotes")]
    {
        if name.contains(characters) {
            return Err(format!("Project names may not contain {word}"));
        }
    }
    Ok(())
}

fn pool_name(name: &str) -> Result<(), String> {
    plain_name(name, "Storage pool", "storage pool")?;
    if name.chars().any(char::is_whitespace) {
        return Err("Storage name cannot contain white space".to_owned());
    }
    Ok(())
}

fn alias_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > 255 {
        return Err("Invalid image alias name: Must be 1 to 255 bytes long".to_owned());
    }
    if name.chars().any(char::is_control) {
        return Err("Invalid image alias name: Must not contain control characters".to_owned());
    }
    Ok(())
}

fn device_name(name: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("Device validation failed for {name:?}: {why}"));
    if name.len() > 64 {
        return Err("The maximum device name length is 64 characters".to_owned());
    }
    if name.is_empty() || name.len() > 63 {
        return refuse("Name must be 1-63 characters long");
    }
    if name.starts_with('.') {
        return refuse("Name must not start with \".\" character");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-:_.".contains(&b)) {
        return refuse(
            "Name can only contain alphanumeric, forward slash, hyphen, colon, underscore and full stop characters",
        );
    }
    Ok(())
}

fn interface_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("No name provided".to_owned());
    }
    if name.chars().count() < 2 {
        return Err("Network interface is too short (minimum 2 characters)".to_owned());
    }
    if name.len() > 15 {
        return Err("Network interface is too long (maximum 15 characters)".to_owned());
    }
    // A leading dash would be taken for an option by the tools that get the name.
    let allowed = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !allowed || name.starts_with('-') || name == ".." {
        return Err("Network interface contains invalid characters".to_owned());
    }
    Ok(())
}

fn fingerprint(text: &str) -> Result<(), String> {
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        Ok(())
    } else {
        Err(format!("Invalid fingerprint {text:?}: 64 lower-case hexadecimal digits are needed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn instance_names_are_host_names() {
        for good in ["c1", "A", "web-01", &"a".repeat(63)] {
            assert!(good.parse::<InstanceName>().is_ok(), "{good}");
        }
        for bad in ["", "1c", "-c", "c-", "c_1", "c.1", "c/1", "..", "ü", "c\n", "c\0", &"a".repeat(64)] {
            assert!(bad.parse::<InstanceName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_name_leaves_its_directory() {
        for bad in ["", ".", "..", "a/b", "../x", "a\nb", "a\0b"] {
            assert!(bad.parse::<SnapshotName>().is_err(), "{bad:?}");
            assert!(bad.parse::<VolumeName>().is_err(), "{bad:?}");
            assert!(bad.parse::<PoolName>().is_err(), "{bad:?}");
            assert!(bad.parse::<ProjectName>().is_err(), "{bad:?}");
            assert!(bad.parse::<ProfileName>().is_err(), "{bad:?}");
            assert!(bad.parse::<BackupName>().is_err(), "{bad:?}");
            assert!(bad.parse::<FileName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn device_names_become_distinct_file_names() {
        let file = |name: &str| name.parse::<DeviceName>().unwrap().file_name();
        assert_eq!((file("a/b"), file("a-b")), ("a%2Fb".into(), "a-b".into()));
        for bad in ["", ".", "..", ".a", "a b", "a,b", "a\nb", &"x".repeat(64)] {
            assert!(bad.parse::<DeviceName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        assert_eq!(
            "1bad".parse::<InstanceName>().unwrap_err().0,
            "Invalid instance name: Name must not start with a number"
        );
        assert_eq!("a/b".parse::<ProfileName>().unwrap_err().0, "Profile names may not contain slashes");
        assert_eq!("..".parse::<ProjectName>().unwrap_err().0, "Invalid project name \"..\"");
        assert_eq!("a'b".parse::<ProjectName>().unwrap_err().0, "Project names may not contain quotes");
        assert_eq!("a b".parse::<PoolName>().unwrap_err().0, "Storage name cannot contain white space");
        assert_eq!(
            "x".parse::<NetworkName>().unwrap_err().0,
            "Network interface is too short (minimum 2 characters)"
        );
    }

    #[test]
    fn network_names_are_interface_names() {
        assert!("lxdbr0".parse::<NetworkName>().is_ok());
        for bad in ["", "x", "-a", "a b", "a/b", "abcdefghijklmnop", "a;b", ".."] {
            assert!(bad.parse::<NetworkName>().is_err(), "{bad:?}");
        }
    }

    /// Checks a text as every kind of name: whatever is accepted is printed as it was, breaks no line and, where it
    /// becomes a file name, stays in its directory.
    fn check_all(text: &str) {
        fn one<T: FromStr<Err = NameError> + fmt::Display>(text: &str, is_file: bool) {
            let Ok(name) = text.parse::<T>() else { return };
            assert_eq!(name.to_string(), text);
            assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
            assert!(
                !is_file || !text.contains('/') && text != "." && text != ".." && text.len() <= 255,
                "{text:?}"
            );
        }
        one::<InstanceName>(text, true);
        one::<SnapshotName>(text, true);
        one::<ProjectName>(text, true);
        one::<ProfileName>(text, true);
        one::<PoolName>(text, true);
        one::<VolumeName>(text, true);
        one::<NetworkName>(text, true);
        one::<BackupName>(text, true);
        one::<FileName>(text, true);
        one::<Fingerprint>(text, true);
        one::<AliasName>(text, false);
        one::<DeviceName>(text, false);
        if let Ok(name) = text.parse::<DeviceName>() {
            check_all_files(&name.file_name());
        }
    }

    fn check_all_files(file: &str) {
        assert!(!file.contains('/') && file != "." && file != "..", "{file:?}");
    }

    proptest! {
        #[test]
        fn an_accepted_name_is_harmless(any: String, near in "[a.]{0,3}[-a-z0-9./:_ \n\0\\\\'\"*%]{0,20}") {
            check_all(&any);
            check_all(&near);
        }
    }
}
