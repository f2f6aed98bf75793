//! Names of things: checked when made, each a type of its own so that two cannot be swapped.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Classify, Kind};

/// A name that breaks the rules of its kind.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("Invalid {what} name {name:?}: {reason}")]
pub struct NameError {
    /// The kind of thing, as users call it.
    pub what: &'static str,
    /// The refused text.
    pub name: String,
    /// Which rule it breaks.
    pub reason: &'static str,
}

impl Classify for NameError {
    fn kind(&self) -> Kind {
        Kind::BadRequest
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $check:path;)*) => {$(
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
                match $check(name) {
                    Ok(()) => Ok(Self(name.to_owned())),
                    Err(reason) => Err(NameError { what: $what, name: name.to_owned(), reason }),
                }
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
    InstanceName, "instance", host_name;
    /// A snapshot of an instance or a volume.
    SnapshotName, "snapshot", file_name;
    /// A project.
    ProjectName, "project", file_name;
    /// A profile.
    ProfileName, "profile", file_name;
    /// A storage pool.
    PoolName, "storage pool", file_name;
    /// A custom storage volume.
    VolumeName, "storage volume", file_name;
    /// A managed network.
    NetworkName, "network", interface_name;
    /// A device of an instance or a profile.
    DeviceName, "device", device_name;
    /// An alias of an image.
    AliasName, "image alias", alias_name;
    /// A backup.
    BackupName, "backup", file_name;
    /// A file below a log or template directory.
    FileName, "file", file_name;
    /// A full image fingerprint: 64 lower-case hexadecimal digits.
    Fingerprint, "fingerprint", fingerprint;
}

impl ProjectName {
    /// The project `default`, which always exists.
    pub fn default_project() -> Self {
        Self("default".to_owned())
    }
}

fn host_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > 63 {
        return Err("it must be 1 to 63 characters long");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err("only letters, digits and dashes are allowed");
    }
    if name.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return Err("it must not begin with a digit or a dash");
    }
    if name.ends_with('-') {
        return Err("it must not end with a dash");
    }
    Ok(())
}

fn file_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it must not be empty");
    }
    if name.len() > 255 {
        return Err("it must not be longer than 255 bytes");
    }
    if name == "." || name == ".." {
        return Err("reserved name");
    }
    if name.contains('/') {
        return Err("slashes are not allowed");
    }
    if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("blanks and control characters are not allowed");
    }
    Ok(())
}

fn alias_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > 255 {
        return Err("it must be 1 to 255 bytes long");
    }
    if name.chars().any(char::is_control) {
        return Err("control characters are not allowed");
    }
    Ok(())
}

fn device_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > 64 {
        return Err("it must be 1 to 64 characters long");
    }
    if name == "." || name == ".." || name.contains("..") {
        return Err("reserved name");
    }
    if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("blanks and control characters are not allowed");
    }
    Ok(())
}

fn interface_name(name: &str) -> Result<(), &'static str> {
    if name.len() < 2 || name.len() > 15 {
        return Err("it must be 2 to 15 characters long");
    }
    if name == ".." {
        return Err("reserved name");
    }
    if name.starts_with("-") {
        return Err("it must not begin with a dash");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err("only letters, digits, dashes, underscores and dots are allowed");
    }
    Ok(())
}

fn fingerprint(text: &str) -> Result<(), &'static str> {
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        Ok(())
    } else {
        Err("64 lower-case hexadecimal digits are needed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for bad in ["", ".", "..", "a/b", "../x", "a\nb", "a\0b", "a b"] {
            assert!(bad.parse::<SnapshotName>().is_err(), "{bad:?}");
            assert!(bad.parse::<VolumeName>().is_err(), "{bad:?}");
            assert!(bad.parse::<FileName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn network_names_are_interface_names() {
        assert!("lxdbr0".parse::<NetworkName>().is_ok());
        for bad in ["", "x", "-a", "a b", "a/b", "abcdefghijklmnop", "a;b"] {
            assert!(bad.parse::<NetworkName>().is_err(), "{bad:?}");
        }
    }
}
