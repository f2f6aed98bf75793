//! `?filter=` of lists (extension `api_filtering`): `FIELD eq VALUE and not FIELD ne "A VALUE" …` over the JSON of
//! the objects. Fields are members, those of members behind dots (`properties.os`). Values are taken without regard to case
//! and may be regular expressions; clauses are taken from left to right, as the reference does.

use lxd_types::{Error, Pattern, Result};
use serde::Serialize;
use serde_json::Value;

/// The longest filter, in bytes: each clause is compared with each object.
const LONGEST: usize = 8 << 10;

/// A parsed filter; the empty one lets everything pass.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    clauses: Vec<Clause>,
}

#[derive(Clone, Debug)]
struct Clause {
    or: bool,
    not: bool,
    field: String,
    equal: bool,
    value: String,
    pattern: Pattern,
}

impl Filter {
    /// True when everything passes.
    pub fn is_empty(&self) -> bool {
        self.clauses.is_empty()
    }

    /// Parses the text of the parameter.
    ///
    /// # Errors
    /// The reference's words and status.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |why: &str| Error::internal(format!("Invalid filter: {why}"));
        if text.len() > LONGEST {
            return Err(Error::bad_request(format!("Invalid filter: longer than {LONGEST} bytes")));
        }
        let mut words = words(text).into_iter().peekable();
        let mut clauses = Vec::new();
        let mut or = false;
        while words.peek().is_some() {
            let not = words.next_if(|word| word.eq_ignore_ascii_case("not")).is_some();
            let field = words.next().ok_or_else(|| invalid("incomplete not clause"))?;
            let operator = words.next().ok_or_else(|| invalid("clause has no operator"))?;
            let equal = match operator.to_ascii_lowercase().as_str() {
                "eq" => true,
                "ne" => false,
                other => return Err(invalid(&format!("unknown operator {other:?}"))),
            };
            let value = words.next().ok_or_else(|| invalid("clause has no value"))?;
            let pattern = Pattern::ignoring_case(&value);
            clauses.push(Clause { or, not, field, equal, value, pattern });
            or = match words.next().as_deref() {
                None | Some("and") => false,
                Some("or") => true,
                Some(_) => return Err(invalid("invalid clause composition")),
            };
        }
        Ok(Self { clauses })
    }

    /// Whether an object passes.
    ///
    /// # Errors
    /// The object has no JSON.
    pub fn matches(&self, object: &impl Serialize) -> Result<bool> {
        if self.clauses.is_empty() {
            return Ok(true);
        }
        let object = serde_json::to_value(object).map_err(|error| Error::internal(error.to_string()))?;
        Ok(self.passes(&object))
    }

    /// Whether an object passes whose JSON is there.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn matches_json(&self, object: &[u8]) -> Result<bool> {
        let object = serde_json::from_slice(object).map_err(|error| Error::internal(error.to_string()))?;
        Ok(self.passes(&object))
    }

    fn passes(&self, object: &Value) -> bool {
        self.clauses.iter().enumerate().fold(true, |passed, (at, clause)| {
            let fits = clause.fits(object);
            match (at, clause.or) {
                (0, _) => fits,
                (_, true) => passed || fits,
                (_, false) => passed && fits,
            }
        })
    }
}

impl Clause {
    fn fits(&self, object: &Value) -> bool {
        let equal = member(object, &self.field).is_some_and(|value| match value {
            Value::String(text) => self.pattern.matches(text) || text.eq_ignore_ascii_case(&self.value),
            Value::Null => false,
            other => serde_json::from_str::<Value>(&self.value).is_ok_and(|value| value == *other),
        });
        (equal == self.equal) != self.not
    }
}

/// The member at a path; keys of maps may contain dots themselves.
fn member<'v>(object: &'v Value, path: &str) -> Option<&'v Value> {
    if let Some(found) = named(object, path) {
        return Some(found);
    }
    path.match_indices('.').find_map(|(at, _)| member(named(object, &path[..at])?, &path[at + 1..]))
}

/// A member by its name; else by another spelling, as in the manual's `Properties.os` and `UpdateSource.Protocol`.
fn named<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    let plain = |text: &str| text.replace('_', "").to_ascii_lowercase();
    let other = || Some(object.as_object()?.iter().find(|(key, _)| plain(key) == plain(name))?.1);
    object.get(name).or_else(other)
}

/// Splits at blanks; double quotes hold a value together.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut begun) = (false, false);
    for c in text.chars() {
        match c {
            '"' => (quoted, begun) = (!quoted, true),
            c if c.is_whitespace() && !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                    begun = false;
                }
            }
            c => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn clauses_are_taken_from_left_to_right() {
        let object = json!({"name": "a b", "public": true, "properties": {"os": "X", "a.b": "c"}});
        for (text, passes) in [
            ("", true),
            ("name eq \"a b\"", true),
            ("public eq true", true),
            ("public eq false", false),
            ("not public eq false and properties.os eq X", true),
            ("properties.a.b eq c", true),
            ("properties.os ne X or name ne z", true),
            ("Properties.os eq x", true),
            ("properties.os eq [a-x]", true),
            ("name EQ \"A B\"", true),
            ("name eq a", false),
            ("name eq ^a", true),
            ("missing eq x", false),
            ("missing ne x", true),
        ] {
            assert_eq!(Filter::parse(text).unwrap().matches(&object).unwrap(), passes, "{text}");
        }
        let error = Filter::parse("foo").unwrap_err();
        assert_eq!(error.chain(), "Invalid filter: clause has no operator");
        for bad in ["a eq", "a lt b", "a eq b xor c eq d"] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hostile_filter_is_answered() {
        let object = json!({"description": "a".repeat(60_000), "a": {"a": {"a": 1}}});
        for value in ["(".repeat(7000), "(a|b)*".repeat(1000), ".*".repeat(3000)] {
            let filter = Filter::parse(&format!("description eq {value}")).unwrap();
            let _ = filter.matches(&object).unwrap();
        }
        assert!(!Filter::parse(&format!("{} eq 1", "a.".repeat(4000))).unwrap().matches(&object).unwrap());
        assert!(Filter::parse(&"(".repeat(500_000)).is_err());
    }

    proptest! {
        #[test]
        fn any_filter_is_read(any: String, near in "((not )?[a.]{1,5} (eq|ne) [a-z(|)*\"]{1,6} (and|or)? ){0,4}") {
            let object = json!({"a": {"a": "b", "a.a": 1}, "b": [null]});
            for text in [any, near] {
                if let Ok(filter) = Filter::parse(&text) {
                    let _ = filter.matches(&object).unwrap();
                }
            }
        }
    }
}
