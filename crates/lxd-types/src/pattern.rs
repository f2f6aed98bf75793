//! A small regular expression matcher: enough for the filters of the lists, without a dependency.
//!
//! Literals, `.`, classes, groups, `|`, `* + ?` and the anchors. A pattern stands for the whole text, unless it has
//! an anchor of its own (`^c`): then it is searched for. The work that one match may take is bounded.

/// A pattern with its own text.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    parsed: Option<Node>,
    ignores_case: bool,
}

/// Steps that one match may take.
const BUDGET: u32 = 100_000;

#[derive(Clone, Debug)]
enum Node {
    Char(char),
    Any,
    Class(Vec<(char, char)>, bool),
    Start,
    End,
    Seq(Vec<Node>),
    Either(Vec<Node>),
    Repeat(Box<Node>, usize, usize),
}

impl Pattern {
    /// A pattern; one that cannot be read matches only its own text.
    pub fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut at = 0;
        let parsed = either(&chars, &mut at).filter(|_| at == chars.len());
        Self { text: text.to_owned(), parsed, ignores_case: false }
    }

    /// A pattern for which `a` and `A` are the same.
    pub fn ignoring_case(text: &str) -> Self {
        Self { ignores_case: true, ..Self::new(&text.to_lowercase()) }
    }

    /// The text it was made from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True when the pattern describes a text.
    pub fn matches(&self, text: &str) -> bool {
        if self.ignores_case { self.fits(&text.to_lowercase()) } else { self.fits(text) }
    }

    fn fits(&self, text: &str) -> bool {
        let Some(node) = &self.parsed else { return text == self.text };
        let chars: Vec<char> = text.chars().collect();
        let mut budget = BUDGET;
        if self.text.contains(['^', '$']) {
            return (0..=chars.len()).any(|start| step(node, &chars, start, &mut budget, &mut |_, _| true));
        }
        step(node, &chars, 0, &mut budget, &mut |end, _| end == chars.len())
    }
}

fn either(chars: &[char], at: &mut usize) -> Option<Node> {
    let mut branches = vec![sequence(chars, at)?];
    while chars.get(*at) == Some(&'|') {
        *at += 1;
        branches.push(sequence(chars, at)?);
    }
    Some(Node::Either(branches))
}

fn sequence(chars: &[char], at: &mut usize) -> Option<Node> {
    let mut items = Vec::new();
    while let Some(&c) = chars.get(*at) {
        if c == '|' || c == ')' {
            break;
        }
        let item = atom(chars, at)?;
        let (least, most) = match chars.get(*at) {
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some('?') => (0, 1),
            _ => {
                items.push(item);
                continue;
            }
        };
        *at += 1;
        items.push(Node::Repeat(Box::new(item), least, most));
    }
    Some(Node::Seq(items))
}

fn atom(chars: &[char], at: &mut usize) -> Option<Node> {
    let c = *chars.get(*at)?;
    *at += 1;
    Some(match c {
        '.' => Node::Any,
        '^' => Node::Start,
        '$' => Node::End,
        '*' | '+' | '?' => return None,
        '(' => {
            let inner = either(chars, at)?;
            if chars.get(*at) != Some(&')') {
                return None;
            }
            *at += 1;
            inner
        }
        '[' => class(chars, at)?,
        '\\' => {
            let escaped = *chars.get(*at)?;
            *at += 1;
            match escaped {
                'd' => Node::Class(vec![('0', '9')], false),
                'w' => Node::Class(vec![('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')], false),
                's' => Node::Class(vec![(' ', ' '), ('\t', '\t')], false),
                other => Node::Char(other),
            }
        }
        other => Node::Char(other),
    })
}

fn class(chars: &[char], at: &mut usize) -> Option<Node> {
    let negated = chars.get(*at) == Some(&'^');
    *at += usize::from(negated);
    let mut ranges = Vec::new();
    while let Some(&c) = chars.get(*at) {
        *at += 1;
        if c == ']' && !ranges.is_empty() {
            return Some(Node::Class(ranges, negated));
        }
        let low = if c == '\\' {
            *at += 1;
            *chars.get(*at - 1)?
        } else {
            c
        };
        if chars.get(*at) == Some(&'-') && chars.get(*at + 1).is_some_and(|&next| next != ']') {
            ranges.push((low, chars[*at + 1]));
            *at += 2;
        } else {
            ranges.push((low, low));
        }
    }
    None
}

type Next<'a> = &'a mut dyn FnMut(usize, &mut u32) -> bool;

/// Tries to match a node at a place and goes on with what follows; the budget bounds the work.
fn step(node: &Node, text: &[char], at: usize, budget: &mut u32, next: Next) -> bool {
    if *budget == 0 {
        return false;
    }
    *budget -= 1;
    let one = |fits: bool, budget: &mut u32, next: Next| fits && next(at + 1, budget);
    match node {
        Node::Char(c) => one(text.get(at) == Some(c), budget, next),
        Node::Any => one(at < text.len(), budget, next),
        Node::Class(ranges, negated) => {
            let inside = |c: &char| ranges.iter().any(|(low, high)| (low..=high).contains(&c));
            one(text.get(at).is_some_and(|c| inside(c) != *negated), budget, next)
        }
        Node::Start => at == 0 && next(at, budget),
        Node::End => at == text.len() && next(at, budget),
        Node::Seq(items) => run(items, text, at, budget, next),
        Node::Either(branches) => branches.iter().any(|branch| step(branch, text, at, budget, next)),
        Node::Repeat(item, least, most) => repeat(item, *least, *most, text, at, budget, next),
    }
}

fn run(items: &[Node], text: &[char], at: usize, budget: &mut u32, next: Next) -> bool {
    match items.split_first() {
        None => next(at, budget),
        Some((first, rest)) => {
            step(first, text, at, budget, &mut |end, budget| run(rest, text, end, budget, next))
        }
    }
}

fn repeat(
    item: &Node,
    least: usize,
    most: usize,
    text: &[char],
    at: usize,
    budget: &mut u32,
    next: Next,
) -> bool {
    if most > 0 {
        let more = step(item, text, at, budget, &mut |end, budget| {
            end > at && repeat(item, least.saturating_sub(1), most.saturating_sub(1), text, end, budget, next)
        });
        if more {
            return true;
        }
    }
    least == 0 && next(at, budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        for (pattern, text, expected) in [
            ("c[12]", "c1", true),
            ("c[12]", "c3", false),
            ("^c.*$", "c33", true),
            ("^c", "c33", true),
            ("3$", "c33", true),
            ("c", "c33", false),
            ("C33", "c33", false),
            ("(a|b)+c?", "abab", true),
            ("(a|b)+c", "abab", false),
            ("[^0-9]+", "abc", true),
            ("a\\.b", "a.b", true),
            ("a\\.b", "axb", false),
            ("(", "(", true),
            ("(a*)*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} {text}");
        }
        assert!(Pattern::ignoring_case("BusyBox").matches("bUSYbOX"));
    }
}
