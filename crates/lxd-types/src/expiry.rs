//! Spans of time after which something expires, such as `1d 12H` (`snapshots.expiry`, manual 3.2.2).

use std::str::FromStr;

use chrono::{DateTime, Months, TimeDelta, Utc};

use crate::words::ValueError;

/// A span in calendar units. The empty span (from an empty text) never expires.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Expiry {
    minutes: u32,
    hours: u32,
    days: u32,
    weeks: u32,
    months: u32,
    years: u32,
    set: bool,
}

impl Expiry {
    /// When something made at `start` expires; `None` for never, and for a moment too far away to write down.
    pub fn after(&self, start: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if !self.set {
            return None;
        }
        let months = self.years.checked_mul(12)?.checked_add(self.months)?;
        let days = i64::from(self.weeks) * 7 + i64::from(self.days);
        start
            .checked_add_months(Months::new(months))?
            .checked_add_signed(TimeDelta::try_days(days)?)?
            .checked_add_signed(TimeDelta::try_hours(self.hours.into())?)?
            .checked_add_signed(TimeDelta::try_minutes(self.minutes.into())?)
    }
}

impl FromStr for Expiry {
    type Err = ValueError;

    /// Reads parts separated by one blank, each a number and one of `M H d w m y`, each unit at most once.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mut expiry = Self::default();
        let text = text.trim();
        if text.is_empty() {
            return Ok(expiry);
        }
        expiry.set = true;
        let mut seen = String::new();
        for part in text.split(' ') {
            let unit = part.chars().next_back().filter(|unit| !seen.contains(*unit)).ok_or_else(refusal)?;
            seen.push(unit);
            *expiry.part(unit)? = number(&part[..part.len() - unit.len_utf8()])?;
        }
        Ok(expiry)
    }
}

impl Expiry {
    fn part(&mut self, unit: char) -> Result<&mut u32, ValueError> {
        Ok(match unit {
            'M' => &mut self.minutes,
            'H' => &mut self.hours,
            'd' => &mut self.days,
            'w' => &mut self.weeks,
            'm' => &mut self.months,
            'y' => &mut self.years,
            _ => return Err(refusal()),
        })
    }
}

fn number(digits: &str) -> Result<u32, ValueError> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refusal());
    }
    digits.parse().map_err(|_| refusal())
}

fn refusal() -> ValueError {
    ValueError::new("Invalid expiry expression")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;
    use proptest::prelude::*;

    fn start() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 1, 31, 10, 0, 0).unwrap()
    }

    #[test]
    fn every_unit_counts() {
        let expiry: Expiry = "1M 2H 3d 4w 5m 6y".parse().unwrap();
        assert_eq!(expiry.after(start()).unwrap().to_rfc3339(), "2032-07-31T12:01:00+00:00");
        let month: Expiry = "1m".parse().unwrap();
        assert_eq!(month.after(start()).unwrap().to_rfc3339(), "2026-02-28T10:00:00+00:00");
    }

    #[test]
    fn nothing_is_never() {
        assert_eq!("".parse::<Expiry>().unwrap().after(start()), None);
        assert_eq!(" 0d ".parse::<Expiry>().unwrap().after(start()), Some(start()));
    }

    #[test]
    fn malformed_spans_are_refused() {
        for bad in
            ["5X", "1", "M", "1M 1M", "1d2d", "1d,2d", "-1d", "1d  2H", "1.5d", "1D", "1d x", "ü", "+1d"]
        {
            assert_eq!(bad.parse::<Expiry>().unwrap_err().0, "Invalid expiry expression", "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*", year in 0u32..=u32::MAX) {
            let _ = text.parse::<Expiry>();
            let far: Expiry = format!("{year}y {year}m {year}w {year}d").parse().unwrap();
            let _ = far.after(start());
        }
    }
}
