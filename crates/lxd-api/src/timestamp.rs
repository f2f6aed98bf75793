//! Times on the wire: RFC 3339 with as many fractional digits as needed, zero time for "never".

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, FixedOffset, SecondsFormat, TimeZone, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time as LXD writes it. The default is the zero time `0001-01-01T00:00:00Z` ("never").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timestamp(pub DateTime<FixedOffset>);

impl Timestamp {
    /// Name under which serde sees this type.
    pub const NAME: &'static str = "Timestamp";

    /// `0001-01-01T00:00:00Z`, which stands for "never" or "unknown".
    pub fn zero() -> Self {
        Self(Utc.with_ymd_and_hms(1, 1, 1, 0, 0, 0).single().expect("a valid constant date").fixed_offset())
    }

    /// The present, in UTC.
    pub fn now() -> Self {
        Self(Utc::now().fixed_offset())
    }

    /// A time from seconds since 1970, in UTC; zero time when out of range.
    pub fn from_unix(seconds: i64) -> Self {
        Utc.timestamp_opt(seconds, 0).single().map_or_else(Self::zero, |t| Self(t.fixed_offset()))
    }

    /// True for the zero time.
    pub fn is_zero(&self) -> bool {
        *self == Self::zero()
    }

    /// True for the zero time and for 1970, both of which mean "never" in LXD.
    pub fn is_never(&self) -> bool {
        self.is_zero() || self.0.timestamp() == 0
    }

    /// Seconds since 1970.
    pub fn unix(&self) -> i64 {
        self.0.timestamp()
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::zero()
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(t: DateTime<Utc>) -> Self {
        Self(t.fixed_offset())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.timestamp_subsec_nanos();
        let whole = self.0.to_rfc3339_opts(SecondsFormat::Secs, true);
        if nanos == 0 {
            return f.write_str(&whole);
        }
        // The zone starts after "YYYY-MM-DDTHH:MM:SS".
        let (time, zone) = whole.split_at(19);
        let fraction = format!("{nanos:09}");
        write!(f, "{time}.{}{zone}", fraction.trim_end_matches('0'))
    }
}

impl FromStr for Timestamp {
    type Err = chrono::ParseError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        DateTime::parse_from_rfc3339(s).map(Self)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        // The name lets a YAML writer tell a time from a text.
        s.serialize_newtype_struct(Self::NAME, &self.to_string())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prints_as_go_does() {
        for text in [
            "0001-01-01T00:00:00Z",
            "2021-03-23T17:38:37.753398689-04:00",
            "2021-03-23T17:38:37.12Z",
            "2021-03-23T20:00:00-04:00",
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn default_is_never() {
        assert!(Timestamp::default().is_zero());
        assert!(Timestamp::from_unix(0).is_never());
    }

    proptest! {
        #[test]
        fn times_read_back(any: String, seconds: i64, near in "2026-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,12})?(Z|[+-][0-9]{2}:[0-9]{2})") {
            let _ = (any.parse::<Timestamp>(), Timestamp::from_unix(seconds).to_string());
            if let Ok(time) = near.parse::<Timestamp>() {
                prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
            }
        }
    }
}
