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

/// How deep one match may go into itself: the stack of a thread is finite, patterns and texts come from clients.
const DEEPEST: u32 = 1000;

/// How deep groups may stand in each other.
const MOST_NESTED: usize = 50;

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
        let parsed = either(&chars, &mut at, 0).filter(|_| at == chars.len());
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
        let mut work = Work { steps: BUDGET, depth: 0 };
        if self.text.contains(['^', '$']) {
            return (0..=chars.len()).any(|start| step(node, &chars, start, &mut work, &mut |_, _| true));
        }
        step(node, &chars, 0, &mut work, &mut |end, _| end == chars.len())
    }
}

fn either(chars: &[char], at: &mut usize, nested: usize) -> Option<Node> {
    if nested > MOST_NESTED {
        return None;
    }
    let mut branches = vec![sequence(chars, at, nested)?];
    while chars.get(*at) == Some(&'|') {
        *at += 1;
        branches.push(sequence(chars, at, nested)?);
    }
    Some(alone(branches, Node::Either))
}

fn sequence(chars: &[char], at: &mut usize, nested: usize) -> Option<Node> {
    let mut items = Vec::new();
    while let Some(&c) = chars.get(*at) {
        if c == '|' || c == ')' {
            break;
        }
        let item = atom(chars, at, nested)?;
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
    Some(alone(items, Node::Seq))
}

/// The only node, or several made one.
fn alone(mut nodes: Vec<Node>, several: fn(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(node) if nodes.is_empty() => node,
        last => several(nodes.into_iter().chain(last).collect()),
    }
}

fn atom(chars: &[char], at: &mut usize, nested: usize) -> Option<Node> {
    let c = *chars.get(*at)?;
    *at += 1;
    Some(match c {
        '.' => Node::Any,
        '^' => Node::Start,
        '$' => Node::End,
        '*' | '+' | '?' => return None,
        '(' => {
            let inner = either(chars, at, nested + 1)?;
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

/// What one match may still do.
struct Work {
    steps: u32,
    depth: u32,
}

impl Work {
    /// Takes one step; false when there is none left.
    fn spend(&mut self) -> bool {
        self.steps = self.steps.saturating_sub(1);
        self.steps > 0
    }
}

type Next<'a> = &'a mut dyn FnMut(usize, &mut Work) -> bool;

/// Tries to match a node at a place and goes on with what follows; its work is bounded.
fn step(node: &Node, text: &[char], at: usize, work: &mut Work, next: Next) -> bool {
    if work.depth >= DEEPEST || !work.spend() {
        return false;
    }
    work.depth += 1;
    let fits = match node {
        Node::Seq(items) => run(items, text, at, work, next),
        Node::Either(branches) => branches.iter().any(|branch| step(branch, text, at, work, next)),
        Node::Repeat(item, least, most) if is_character(item) => {
            characters(item, *least, *most, text, at, work, next)
        }
        Node::Repeat(item, least, most) => repeat(item, *least, *most, text, at, work, next),
        simple => end_of(simple, text, at).is_some_and(|end| next(end, work)),
    };
    work.depth -= 1;
    fits
}

/// Whether a node stands for exactly one character.
fn is_character(node: &Node) -> bool {
    matches!(node, Node::Char(_) | Node::Any | Node::Class(..))
}

/// Where a character or an anchor ends that fits at a place.
fn end_of(node: &Node, text: &[char], at: usize) -> Option<usize> {
    let c = text.get(at);
    let (fits, length) = match node {
        Node::Char(wanted) => (c == Some(wanted), 1),
        Node::Any => (c.is_some(), 1),
        Node::Class(ranges, negated) => {
            let inside = |c: &char| ranges.iter().any(|(low, high)| (low..=high).contains(&c));
            (c.is_some_and(|c| inside(c) != *negated), 1)
        }
        Node::Start => (at == 0, 0),
        Node::End => (at == text.len(), 0),
        Node::Seq(_) | Node::Either(_) | Node::Repeat(..) => (false, 0),
    };
    fits.then_some(at + length)
}

fn run(items: &[Node], text: &[char], mut at: usize, work: &mut Work, next: Next) -> bool {
    for (index, item) in items.iter().enumerate() {
        // Only what can be matched in several ways needs a level of its own.
        if matches!(item, Node::Seq(_) | Node::Either(_) | Node::Repeat(..)) {
            let rest = &items[index + 1..];
            return step(item, text, at, work, &mut |end, work| run(rest, text, end, work, next));
        }
        match end_of(item, text, at) {
            Some(end) if work.spend() => at = end,
            _ => return false,
        }
    }
    next(at, work)
}

/// A repeated character: as many as there are, then fewer.
fn characters(
    item: &Node,
    least: usize,
    most: usize,
    text: &[char],
    at: usize,
    work: &mut Work,
    next: Next,
) -> bool {
    let mut end = at;
    while end - at < most && end_of(item, text, end).is_some() && work.spend() {
        end += 1;
    }
    (at.saturating_add(least)..=end).rev().any(|end| work.spend() && next(end, work))
}

fn repeat(
    item: &Node,
    least: usize,
    most: usize,
    text: &[char],
    at: usize,
    work: &mut Work,
    next: Next,
) -> bool {
    if most > 0 {
        let more = step(item, text, at, work, &mut |end, work| {
            end > at && repeat(item, least.saturating_sub(1), most.saturating_sub(1), text, end, work, next)
        });
        if more {
            return true;
        }
    }
    least == 0 && next(at, work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    #[test]
    fn huge_patterns_and_texts_do_not_exhaust_the_stack() {
        let nested = "(".repeat(200_000) + &")".repeat(200_000);
        assert!(!Pattern::new(&nested).matches("a"));
        assert!(Pattern::new(&nested).matches(&nested));
        let long = "a".repeat(30_000);
        assert!(Pattern::new(".*").matches(&long) && Pattern::new(&long).matches(&long));
        assert!(Pattern::new("a*b?").matches(&long) && Pattern::new("(a)+").matches(&long));
        // Not found, but answered.
        for hard in ["(aa)*", "(a|b)*", "((a*)*)*", &"(a?b?)".repeat(5000), &"a?".repeat(20_000)] {
            let _ = Pattern::new(hard).matches(&long);
        }
        assert!(Pattern::new("(ab|c)*").matches(&"abc".repeat(100)));
    }

    proptest! {
        #[test]
        fn any_pattern_is_matched(pattern in "[ab.*+?()|^$\\[\\]\\\\-]{0,20}", text in "[ab]{0,12}", any in "\\PC*") {
            let _ = Pattern::new(&pattern).matches(&text);
            let _ = Pattern::ignoring_case(&any).matches(&text);
        }

        #[test]
        fn a_text_without_signs_matches_itself_alone(text in "[a-zA-Z0-9 _/-]{1,30}") {
            prop_assert!(Pattern::new(&text).matches(&text));
            prop_assert!(Pattern::ignoring_case(&text).matches(&text.to_uppercase()));
            let longer = format!("{text}x");
            prop_assert!(!Pattern::new(&text).matches(&longer));
        }
    }
}
