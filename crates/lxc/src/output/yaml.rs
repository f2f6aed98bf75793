//! YAML as the reference writes it: block style, keys in struct order, maps in natural order, strings quoted
//! only where another reader would take them for something else.

use super::node::Node;

/// Column after which a text is folded at its next blank.
const WIDTH: usize = 80;

/// Writes a document, with a newline at its end.
pub fn emit(node: &Node) -> String {
    let mut out = Writer { text: String::new(), column: 0 };
    match node {
        Node::Map(items) if !items.is_empty() => out.map(items, 0, Start::Line),
        Node::Seq(items) if !items.is_empty() => out.seq(items, 0),
        other => {
            out.leaf(other, 0);
            out.newline();
        }
    }
    out.text
}

/// Where the first key of a map stands.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    /// On a line of its own.
    Line,
    /// Behind the `- ` of a list item.
    Item,
}

struct Writer {
    text: String,
    column: usize,
}

impl Writer {
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.chars().count();
    }

    fn newline(&mut self) {
        self.text.push('\n');
        self.column = 0;
    }

    fn indent(&mut self, indent: usize) {
        if self.column > 0 {
            self.newline();
        }
        self.put(&" ".repeat(indent));
    }

    fn map(&mut self, items: &[(String, Node)], indent: usize, start: Start) {
        for (index, (key, value)) in items.iter().enumerate() {
            if index > 0 || start == Start::Line {
                self.indent(indent);
            }
            self.key(key);
            match value {
                Node::Map(inner) if !inner.is_empty() => {
                    self.put(":");
                    self.newline();
                    self.map(inner, indent + 2, Start::Line);
                }
                Node::Seq(inner) if !inner.is_empty() => {
                    self.put(":");
                    self.newline();
                    self.seq(inner, indent);
                }
                other => {
                    self.put(": ");
                    self.leaf(other, indent + 2);
                    self.newline();
                }
            }
        }
    }

    fn seq(&mut self, items: &[Node], indent: usize) {
        for item in items {
            self.indent(indent);
            self.put("- ");
            match item {
                Node::Map(inner) if !inner.is_empty() => self.map(inner, indent + 2, Start::Item),
                Node::Seq(inner) if !inner.is_empty() => self.nested(inner, indent + 2),
                other => {
                    self.leaf(other, indent + 2);
                    self.newline();
                }
            }
        }
    }

    /// A list as a list item: its first item stands on the same line.
    fn nested(&mut self, items: &[Node], indent: usize) {
        let mut inner = Writer { text: String::new(), column: 0 };
        inner.seq(items, indent);
        self.text.push_str(inner.text.trim_start());
        self.column = 0;
    }

    fn key(&mut self, key: &str) {
        match style(key) {
            Style::Plain if !key.is_empty() => self.put(key),
            Style::Single => self.put(&format!("'{}'", key.replace('\'', "''"))),
            _ => self.double(key, None),
        }
    }

    fn leaf(&mut self, node: &Node, indent: usize) {
        match node {
            Node::Map(_) => self.put("{}"),
            Node::Seq(_) => self.put("[]"),
            Node::Null => self.put("null"),
            Node::Plain(text) => self.put(text),
            Node::Text(text) => match style(text) {
                Style::Plain => self.folded(text, indent),
                Style::Single => {
                    self.put("'");
                    self.folded(&text.replace('\'', "''"), indent);
                    self.put("'");
                }
                Style::Double => self.double(text, Some(indent)),
                Style::Literal => self.literal(text, indent),
            },
        }
    }

    /// Text broken at single blanks beyond the width.
    fn folded(&mut self, text: &str, indent: usize) {
        let chars: Vec<char> = text.chars().collect();
        let mut spaces = false;
        for (index, &c) in chars.iter().enumerate() {
            let next_blank = chars.get(index + 1) == Some(&' ');
            let edge = index == 0 || index + 1 == chars.len();
            if c == ' ' && !spaces && self.column > WIDTH && !edge && !next_blank {
                self.newline();
                self.put(&" ".repeat(indent));
            } else {
                self.text.push(c);
                self.column += 1;
            }
            spaces = c == ' ';
        }
    }

    /// Text in double quotes; folded when there is an indent.
    fn double(&mut self, text: &str, indent: Option<usize>) {
        self.put("\"");
        let chars: Vec<char> = text.chars().collect();
        let mut spaces = false;
        for (index, &c) in chars.iter().enumerate() {
            if c != ' ' {
                self.put(&escape(c));
                spaces = false;
                continue;
            }
            match indent {
                Some(indent) if !spaces && self.column > WIDTH && index > 0 && index + 1 < chars.len() => {
                    self.newline();
                    self.put(&" ".repeat(indent));
                    if chars[index + 1] == ' ' {
                        self.put("\\");
                    }
                }
                _ => self.put(" "),
            }
            spaces = true;
        }
        self.put("\"");
    }

    /// A literal block; its last newline is written by the caller.
    fn literal(&mut self, text: &str, indent: usize) {
        self.put("|");
        if text.starts_with([' ', '\n']) {
            self.put("2");
        }
        let body = text.strip_suffix('\n');
        match body {
            None => self.put("-"),
            Some(rest) if rest.ends_with('\n') || rest.is_empty() => self.put("+"),
            Some(_) => {}
        }
        for line in body.unwrap_or(text).split('\n') {
            self.newline();
            if !line.is_empty() {
                self.put(&" ".repeat(indent));
                self.put(line);
            }
        }
    }
}

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

fn style(text: &str) -> Style {
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

fn escape(c: char) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> String {
        emit(&Node::Map(vec![("k".into(), Node::Text(text.into()))]))
    }

    #[test]
    fn typed_looking_texts_are_quoted() {
        for typed in [
            "true",
            "Yes",
            "off",
            "y",
            "1",
            "1.0",
            "1e3",
            "1e+3",
            "0755",
            "0x1f",
            "null",
            "~",
            "",
            "2026-01-01",
            "1:30",
            "-.inf",
            ".5",
            "+1",
            "1_000",
            "2026-01-01T00:00:00Z",
        ] {
            assert_eq!(text(typed), format!("k: \"{typed}\"\n"));
        }
        for plain in
            ["yEs", "1.2.3", "it's", "é☃", "a:b", "a#b", "08.x", "inf", "=", "<<", "1e", "a b", "-x", "?x"]
        {
            assert_eq!(text(plain), format!("k: {plain}\n"), "{plain}");
        }
    }

    #[test]
    fn indicators_and_blanks_at_the_edges_are_quoted() {
        for quoted in ["a: b", "*", "- x", " lead", "trail ", "[a]", "# c", "a #b", "'x'", ":", "@a", "---"] {
            assert_eq!(text(quoted), format!("k: '{}'\n", quoted.replace('\'', "''")));
        }
        assert_eq!(text("a\tb"), "k: \"a\\tb\"\n");
        assert_eq!(text("x \ny"), "k: \"x \\ny\"\n");
    }

    #[test]
    fn several_lines_become_a_block() {
        assert_eq!(text("a\n\n  b\n"), "k: |\n  a\n\n    b\n");
        assert_eq!(text("a\nb"), "k: |-\n  a\n  b\n");
        assert_eq!(text("a\n\n"), "k: |+\n  a\n\n");
        assert_eq!(text(" a\nb"), "k: |2-\n   a\n  b\n");
    }

    #[test]
    fn long_texts_are_folded_at_blanks() {
        let long = "word ".repeat(20) + "end";
        let expected = format!("k: {}\n  {}end\n", "word ".repeat(16).trim_end(), "word ".repeat(4));
        assert_eq!(text(&long), expected);
    }

    #[test]
    fn structure() {
        let list = Node::Seq(vec![
            Node::Map(vec![
                ("a".into(), Node::Plain("1".into())),
                ("b".into(), Node::Seq(vec![Node::Text("x".into())])),
            ]),
            Node::Map(Vec::new()),
            Node::Null,
        ]);
        let node = Node::Map(vec![("list".into(), list), ("none".into(), Node::Seq(Vec::new()))]);
        assert_eq!(emit(&node), "list:\n- a: 1\n  b:\n  - x\n- {}\n- null\nnone: []\n");
        assert_eq!(emit(&Node::Map(Vec::new())), "{}\n");
    }

    #[test]
    fn times_are_not_quoted() {
        let time: lxd_api::Timestamp = "2026-11-21T11:44:08.5Z".parse().unwrap();
        assert_eq!(
            emit(&Node::of(&std::collections::BTreeMap::from([("t", time)])).unwrap()),
            "t: 2026-11-21T11:44:08.5Z\n"
        );
    }
}
