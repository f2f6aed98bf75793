//! The writer of `lxc.conf`: one `key = value` per line, and no way to break out of a line.

use lxd_types::{Error, Result};

/// A configuration being written.
#[derive(Debug, Default)]
pub struct Conf {
    text: String,
}

impl Conf {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The key is not a plain word of `lxc.`, or the value has a line break or NUL in it.
    pub fn set(&mut self, key: &str, value: impl AsRef<str>) -> Result<()> {
        let value = value.as_ref();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !key.starts_with("lxc.") || !key.chars().all(plain) {
            return Err(Error::bad_request(format!("Invalid lxc.conf key {key:?}")));
        }
        if value.contains(['\n', '\r', '\0']) {
            return Err(Error::bad_request(format!("Invalid line break in value of {key:?}")));
        }
        self.text.push_str(key);
        self.text.push_str(" = ");
        self.text.push_str(value);
        self.text.push('\n');
        Ok(())
    }

    /// The file's content.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// A field of a mount entry, in which blanks separate fields: blank, tab and backslash become octal escapes, as in fstab.
pub fn mount_field(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' ' => escaped.push_str("\\040"),
            '\t' => escaped.push_str("\\011"),
            '\\' => escaped.push_str("\\134"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A word of a hook's command line, which liblxc gives to a shell: plain words as they are, others in single quotes.
///
/// # Errors
/// The word contains what cannot be quoted in one line.
pub fn hook_word(text: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    if text.contains(['\'', '\n', '\r', '\0']) {
        return Err(Error::bad_request(format!("Invalid character in hook argument {text:?}")));
    }
    Ok(format!("'{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cannot_be_broken() {
        let mut conf = Conf::new();
        conf.set("lxc.environment", "A=b c").unwrap();
        for value in ["a\nlxc.hook.pre-start = /bin/sh", "a\r", "\0"] {
            assert!(conf.set("lxc.environment", value).is_err());
        }
        assert!(conf.set("lxc.x = y\nlxc.z", "1").is_err());
        assert!(conf.set("other", "1").is_err());
        assert_eq!(conf.into_text(), "lxc.environment = A=b c\n");
    }

    #[test]
    fn words_are_quoted() {
        assert_eq!(mount_field("/a b\\c"), "/a\\040b\\134c");
        assert_eq!(hook_word("/var/lib/lxd").unwrap(), "/var/lib/lxd");
        assert_eq!(hook_word("a b;$(c)").unwrap(), "'a b;$(c)'");
        assert!(hook_word("it's").is_err());
    }
}
