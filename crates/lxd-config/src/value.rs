//! Types of values: how each is read, and what the reference pages call it.

use lxd_types::{
    Architecture, BitRate, ByteSize, Cidr, Compression, CpuAllowance, CpuLimit, DiskRate, Expiry, Ipv4Cidr,
    Ipv6Cidr, Mac, MemoryLimit, RawIdMap, Schedule, ValueError, words,
};

/// A type that configuration values can have.
pub trait Value: Sized {
    /// The type's name in the reference pages.
    const LABEL: &'static str;

    /// Reads a value; never called with the empty text, which means "not set".
    ///
    /// # Errors
    /// The text is no value of this type; the error is what the user reads.
    fn parse(text: &str) -> Result<Self, ValueError>;
}

/// Text that may have several lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Blob(pub String);

/// Words separated by commas; blanks around them do not count.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Words(pub Vec<String>);

/// One line of text: a line break or NUL in it would reach files that are made of lines.
impl Value for String {
    const LABEL: &'static str = "string";

    fn parse(text: &str) -> Result<Self, ValueError> {
        match text.contains(['\n', '\r', '\0']) {
            true => Err(ValueError::new("Value must not contain line breaks")),
            false => Ok(text.to_owned()),
        }
    }
}

impl Value for Blob {
    const LABEL: &'static str = "blob";

    fn parse(text: &str) -> Result<Self, ValueError> {
        match text.contains('\0') {
            true => Err(ValueError::new("Value must not contain NUL characters")),
            false => Ok(Self(text.to_owned())),
        }
    }
}

impl Value for Words {
    const LABEL: &'static str = "string";

    fn parse(text: &str) -> Result<Self, ValueError> {
        let text = String::parse(text)?;
        Ok(Self(text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()))
    }
}

impl Value for bool {
    const LABEL: &'static str = "boolean";

    fn parse(text: &str) -> Result<Self, ValueError> {
        words::parse_bool(text)
    }
}

impl Value for i64 {
    const LABEL: &'static str = "integer";

    fn parse(text: &str) -> Result<Self, ValueError> {
        words::parse_i64(text)
    }
}

impl Value for u32 {
    const LABEL: &'static str = "integer";

    fn parse(text: &str) -> Result<Self, ValueError> {
        words::parse_u32(text)
    }
}

/// A priority from 0 to 10.
impl Value for u8 {
    const LABEL: &'static str = "integer";

    fn parse(text: &str) -> Result<Self, ValueError> {
        words::parse_priority(text)
    }
}

macro_rules! parsed {
    ($($type:ty, $label:literal;)*) => {$(
        impl Value for $type {
            const LABEL: &'static str = $label;

            fn parse(text: &str) -> Result<Self, ValueError> {
                text.parse()
            }
        }
    )*};
}

parsed! {
    Architecture, "string";
    BitRate, "string";
    ByteSize, "string";
    Cidr, "string";
    Compression, "string";
    CpuAllowance, "string";
    CpuLimit, "string";
    DiskRate, "string";
    Expiry, "string";
    Ipv4Cidr, "string";
    Ipv6Cidr, "string";
    Mac, "string";
    MemoryLimit, "string";
    RawIdMap, "blob";
    Schedule, "string";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_one_line() {
        assert_eq!(<String as Value>::parse("a b"), Ok("a b".to_owned()));
        for bad in ["a\nb", "a\rb", "a\0b"] {
            assert!(<String as Value>::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Blob::parse("a\nb"), Ok(Blob("a\nb".to_owned())));
        assert_eq!(Words::parse("a, b,,"), Ok(Words(vec!["a".to_owned(), "b".to_owned()])));
    }
}
