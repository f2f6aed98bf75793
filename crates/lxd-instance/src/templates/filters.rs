//! The filters of pongo2 that templates of images use.

use lxd_types::go_time::go_format;
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};

use super::OUTPUT_LIMIT;

/// Adds all filters.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("upper", |text: String| text.to_uppercase());
    environment.add_filter("lower", |text: String| text.to_lowercase());
    environment.add_filter("title", |text: String| words(&text));
    environment.add_filter("capfirst", |text: String| first_upper(&text));
    environment.add_filter("trim", |text: String| text.trim().to_owned());
    environment
        .add_filter("default", |value: Value, other: Value| if value.is_true() { value } else { other });
    environment.add_filter("default_if_none", |value: Value, other: Value| {
        if value.is_none() || value.is_undefined() { other } else { value }
    });
    environment.add_filter("length", |value: Value| value.len().unwrap_or(0));
    environment.add_filter("items", items);
    environment.add_filter("join", join);
    environment.add_filter("first", |value: Value| nth(&value, false));
    environment.add_filter("last", |value: Value| nth(&value, true));
    environment.add_filter("replace", replace);
    environment.add_filter("cut", |text: String, what: String| text.replace(&what, ""));
    environment.add_filter("add", plus);
    environment.add_filter("truncatechars", truncate);
    environment.add_filter("yesno", yesno);
    environment.add_filter("urlencode", |text: String| encode(&text));
    environment.add_filter("escape", |text: String| escape(&text));
    environment.add_filter("safe", |value: Value| value);
    environment.add_filter("date", |value: Value, layout: String| date(&value, &layout));
}

fn items(map: Value) -> Result<Value, Error> {
    if map.is_undefined() {
        return Ok(Value::from(Vec::<Value>::new()));
    }
    let mut pairs = Vec::new();
    for key in map.try_iter()? {
        let value = map.get_item(&key)?;
        pairs.push(Value::from(vec![key, value]));
    }
    Ok(Value::from(pairs))
}

fn join(list: Value, between: String) -> Result<String, Error> {
    let texts: Vec<String> = list.try_iter()?.map(|item| item.to_string()).collect();
    Ok(texts.join(&between))
}

fn nth(value: &Value, last: bool) -> Value {
    if let Some(text) = value.as_str() {
        let found = if last { text.chars().next_back() } else { text.chars().next() };
        return found.map(|c| Value::from(c.to_string())).unwrap_or_default();
    }
    let Ok(mut items) = value.try_iter() else { return Value::UNDEFINED };
    (if last { items.last() } else { items.next() }).unwrap_or_default()
}

fn replace(text: String, old: String, new: Option<String>) -> Result<String, Error> {
    let new = new.unwrap_or_default();
    // Each round could otherwise multiply the length.
    if text.len().saturating_mul(new.len().max(1)) > OUTPUT_LIMIT * 16 {
        return Err(Error::new(ErrorKind::InvalidOperation, "the text would be too long"));
    }
    Ok(text.replace(&old, &new))
}

fn plus(one: Value, other: Value) -> Value {
    match (i64::try_from(one.clone()), i64::try_from(other.clone())) {
        (Ok(a), Ok(b)) if one.kind() == ValueKind::Number => Value::from(a.saturating_add(b)),
        _ => Value::from(format!("{one}{other}")),
    }
}

fn truncate(text: String, length: usize) -> String {
    if text.chars().count() <= length {
        return text;
    }
    let kept: String = text.chars().take(length.saturating_sub(3)).collect();
    if length >= 3 { format!("{kept}...") } else { kept }
}

fn yesno(value: Value, words: Option<String>) -> String {
    let words = words.unwrap_or_else(|| "yes,no,maybe".to_owned());
    let mut words = words.split(',');
    let (yes, no) = (words.next().unwrap_or("yes"), words.next().unwrap_or("no"));
    let maybe = words.next().unwrap_or(no);
    let word = match () {
        () if value.is_none() || value.is_undefined() => maybe,
        () if value.is_true() => yes,
        () => no,
    };
    word.to_owned()
}

fn date(value: &Value, layout: &str) -> Result<String, Error> {
    let time = match (value.as_str(), i64::try_from(value.clone())) {
        (Some(text), _) => chrono::DateTime::parse_from_rfc3339(text).ok(),
        (None, Ok(seconds)) => chrono::DateTime::from_timestamp(seconds, 0).map(|time| time.fixed_offset()),
        (None, Err(_)) => None,
    };
    let time = time.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "the filter date needs a time"))?;
    Ok(go_format(&time, layout))
}

fn words(text: &str) -> String {
    text.split(' ').map(first_upper).collect::<Vec<_>>().join(" ")
}

fn first_upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
