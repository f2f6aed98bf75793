//! Times in the layouts of Go, which templates of images and `snapshots.pattern` use: `2006-01-02 15:04:05`.

use std::fmt::Display;

use chrono::{DateTime, TimeZone};

/// Parts of Go's reference time with what chrono calls them, longer ones first.
const PARTS: [(&str, &str); 28] = [
    ("January", "%B"),
    ("Monday", "%A"),
    ("Z07:00", "%:z"),
    ("-07:00", "%:z"),
    (".000000000", "%.9f"),
    (".000000", "%.6f"),
    (".000", "%.3f"),
    ("-0700", "%z"),
    ("2006", "%Y"),
    ("002", "%j"),
    ("Jan", "%b"),
    ("Mon", "%a"),
    ("MST", "%Z"),
    ("01", "%m"),
    ("02", "%d"),
    ("_2", "%e"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("PM", "%p"),
    ("pm", "%P"),
    ("1", "%-m"),
    ("2", "%-d"),
    ("3", "%-I"),
    ("4", "%-M"),
    ("5", "%-S"),
];

/// Formats a time as Go's `Format(layout)` does.
pub fn go_format<Z>(time: &DateTime<Z>, layout: &str) -> String
where
    Z: TimeZone<Offset: Display>,
{
    let mut out = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        if let Some((part, format)) = PARTS.iter().find(|(part, _)| rest.starts_with(part)) {
            let text = time.format(format).to_string();
            // Names of zones are not kept in offsets; the one that servers have is UTC.
            out.push_str(if *part == "MST" && text == "+00:00" { "UTC" } else { &text });
            rest = &rest[part.len()..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_of_go() {
        let time = DateTime::parse_from_rfc3339("2026-03-05T07:08:09Z").unwrap();
        for (layout, text) in [
            ("2006-01-02_15-04-05", "2026-03-05_07-08-09"),
            ("Jan _2 06 3:04PM", "Mar  5 26 7:08AM"),
            ("Monday, 02-January-2006 MST", "Thursday, 05-March-2026 UTC"),
            ("20060102", "20260305"),
        ] {
            assert_eq!(go_format(&time, layout), text);
        }
    }
}
