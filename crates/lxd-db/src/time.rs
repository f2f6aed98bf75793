//! Times as they stand in the database: `2026-11-21 11:43:11.185725012+00:00`, as the reference writes them.

use chrono::{DateTime, Utc};
use rusqlite::Row;
use rusqlite::types::Type;

/// The text for a time.
pub(crate) fn store(time: DateTime<Utc>) -> String {
    let nanos = time.timestamp_subsec_nanos();
    let whole = time.format("%Y-%m-%d %H:%M:%S");
    if nanos == 0 {
        return format!("{whole}+00:00");
    }
    let fraction = format!("{nanos:09}");
    format!("{whole}.{}+00:00", fraction.trim_end_matches('0'))
}

/// The text for a time that may be missing.
pub(crate) fn store_opt(time: Option<DateTime<Utc>>) -> Option<String> {
    time.map(store)
}

/// Reads a column that may be NULL, zero or the zero time of Go, all of which mean "never".
pub(crate) fn read_opt(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let value = row.get_ref(column)?;
    match value {
        rusqlite::types::ValueRef::Null => Ok(None),
        rusqlite::types::ValueRef::Integer(seconds) => {
            Ok((seconds != 0).then(|| DateTime::from_timestamp(seconds, 0)).flatten())
        }
        _ => {
            let text = value.as_str()?;
            parse(text).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
            })
        }
    }
}

/// Reads a column that must hold a time; "never" reads as 1970.
pub(crate) fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<DateTime<Utc>> {
    Ok(read_opt(row, column)?.unwrap_or(DateTime::UNIX_EPOCH))
}

/// Accepts both the form above and RFC 3339, and bare `YYYY-MM-DD HH:MM:SS` (UTC, SQLite's CURRENT_TIMESTAMP).
fn parse(text: &str) -> Result<Option<DateTime<Utc>>, chrono::ParseError> {
    if text.is_empty() || text == "0" || text.starts_with("0001-01-01") {
        return Ok(None);
    }
    let time = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%:z"))
        .or_else(|_| DateTime::parse_from_rfc3339(&format!("{}Z", text.replacen(' ', "T", 1))))?;
    Ok(Some(time.with_timezone(&Utc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["2026-11-21 11:43:11.185725012+00:00", "2026-11-21 11:43:11+00:00"] {
            assert_eq!(store(parse(text).unwrap().unwrap()), text);
        }
    }

    #[test]
    fn reads_other_forms() {
        for text in ["2026-11-21 11:43:11", "2026-11-21T11:43:11Z", "2026-11-21T12:43:11+01:00"] {
            assert_eq!(store(parse(text).unwrap().unwrap()), "2026-11-21 11:43:11+00:00", "{text}");
        }
        assert_eq!(parse("0001-01-01 00:00:00+00:00").unwrap(), None);
        assert!(parse("yesterday").is_err());
    }
}
