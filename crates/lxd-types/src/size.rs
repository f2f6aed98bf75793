//! Amounts with units (manual 3.2.2, "Units for storage and network limits"): bytes, bits, operations per second.

use std::fmt;
use std::str::FromStr;

use crate::words::ValueError;

/// A number of bytes, at most `i64::MAX`.
///
/// Suffixes: none, `B` or `bytes`; `kB` to `EB` (powers of 1000); `KiB` to `EiB` (powers of 1024).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ByteSize(u64);

/// A rate in bits per second, at most `i64::MAX`.
///
/// Suffixes: none or `bit`; `kbit` to `Ebit` (powers of 1000); `Kibit` to `Eibit` (powers of 1024).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BitRate(u64);

/// A limit of a disk: bytes per second, or operations per second when the suffix is `iops`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum DiskRate {
    /// Bytes per second.
    Bytes(u64),
    /// Operations per second.
    Operations(u64),
}

const BYTE_SUFFIXES: [(&str, u64); 15] = [
    ("", 1),
    ("B", 1),
    ("bytes", 1),
    ("kB", 1000),
    ("MB", 1000u64.pow(2)),
    ("GB", 1000u64.pow(3)),
    ("TB", 1000u64.pow(4)),
    ("PB", 1000u64.pow(5)),
    ("EB", 1000u64.pow(6)),
    ("KiB", 1024),
    ("MiB", 1024u64.pow(2)),
    ("GiB", 1024u64.pow(3)),
    ("TiB", 1024u64.pow(4)),
    ("PiB", 1024u64.pow(5)),
    ("EiB", 1024u64.pow(6)),
];

const BIT_SUFFIXES: [(&str, u64); 14] = [
    ("", 1),
    ("bit", 1),
    ("kbit", 1000),
    ("Mbit", 1000u64.pow(2)),
    ("Gbit", 1000u64.pow(3)),
    ("Tbit", 1000u64.pow(4)),
    ("Pbit", 1000u64.pow(5)),
    ("Ebit", 1000u64.pow(6)),
    ("Kibit", 1024),
    ("Mibit", 1024u64.pow(2)),
    ("Gibit", 1024u64.pow(3)),
    ("Tibit", 1024u64.pow(4)),
    ("Pibit", 1024u64.pow(5)),
    ("Eibit", 1024u64.pow(6)),
];

impl ByteSize {
    /// This many bytes; `i64::MAX` when there are more.
    pub fn from_bytes(bytes: u64) -> Self {
        Self(bytes.min(i64::MAX as u64))
    }

    /// The number of bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl BitRate {
    /// The number of bits per second.
    pub fn bits(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        amount(text, &BYTE_SUFFIXES).map(Self)
    }
}

impl FromStr for BitRate {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        amount(text, &BIT_SUFFIXES).map(Self)
    }
}

impl FromStr for DiskRate {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.strip_suffix("iops") {
            Some(count) => amount(count, &[("", 1)]).map(Self::Operations),
            None => Ok(Self::Bytes(text.parse::<ByteSize>()?.bytes())),
        }
    }
}

/// In the largest binary unit that leaves no rest: `1GiB`, `1536MiB`, `1000B`; read back it is the same size.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary =
            BYTE_SUFFIXES[9..].iter().rev().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        match binary {
            Some((suffix, factor)) => write!(f, "{}{suffix}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

fn amount(text: &str, suffixes: &[(&str, u64)]) -> Result<u64, ValueError> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let factor = suffixes.iter().find(|(name, _)| *name == suffix).map(|(_, factor)| *factor);
    let Some(factor) = factor.filter(|_| !digits.is_empty()) else {
        return Err(ValueError(format!("Invalid value: {text}")));
    };
    let number: i64 = digits.parse().map_err(|_| ValueError(format!("Invalid integer: {digits}")))?;
    i64::try_from(factor)
        .ok()
        .and_then(|factor| number.checked_mul(factor))
        .and_then(|product| u64::try_from(product).ok())
        .ok_or_else(|| ValueError(format!("Overflow multiplying {number} with {factor}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn byte_suffixes_are_those_of_the_manual() {
        for (text, bytes) in [
            ("7", 7),
            ("7B", 7),
            ("7bytes", 7),
            ("1kB", 1000),
            ("9EB", 9 * 10u64.pow(18)),
            ("1KiB", 1024),
            ("7EiB", 7 << 60),
            ("9223372036854775807", i64::MAX as u64),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes, "{text}");
        }
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (text, reason) in [
            ("", "Invalid value: "),
            ("1KB", "Invalid value: 1KB"),
            ("MB", "Invalid value: MB"),
            ("-1", "Invalid value: -1"),
            ("+1MB", "Invalid value: +1MB"),
            ("1.5GB", "Invalid value: 1.5GB"),
            (" 1MB", "Invalid value:  1MB"),
            ("1kbit", "Invalid value: 1kbit"),
            ("١", "Invalid value: ١"),
            ("9223372036854775808", "Invalid integer: 9223372036854775808"),
            ("10EB", "Overflow multiplying 10 with 1000000000000000000"),
            ("8EiB", "Overflow multiplying 8 with 1152921504606846976"),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap_err().0, reason);
        }
    }

    #[test]
    fn rates() {
        assert_eq!("10Mbit".parse::<BitRate>().unwrap().bits(), 10_000_000);
        assert_eq!("1Kibit".parse::<BitRate>().unwrap().bits(), 1024);
        assert!("1MB".parse::<BitRate>().is_err());
        assert_eq!("20iops".parse(), Ok(DiskRate::Operations(20)));
        assert_eq!("20MB".parse(), Ok(DiskRate::Bytes(20_000_000)));
        for bad in ["iops", "-1iops", "1.5iops", "20 iops", "x"] {
            assert!(bad.parse::<DiskRate>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<ByteSize>();
            let _ = text.parse::<BitRate>();
            let _ = text.parse::<DiskRate>();
        }

        #[test]
        fn a_size_reads_back(bytes in 0u64..=i64::MAX as u64) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse::<ByteSize>().unwrap(), ByteSize(bytes));
        }

        #[test]
        fn an_accepted_amount_fits(text in "[0-9]{1,20}(|B|kB|EB|KiB|EiB|bit|Ebit|Eibit|iops)", any: String) {
            let most = i64::MAX as u64;
            let _ = (any.parse::<BitRate>(), any.parse::<DiskRate>());
            prop_assert!(!text.parse::<ByteSize>().is_ok_and(|size| size.bytes() > most));
            prop_assert!(!text.parse::<BitRate>().is_ok_and(|rate| rate.bits() > most));
            if let Ok(DiskRate::Bytes(rate) | DiskRate::Operations(rate)) = text.parse() {
                prop_assert!(rate <= most);
            }
        }
    }
}
