//! YAML as the reference writes it: block style, keys in struct order, maps in natural order, strings quoted
//! only where another reader would take them for something else.

pub mod natural;
pub mod node;
mod scalar;

use serde::Serialize;

use node::{Node, NodeError};
use scalar::{Style, escape, style};

/// Column after which a text is folded at its next blank.
const WIDTH: usize = 80;

/// A value as YAML, with a newline at its end.
///
/// # Errors
/// The value has map keys that are no texts.
pub fn text<T: Serialize + ?Sized>(value: &T) -> Result<String, NodeError> {
    Ok(emit(&Node::of(value)?))
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

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
        let time: crate::Timestamp = "2026-11-21T11:44:08.5Z".parse().unwrap();
        assert_eq!(
            emit(&Node::of(&std::collections::BTreeMap::from([("t", time)])).unwrap()),
            "t: 2026-11-21T11:44:08.5Z\n"
        );
    }

    /// Any JSON, with the texts that YAML has trouble with; keys as long as the writer's may be.
    fn json() -> impl Strategy<Value = Value> {
        let texts = || {
            prop_oneof![
                any::<String>(),
                "[-a-z0-9 :#'\"|>&*!%@,.?~\\n\\t\\r\\\\{}\\[\\]]{0,24}",
                "([a-z]{1,9} {1,2}){8,30}"
            ]
        };
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            texts().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[-a-z0-9 :#'\"|\\n.~]{0,12}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in json()) {
            let text = super::text(&value).unwrap();
            let read: Value = serde_saphyr::from_str(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
            prop_assert_eq!(read, value, "{}", text);
        }
    }
}
