//! Limits of memory: a size, or a share of the host's memory (`limits.memory`, manual 3.2.2).

use std::str::FromStr;

use crate::size::ByteSize;
use crate::words::ValueError;

/// The value of `limits.memory`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MemoryLimit {
    /// A fixed size; never zero.
    Size(ByteSize),
    /// Per cent of the host's memory; never zero.
    Percent(u64),
}

impl MemoryLimit {
    /// The limit in bytes on a host with `total` bytes of memory.
    pub fn bytes(self, total: u64) -> u64 {
        match self {
            Self::Size(size) => size.bytes(),
            Self::Percent(percent) => {
                (u128::from(total) * u128::from(percent) / 100).min(u128::from(i64::MAX as u64)) as u64
            }
        }
    }
}

impl FromStr for MemoryLimit {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Some(number) = text.strip_suffix('%') {
            return percent(text, number);
        }
        let size: ByteSize = text.parse()?;
        match size.bytes() {
            0 => Err(ValueError::new("Memory limit can't be 0")),
            _ => Ok(Self::Size(size)),
        }
    }
}

fn percent(text: &str, number: &str) -> Result<MemoryLimit, ValueError> {
    let value: i64 = number
        .parse()
        .map_err(|_| ValueError(format!("strconv.ParseInt: parsing {number:?}: invalid syntax")))?;
    match u64::try_from(value) {
        Ok(0) => Err(ValueError::new("Memory limit can't be 0%")),
        Ok(value) => Ok(MemoryLimit::Percent(value)),
        Err(_) => Err(ValueError(format!("Invalid value: {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_and_shares() {
        assert_eq!("1GiB".parse::<MemoryLimit>().unwrap().bytes(0), 1 << 30);
        assert_eq!("50%".parse::<MemoryLimit>().unwrap().bytes(1 << 31), 1 << 30);
        assert_eq!("101%".parse(), Ok(MemoryLimit::Percent(101)));
        assert_eq!("9223372036854775807%".parse::<MemoryLimit>().unwrap().bytes(u64::MAX), i64::MAX as u64);
    }

    #[test]
    fn nothing_is_no_limit() {
        for (text, reason) in [
            ("0", "Memory limit can't be 0"),
            ("0MB", "Memory limit can't be 0"),
            ("0%", "Memory limit can't be 0%"),
            ("1.5%", "strconv.ParseInt: parsing \"1.5\": invalid syntax"),
            ("%", "strconv.ParseInt: parsing \"\": invalid syntax"),
            ("-1%", "Invalid value: -1%"),
            ("12XB", "Invalid value: 12XB"),
        ] {
            assert_eq!(text.parse::<MemoryLimit>().unwrap_err().0, reason);
        }
    }

    proptest! {
        #[test]
        fn a_limit_is_never_nothing(text in "[0-9]{0,20}[%kMGiB]{0,3}", any: String, total in 0..=i64::MAX as u64) {
            let _ = any.parse::<MemoryLimit>();
            match text.parse::<MemoryLimit>() {
                Ok(MemoryLimit::Size(size)) => prop_assert!(size.bytes() > 0),
                Ok(limit @ MemoryLimit::Percent(percent)) => {
                    prop_assert!(percent > 0 && limit.bytes(total) <= i64::MAX as u64);
                }
                Err(_) => {}
            }
        }
    }
}
