//! `raw.lxc`: text of the administrator, parsed line by line; what would break the daemon's own settings is refused.

use lxd_types::{Error, Result};

/// Keys that are set by the daemon and nobody else, with what the reference says (or would say) about them.
const OWNED: &[&str] = &[
    "lxc.ephemeral",
    "lxc.syslog",
    "lxc.rootfs",
    "lxc.rootfs.path",
    "lxc.rootfs.mount",
    "lxc.rootfs.options",
    "lxc.rootfs.backend",
    "lxc.uts.name",
    "lxc.utsname",
    "lxc.id_map",
    "lxc.idmap",
    "lxc.include",
    "lxc.hook.version",
    "lxc.seccomp.notify.proxy",
    "lxc.seccomp.notify.cookie",
    "lxc.monitor.unshare",
    "lxc.console.logfile",
];

/// Parses `raw.lxc` into its keys and values; empty lines and comments are left out.
///
/// # Errors
/// A line without `=` or with a NUL or carriage return in it, or a key that is not the administrator's to set; the text is that of an invalid configuration.
pub fn parse(text: &str) -> Result<Vec<(String, String)>> {
    let mut items = Vec::new();
    for line in text.split('\n') {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // liblxc reads C strings and writes lines.
        if line.contains(['\0', '\r']) {
            return Err(Error::bad_request(format!("Invalid raw.lxc line: {line:?}")));
        }
        let Some((key, value)) = line.split_once('=') else {
            return Err(Error::bad_request(format!("Invalid raw.lxc line: {line}")));
        };
        let key = key.trim().to_ascii_lowercase();
        check(&key)?;
        items.push((key, value.trim().to_owned()));
    }
    Ok(items)
}

/// Whether programs of the administrator run at the container's start, which may need a `PATH`.
///
/// # Errors
/// As [`parse`].
pub fn has_hooks(text: &str) -> Result<bool> {
    Ok(parse(text)?.iter().any(|(key, _)| key.starts_with("lxc.hook.") || key.starts_with("lxc.net.")))
}

fn check(key: &str) -> Result<()> {
    // Several spellings of one thing; the reference names all of them by the old one.
    if key == "lxc.logfile" || key == "lxc.loglevel" || key.starts_with("lxc.log.") {
        return Err(Error::bad_request("Setting lxc.logfile is not allowed"));
    }
    if OWNED.contains(&key) {
        return Err(Error::bad_request(format!("Setting {key} is not allowed")));
    }
    let parts: Vec<&str> = key.split('.').collect();
    let network = matches!(parts[..], ["lxc", "net" | "network", ..]);
    let address = parts.get(3).is_some_and(|part| *part == "ipv4" || *part == "ipv6");
    if network && !address {
        return Err(Error::bad_request("Only interface-specific ipv4/ipv6 lxc.net. keys are allowed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_become_items() {
        let items =
            parse("# a comment\n\n lxc.cap.drop = sys_time \nlxc.net.0.ipv4.address=10.0.0.2/24\n").unwrap();
        assert_eq!(items[0], ("lxc.cap.drop".into(), "sys_time".into()));
        assert_eq!(items[1], ("lxc.net.0.ipv4.address".into(), "10.0.0.2/24".into()));
    }

    #[test]
    fn hooks_are_found() {
        assert!(has_hooks("lxc.cap.drop = x\nLXC.hook.start = /bin/true").unwrap());
        assert!(!has_hooks("# lxc.hook.start = /bin/true\nlxc.cap.drop = lxc.hook.start").unwrap());
    }

    #[test]
    fn owned_keys_are_refused_with_the_texts_of_the_reference() {
        let says = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(says("lxc.log.file=/x"), "Setting lxc.logfile is not allowed");
        assert_eq!(says("LXC.ephemeral = 1"), "Setting lxc.ephemeral is not allowed");
        assert_eq!(
            says("lxc.net.0.type=veth"),
            "Only interface-specific ipv4/ipv6 lxc.net. keys are allowed"
        );
        assert_eq!(says("foo"), "Invalid raw.lxc line: foo");
        assert!(parse("lxc.rootfs.path = /").is_err());
    }

    proptest! {
        #[test]
        fn accepted_items_are_single_lines(any: String, near in "((lxc\\.|LXC\\.)?[a-z.]{0,12}[ =\t]{0,2}[a-z/=#\r\0 ]{0,8}\n){0,4}") {
            for text in [any, near] {
                let Ok(items) = parse(&text) else { continue };
                for (key, value) in &items {
                    prop_assert!(!key.contains(['\n', '\r', '\0', '=']) && !value.contains(['\n', '\r', '\0']));
                    prop_assert!(!OWNED.contains(&key.as_str()) && key.trim() == key && value.trim() == value);
                }
            }
        }

        #[test]
        fn an_owned_key_is_refused_however_it_is_written(at in 0..OWNED.len(), before in "[ \t]{0,3}", upper: bool) {
            let key = if upper { OWNED[at].to_uppercase() } else { OWNED[at].to_owned() };
            let text = format!("lxc.cap.drop = x\n{before}{key}{before}= y");
            prop_assert!(parse(&text).is_err(), "{}", text);
        }
    }
}
