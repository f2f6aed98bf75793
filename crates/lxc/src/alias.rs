//! Aliases: leading words of the command line that stand for others.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::cli::Spec;
use crate::conf::Conf;

/// Aliases that exist without being defined.
const DEFAULTS: &[(&str, &str)] = &[("shell", "exec @ARGS@ -- su -l")];

/// Replaces an alias at the beginning of the line, unless the words name a command.
///
/// # Errors
/// The configuration cannot be read.
pub fn expand(root: &'static Spec, words: Vec<String>) -> Result<Vec<String>> {
    let Some(first) = words.iter().find(|word| !word.starts_with('-')) else { return Ok(words) };
    if root.sub(first).is_some_and(|sub| sub.subs.is_empty()) {
        return Ok(words);
    }
    let aliases = Conf::load().map(|conf| conf.aliases)?;
    Ok(replace(&words, &aliases).unwrap_or(words))
}

/// The replaced line; `None` when no alias fits.
fn replace(words: &[String], aliases: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let start = words.iter().position(|word| !word.starts_with('-'))?;
    let (flags, line) = words.split_at(start);
    let own = aliases.iter().map(|(name, target)| (name.as_str(), target.as_str()));
    let (name, target) = own
        .chain(DEFAULTS.iter().copied())
        .filter(|(name, _)| {
            let parts: Vec<&str> = name.split(' ').collect();
            line.len() >= parts.len() && parts.iter().zip(line).all(|(part, word)| part == word)
        })
        .max_by_key(|(name, _)| name.split(' ').count())?;
    let rest = &line[name.split(' ').count()..];
    let mut out = flags.to_vec();
    let mut placed = false;
    for part in split_words(target) {
        if part == "@ARGS@" {
            out.extend_from_slice(rest);
            placed = true;
        } else {
            out.push(part);
        }
    }
    if !placed {
        out.extend_from_slice(rest);
    }
    Some(out)
}

/// Splits at blanks, except inside quotes.
fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quote, mut open) = (None, false);
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => (quote, open) = (Some(c), true),
            (None, ' ' | '\t') => {
                if open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            (_, c) => word.push(c),
        }
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn shell_takes_its_arguments_in_the_middle() {
        assert_eq!(replace(&line("shell c1"), &BTreeMap::new()), Some(line("exec c1 -- su -l")));
        assert_eq!(replace(&line("-q shell c1"), &BTreeMap::new()), Some(line("-q exec c1 -- su -l")));
    }

    #[test]
    fn the_longest_alias_wins() {
        let aliases = [("x".to_owned(), "list".to_owned()), ("x y".to_owned(), "info -q".to_owned())].into();
        assert_eq!(replace(&line("x z"), &aliases), Some(line("list z")));
        assert_eq!(replace(&line("x y z"), &aliases), Some(line("info -q z")));
        assert_eq!(replace(&line("z"), &aliases), None);
    }

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(split_words("exec c1 -- sh -c 'a b' \"\""), ["exec", "c1", "--", "sh", "-c", "a b", ""]);
    }
}
