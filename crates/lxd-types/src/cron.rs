//! Schedules: five cron fields, or aliases such as `@daily` (`snapshots.schedule`, manual 3.2.2).

use std::str::FromStr;

use chrono::{DateTime, Datelike, TimeZone, Timelike};

use crate::words::ValueError;

/// When something is to be done, to the minute.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Schedule {
    rules: Vec<Rule>,
    startup: bool,
}

/// One line of cron: a bit per allowed value in each field.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Rule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
}

struct Field {
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Field; 5] = [
    Field { low: 0, high: 59, names: &[] },
    Field { low: 0, high: 23, names: &[] },
    Field { low: 1, high: 31, names: &[] },
    Field { low: 1, high: 12, names: &MONTHS },
    Field { low: 0, high: 6, names: &WEEKDAYS },
];

impl Schedule {
    /// Whether the schedule names the minute of `now`, in the time zone of `now`.
    pub fn is_due<Z: TimeZone>(&self, now: &DateTime<Z>) -> bool {
        self.rules.iter().any(|rule| rule.matches(now))
    }

    /// Whether it is due each time the daemon starts (`@startup`).
    pub fn at_startup(&self) -> bool {
        self.startup
    }
}

impl FromStr for Schedule {
    type Err = ValueError;

    /// Reads five fields, or aliases separated by commas. The empty text and `@never` are never due.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mut schedule = Self::default();
        if text.is_empty() {
            return Ok(schedule);
        }
        if !text.starts_with('@') {
            schedule.rules.push(rule(text)?);
            return Ok(schedule);
        }
        for word in text.split(',') {
            match alias(word.trim()).ok_or_else(wrong_form)? {
                Alias::Rule(line) => schedule.rules.push(rule(line)?),
                Alias::Startup => schedule.startup = true,
                Alias::Never => {}
            }
        }
        Ok(schedule)
    }
}

enum Alias {
    Rule(&'static str),
    Startup,
    Never,
}

fn alias(word: &str) -> Option<Alias> {
    Some(match word {
        "@hourly" => Alias::Rule("0 * * * *"),
        "@daily" | "@midnight" => Alias::Rule("0 0 * * *"),
        "@weekly" => Alias::Rule("0 0 * * 0"),
        "@monthly" => Alias::Rule("0 0 1 * *"),
        "@annually" | "@yearly" => Alias::Rule("0 0 1 1 *"),
        "@startup" => Alias::Startup,
        "@never" => Alias::Never,
        _ => return None,
    })
}

impl Rule {
    fn matches<Z: TimeZone>(&self, now: &DateTime<Z>) -> bool {
        let has = |set: u64, value: u32| set >> value & 1 == 1;
        let day = has(self.days, now.day());
        let weekday = has(self.weekdays, now.weekday().num_days_from_sunday());
        // Cron's rule: when both are restricted, either suffices.
        let date = if self.any_day || self.any_weekday { day && weekday } else { day || weekday };
        date && has(self.minutes, now.minute())
            && has(self.hours, now.hour())
            && has(self.months, now.month())
    }
}

fn rule(line: &str) -> Result<Rule, ValueError> {
    let words: Vec<&str> = line.split(' ').collect();
    let [minutes, hours, days, months, weekdays] = words[..] else { return Err(wrong_form()) };
    let parse = |word, field: usize| {
        set(word, &FIELDS[field]).map_err(|why| ValueError(format!("Error parsing schedule: {why}")))
    };
    Ok(Rule {
        minutes: parse(minutes, 0)?,
        hours: parse(hours, 1)?,
        days: parse(days, 2)?,
        months: parse(months, 3)?,
        weekdays: parse(weekdays, 4)?,
        any_day: is_any(days),
        any_weekday: is_any(weekdays),
    })
}

fn is_any(word: &str) -> bool {
    word.starts_with(['*', '?'])
}

fn set(word: &str, field: &Field) -> Result<u64, String> {
    word.split(',').map(|item| range(item, field)).try_fold(0, |all, bits| Ok(all | bits?))
}

fn range(item: &str, field: &Field) -> Result<u64, String> {
    let (span, step) = item.split_once('/').map_or((item, None), |(span, step)| (span, Some(step)));
    let (low, high) = match span.split_once('-') {
        _ if span == "*" || span == "?" => (field.low, field.high),
        Some((low, high)) => (value(low, field)?, value(high, field)?),
        // "5/10" goes on to the end of the field, "5" is 5 alone.
        None => value(span, field).map(|low| (low, step.map_or(low, |_| field.high)))?,
    };
    let step = step.map_or(Ok(1), integer)?;
    if low < field.low {
        return Err(format!("beginning of range ({low}) below minimum ({}): {item}", field.low));
    }
    if high > field.high {
        return Err(format!("end of range ({high}) above maximum ({}): {item}", field.high));
    }
    if low > high {
        return Err(format!("beginning of range ({low}) beyond end of range ({high}): {item}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {item}"));
    }
    Ok((low..=high).step_by(step as usize).fold(0, |bits, value| bits | 1 << value))
}

fn value(word: &str, field: &Field) -> Result<u32, String> {
    let name = word.to_ascii_lowercase();
    match field.names.iter().position(|known| *known == name) {
        Some(index) => Ok(index as u32 + field.low),
        None => integer(word),
    }
}

fn integer(word: &str) -> Result<u32, String> {
    word.parse().map_err(|_| {
        format!("failed to parse int from {word}: strconv.Atoi: parsing {word:?}: invalid syntax")
    })
}

fn wrong_form() -> ValueError {
    ValueError::new("Schedule must be of the form: <minute> <hour> <day-of-month> <month> <day-of-week>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;
    use proptest::prelude::*;

    fn due(schedule: &str, month: u32, day: u32, hour: u32, minute: u32) -> bool {
        let now = Utc.with_ymd_and_hms(2026, month, day, hour, minute, 17).unwrap();
        schedule.parse::<Schedule>().unwrap().is_due(&now)
    }

    #[test]
    fn fields_select_minutes() {
        assert!(due("*/15 * * * *", 5, 5, 5, 45) && !due("*/15 * * * *", 5, 5, 5, 46));
        assert!(due("0 4-6 * JAN *", 1, 9, 6, 0) && !due("0 4-6 * jan *", 2, 9, 6, 0));
        assert!(due("5/20 * * * *", 5, 5, 5, 25));
        // 2026-05-05 is a Tuesday: either day rule suffices when both are given.
        assert!(due("0 0 13 * TUE", 5, 5, 0, 0) && due("0 0 13 * TUE", 5, 13, 0, 0));
        assert!(!due("0 0 13 * *", 5, 5, 0, 0) && !due("0 0 13 * TUE", 5, 6, 0, 0));
    }

    #[test]
    fn aliases() {
        assert!(due("@hourly, @daily", 5, 5, 5, 0) && due("@yearly,@startup", 1, 1, 0, 0));
        assert!(due("@weekly", 5, 3, 0, 0) && !due("@never", 5, 3, 0, 0));
        assert!("@startup".parse::<Schedule>().unwrap().at_startup());
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let form = "Schedule must be of the form: <minute> <hour> <day-of-month> <month> <day-of-week>";
        for (text, reason) in [
            ("every day", form),
            ("* * * *", form),
            ("  * * * * *", form),
            ("@nosuch", form),
            ("@hourly @daily", form),
            ("60 * * * *", "Error parsing schedule: end of range (60) above maximum (59): 60"),
            ("0 0 * * 7", "Error parsing schedule: end of range (7) above maximum (6): 7"),
            (
                "a * * * *",
                "Error parsing schedule: failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax",
            ),
        ] {
            assert_eq!(text.parse::<Schedule>().unwrap_err().0, reason);
        }
        for bad in ["0 0 0 * *", "5-1 * * * *", "*/0 * * * *", "4294967296 * * * *", "1-99999 * * * *"] {
            assert!(bad.parse::<Schedule>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-0-9*/,@a-z ]*") {
            let _ = text.parse::<Schedule>();
        }

        #[test]
        fn an_accepted_schedule_can_be_asked(
            fields in proptest::collection::vec("[0-9*?]{1,2}([-/,][0-9*]{1,2}){0,2}", 5),
            any: String,
            seconds in -62_000_000_000i64..250_000_000_000,
        ) {
            let _ = any.parse::<Schedule>();
            if let (Ok(schedule), Some(now)) = (fields.join(" ").parse::<Schedule>(), DateTime::from_timestamp(seconds, 0)) {
                let _ = schedule.is_due(&now);
            }
        }
    }
}
