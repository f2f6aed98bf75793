//! Which quotes a text needs in YAML, by the rules of the reference's writer (YAML 1.1).

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Style {
    /// As it is.
    Plain,
    /// In single quotes.
    Single,
    /// In double quotes, with escapes.
    Double,
    /// As a block behind `|`.
    Literal,
}

/// How the reference writes a text.
pub fn style(text: &str) -> Style {
    let facts = Facts::of(text);
    if text.contains('\n') {
        return if facts.block_ok { Style::Literal } else { Style::Double };
    }
    if looks_typed(text) {
        return Style::Double;
    }
    match (facts.plain_ok, facts.single_ok) {
        (true, _) => Style::Plain,
        (false, true) => Style::Single,
        _ => Style::Double,
    }
}

/// What a text contains, as far as quoting depends on it.
struct Facts {
    plain_ok: bool,
    single_ok: bool,
    block_ok: bool,
}

impl Facts {
    fn of(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let last = chars.len().saturating_sub(1);
        let (mut indicator, mut special, mut space_break, mut break_space) = (false, false, false, false);
        for (index, &c) in chars.iter().enumerate() {
            let before = index.checked_sub(1).map(|i| chars[i]);
            let blank_after = chars.get(index + 1).is_none_or(|&next| is_blank(next));
            indicator |= match c {
                ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => {
                    index == 0
                }
                '#' => before.is_none_or(is_blank),
                ':' => blank_after,
                '?' | '-' => index == 0 && blank_after,
                _ => false,
            };
            special |= !is_printable(c);
            space_break |= c == '\n' && before == Some(' ');
            break_space |= c == ' ' && before == Some('\n');
        }
        indicator |= text.starts_with("---") || text.starts_with("...");
        let edge = |index: usize, chars_of: &[char]| chars.get(index).is_some_and(|c| chars_of.contains(c));
        let hard = space_break || special;
        let breaks = chars.iter().any(|c| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}'));
        Self {
            plain_ok: !indicator && !hard && !breaks && !edge(0, &[' ', '\n']) && !edge(last, &[' ', '\n']),
            single_ok: !hard && !break_space,
            block_ok: !hard && !edge(last, &[' ']),
        }
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_printable(c: char) -> bool {
    matches!(c,
        '\n' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && !matches!(c, '\u{feff}')
}

/// A character inside double quotes.
pub fn escape(c: char) -> String {
    match c {
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        '\0' => "\\0".into(),
        '\x07' => "\\a".into(),
        '\x08' => "\\b".into(),
        '\t' => "\\t".into(),
        '\n' => "\\n".into(),
        '\x0b' => "\\v".into(),
        '\x0c' => "\\f".into(),
        '\r' => "\\r".into(),
        '\x1b' => "\\e".into(),
        '\u{85}' => "\\N".into(),
        '\u{a0}' => "\\_".into(),
        '\u{2028}' => "\\L".into(),
        '\u{2029}' => "\\P".into(),
        c if is_printable(c) => c.to_string(),
        c if u32::from(c) <= 0xff => format!("\\x{:02X}", u32::from(c)),
        c if u32::from(c) <= 0xffff => format!("\\u{:04X}", u32::from(c)),
        c => format!("\\U{:08X}", u32::from(c)),
    }
}

/// True for what a YAML 1.1 reader takes for a boolean, null, number or date.
fn looks_typed(text: &str) -> bool {
    const WORDS: &[&str] = &["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    const MARKS: &[&str] = &["", "~"];
    if MARKS.contains(&text) {
        return true;
    }
    let lower = text.to_lowercase();
    if WORDS.contains(&lower.as_str()) {
        let upper = text.to_uppercase();
        let capital = upper.chars().next().map(String::from).unwrap_or_default() + &lower[1..];
        return [lower, upper, capital].iter().any(|form| form == text);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
        && (is_integer(unsigned) || is_float(unsigned) || is_date(text) || is_base60(unsigned))
}

fn is_integer(text: &str) -> bool {
    let plain: String = text.chars().filter(|&c| c != '_').collect();
    let radix = |prefix: [&str; 2], radix| {
        prefix
            .iter()
            .find_map(|p| plain.strip_prefix(p))
            .is_some_and(|digits| u64::from_str_radix(digits, radix).is_ok() && !digits.starts_with('+'))
    };
    if plain.starts_with('.') || plain.is_empty() {
        return false;
    }
    radix(["0x", "0X"], 16)
        || radix(["0b", "0B"], 2)
        || radix(["0o", "0O"], 8)
        || if plain.len() > 1 && plain.starts_with('0') {
            u64::from_str_radix(&plain, 8).is_ok()
        } else {
            plain.bytes().all(|b| b.is_ascii_digit())
        }
}

/// Digits with a point or an exponent.
fn is_float(text: &str) -> bool {
    let plain: String = text.chars().filter(|&c| c != '_').collect();
    let (mantissa, exponent) = match plain.find(['e', 'E']) {
        Some(at) => (&plain[..at], Some(&plain[at + 1..])),
        None => (plain.as_str(), None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_ok = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent_ok
}

/// `2026-1-2`, perhaps with a time behind it.
fn is_date(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let number = |text: &str, max: usize| {
        !text.is_empty() && text.len() <= max && text.bytes().all(|b| b.is_ascii_digit())
    };
    let [year, month, day] = parts[..] else { return false };
    let in_range = |text: &str, max: u8| text.parse::<u8>().is_ok_and(|n| (1..=max).contains(&n));
    if year.len() != 4 || !number(year, 4) || !number(month, 2) || !number(day, 2) {
        return false;
    }
    let valid = in_range(month, 12) && in_range(day, 31);
    valid
        && time.is_none_or(|time| {
            time.len() >= 5 && time.bytes().next().is_some_and(|b| b.is_ascii_digit()) && time.contains(':')
        })
}

/// `1:30`, which old readers take for a number of minutes.
fn is_base60(text: &str) -> bool {
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let head_ok = first.starts_with(|c: char| c.is_ascii_digit())
        && first.chars().all(|c| c.is_ascii_digit() || c == '_');
    let group = |text: &str| {
        matches!(text.as_bytes(), [b] if b.is_ascii_digit())
            || matches!(text.as_bytes(), [a, b] if (b'0'..=b'5').contains(a) && b.is_ascii_digit())
    };
    let Some((last, middle)) = rest.split_last() else { return false };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    head_ok
        && middle.iter().all(|g| group(g))
        && group(last)
        && fraction.chars().all(|c| c.is_ascii_digit() || c == '_')
}
