//! Names of snapshots that nobody named (`snapshots.pattern`, manual 3.2.2): a text with at most one `%d`, which becomes the
//! next free number, and `{{ creation_date }}`, perhaps with `|date:"…"` in the notation of Go's time package.

use chrono::{DateTime, TimeZone};

use crate::go_time::go_format;
use crate::words::ValueError;

/// The pattern that holds where none is set.
pub const DEFAULT: &str = "snap%d";

/// The name of the next snapshot: `pattern` for the time `now`, with the first number above those of the `existing`
/// names where it has `%d` (or where the name is taken: then a number is put after it).
///
/// # Errors
/// The pattern has several `%d`, or something between `{{` and `}}` that is not known.
pub fn next_name<'a, Z: TimeZone>(
    pattern: &str,
    existing: impl Iterator<Item = &'a str> + Clone,
    now: &DateTime<Z>,
) -> Result<String, ValueError>
where
    Z::Offset: std::fmt::Display,
{
    let pattern = if pattern.is_empty() { DEFAULT } else { pattern };
    let text = render(pattern, now)?;
    let (before, after) = match text.split_once("%d") {
        Some((_, rest)) if rest.contains("%d") => {
            return Err(ValueError(format!("Snapshot pattern may contain '%d' only once: {pattern:?}")));
        }
        Some((before, after)) => (before.to_owned(), after.to_owned()),
        None if existing.clone().any(|name| name == text) => (format!("{text}-"), String::new()),
        None => return Ok(text),
    };
    let taken = existing.filter_map(|name| {
        let number = name.strip_prefix(&*before)?.strip_suffix(&*after)?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse::<u64>().ok()).flatten()
    });
    let next = taken.max().map_or(0, |highest| highest.saturating_add(1));
    Ok(format!("{before}{next}{after}"))
}

fn render<Z: TimeZone>(pattern: &str, now: &DateTime<Z>) -> Result<String, ValueError>
where
    Z::Offset: std::fmt::Display,
{
    let mut out = String::new();
    let mut rest = pattern;
    while let Some((before, begun)) = rest.split_once("{{") {
        let (inside, after) = begun.split_once("}}").ok_or_else(|| not_known(pattern))?;
        out.push_str(before);
        out.push_str(&expression(inside.trim(), now).ok_or_else(|| not_known(pattern))?);
        rest = after;
    }
    if rest.contains("{%") {
        return Err(not_known(pattern));
    }
    out.push_str(rest);
    Ok(out)
}

fn not_known(pattern: &str) -> ValueError {
    ValueError(format!(
        "Snapshot pattern {pattern:?} is not understood: use %d and {{{{ creation_date|date:\"2006-01-02\" }}}}"
    ))
}

/// `creation_date` or `creation_date|date:"FORMAT"`.
fn expression<Z: TimeZone>(text: &str, now: &DateTime<Z>) -> Option<String>
where
    Z::Offset: std::fmt::Display,
{
    let rest = text.strip_prefix("creation_date")?.trim_start();
    if rest.is_empty() {
        return Some(go_format(now, "2006-01-02 15:04:05 -0700 MST"));
    }
    let format = rest.strip_prefix('|')?.trim_start().strip_prefix("date")?.trim_start().strip_prefix(':')?;
    let format = format.trim();
    let quote = format.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let format = format.strip_prefix(quote)?.strip_suffix(quote)?;
    (!format.contains(quote)).then(|| go_format(now, format))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;
    use proptest::prelude::*;

    fn name(pattern: &str, existing: &[&str]) -> Result<String, String> {
        let now = Utc.with_ymd_and_hms(2026, 3, 4, 15, 6, 7).unwrap();
        next_name(pattern, existing.iter().copied(), &now).map_err(|error| error.0)
    }

    #[test]
    fn numbers_go_on_from_the_highest() {
        assert_eq!(name("", &[]).unwrap(), "snap0");
        assert_eq!(name("snap%d", &["snap0", "snap7", "snapx", "snap", "other9"]).unwrap(), "snap8");
        assert_eq!(name("a-%d-b", &["a-1-b", "a-5"]).unwrap(), "a-2-b");
        assert_eq!(name("fixed", &[]).unwrap(), "fixed");
        assert_eq!(name("fixed", &["fixed"]).unwrap(), "fixed-0");
        assert_eq!(name("fixed", &["fixed", "fixed-0"]).unwrap(), "fixed-1");
        assert!(name("%d%d", &[]).unwrap_err().contains("only once"));
    }

    #[test]
    fn dates_are_those_of_go() {
        let full = "{{ creation_date|date:\"2006-01-02_15-04-05\" }}";
        assert_eq!(name(full, &[]).unwrap(), "2026-03-04_15-06-07");
        assert_eq!(name("x-{{creation_date | date: 'Jan 2 3PM'}}-%d", &[]).unwrap(), "x-Mar 4 3PM-0");
        assert_eq!(name("{{ creation_date|date:\"100%\" }}", &[]).unwrap(), "300%");
        for bad in ["{{ config }}", "{{ creation_date", "{% if x %}", "{{ creation_date|upper }}"] {
            assert!(name(bad, &[]).unwrap_err().contains("not understood"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[a-z0-9%{}|:\" 2é-]*") {
            let _ = name(&pattern, &["snap0", "é1"]);
        }

        #[test]
        fn a_name_that_is_made_is_new(pattern in "[a-z%d{}-]{0,12}", taken in proptest::collection::vec("[a-z]{0,3}[0-9]{0,21}", 0..8)) {
            let taken: Vec<&str> = taken.iter().map(String::as_str).collect();
            if let Ok(name) = name(&pattern, &taken) {
                prop_assert!(!taken.contains(&name.as_str()), "{name}");
            }
        }
    }
}
