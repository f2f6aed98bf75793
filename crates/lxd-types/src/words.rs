//! Small words of configuration values: booleans, integers, and the texts that refuse them.

use crate::error::{Classify, Kind};

/// A configuration value that its type refuses. The text is what the user reads.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub String);

impl ValueError {
    /// A refusal with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl Classify for ValueError {
    fn kind(&self) -> Kind {
        Kind::BadRequest
    }
}

/// The boolean that a word means: `true`, `1`, `yes`, `on` and `false`, `0`, `no`, `off`, in any case.
///
/// # Errors
/// Any other word.
pub fn parse_bool(word: &str) -> Result<bool, ValueError> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(ValueError(format!("Invalid value for a boolean {word:?}"))),
    }
}

/// Whether a stored word means true; the empty word and any unknown one do not.
pub fn is_true(word: &str) -> bool {
    parse_bool(word).unwrap_or(false)
}

/// Whether a stored word means false; the empty word and any unknown one do not.
pub fn is_false(word: &str) -> bool {
    matches!(parse_bool(word), Ok(false))
}

/// A decimal 64-bit integer, with an optional sign.
///
/// # Errors
/// Anything else, blanks included.
pub fn parse_i64(word: &str) -> Result<i64, ValueError> {
    word.parse().map_err(|_| ValueError(format!("Invalid value for an integer {word:?}")))
}

/// A decimal unsigned 32-bit integer without a sign.
///
/// # Errors
/// Anything else; the text says whether it is no number or too large.
pub fn parse_u32(word: &str) -> Result<u32, ValueError> {
    let refuse = |reason| {
        ValueError(format!(
            "Invalid value for uint32 {word:?}: strconv.ParseUint: parsing {word:?}: {reason}"
        ))
    };
    if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refuse("invalid syntax"));
    }
    word.parse().map_err(|_| refuse("value out of range"))
}

/// A priority: an integer from 0 to 10.
///
/// # Errors
/// No integer, or one outside.
pub fn parse_priority(word: &str) -> Result<u8, ValueError> {
    let value = parse_i64(word)?;
    u8::try_from(value)
        .ok()
        .filter(|value| *value <= 10)
        .ok_or_else(|| ValueError(format!("Invalid value for a limit {word:?}. Must be between 0 and 10")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn booleans_are_eight_words_in_any_case() {
        for word in ["true", "TRUE", "Yes", "1", "ON"] {
            assert_eq!(parse_bool(word), Ok(true), "{word}");
        }
        for word in ["false", "No", "0", "off"] {
            assert_eq!(parse_bool(word), Ok(false), "{word}");
        }
        for word in ["", "t", "y", " true", "2", "enabled"] {
            assert!(parse_bool(word).is_err(), "{word}");
            assert!(!is_true(word) && !is_false(word), "{word}");
        }
    }

    #[test]
    fn integers_say_why() {
        assert_eq!(parse_i64("+1"), Ok(1));
        assert_eq!(parse_i64("1.5").unwrap_err().0, "Invalid value for an integer \"1.5\"");
        assert_eq!(
            parse_u32("4294967296").unwrap_err().0,
            "Invalid value for uint32 \"4294967296\": strconv.ParseUint: parsing \"4294967296\": value out of range"
        );
        assert!(parse_u32("-1").unwrap_err().0.ends_with("invalid syntax"));
        assert_eq!(
            parse_priority("11").unwrap_err().0,
            "Invalid value for a limit \"11\". Must be between 0 and 10"
        );
        assert_eq!(parse_priority("05"), Ok(5));
    }

    proptest! {
        #[test]
        fn words_read_back(any: String, signed: i64, natural: u32, flag: bool) {
            let _ = (parse_bool(&any), parse_i64(&any), parse_u32(&any), parse_priority(&any));
            prop_assert!(!(is_true(&any) && is_false(&any)));
            prop_assert_eq!(parse_i64(&signed.to_string()), Ok(signed));
            prop_assert_eq!(parse_u32(&natural.to_string()), Ok(natural));
            prop_assert_eq!(parse_bool(&flag.to_string()), Ok(flag));
        }
    }
}
