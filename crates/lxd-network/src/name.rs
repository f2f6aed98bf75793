//! Names of interfaces of the host, refused in the words of the reference.

use lxd_types::ValueError;
use lxd_types::names::NetworkName;

/// Names that the kernel's settings use for something else.
const RESERVED: &[&str] = &["all", "default"];

/// Checks the name of an interface of the host.
///
/// # Errors
/// It is too short, too long, has wrong characters or is reserved.
pub fn check_interface(name: &str) -> Result<(), ValueError> {
    if name.len() < 2 {
        return Err(ValueError::new("Network interface is too short (minimum 2 characters)"));
    }
    if name.len() > 15 {
        return Err(ValueError::new("Network interface is too long (maximum 15 characters)"));
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(ValueError::new("Network interface contains invalid characters"));
    }
    if RESERVED.contains(&name) || name == ".." {
        return Err(ValueError(format!("Network interface name {name:?} is reserved")));
    }
    Ok(())
}

/// The name of a new network.
///
/// # Errors
/// As [`check_interface`]; also a dash in front is refused, because programs take it for an option.
pub fn network_name(name: &str) -> Result<NetworkName, ValueError> {
    check_interface(name)?;
    name.parse().map_err(|error: lxd_types::names::NameError| ValueError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        for (name, text) in [
            ("1", "Network interface is too short (minimum 2 characters)"),
            ("toolongnameforbridge", "Network interface is too long (maximum 15 characters)"),
            ("bad name", "Network interface contains invalid characters"),
            ("a/b", "Network interface contains invalid characters"),
            ("a\nb", "Network interface contains invalid characters"),
            ("all", "Network interface name \"all\" is reserved"),
        ] {
            assert_eq!(network_name(name).unwrap_err().0, text);
        }
        assert!(network_name("-x").is_err() && network_name("..").is_err());
        assert_eq!(network_name("lxdbr0").unwrap().as_str(), "lxdbr0");
    }
}
