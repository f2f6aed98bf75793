//! `key=value` arguments.

use anyhow::{Result, bail};

use crate::stdin;

/// Splits `key=value`.
///
/// # Errors
/// `Bad key=value pair: …`.
pub fn pair(text: &str) -> Result<(&str, &str)> {
    text.split_once('=').ok_or_else(|| anyhow::anyhow!("Bad key=value pair: {text}"))
}

/// Pairs of a `set` command: `KEY VALUE` (the old form) or any number of `KEY=VALUE`; the value `-` reads
/// standard input.
///
/// # Errors
/// A word without `=`.
pub fn settings(words: &[String]) -> Result<Vec<(String, String)>> {
    if let [key, value] = words
        && !key.contains('=')
    {
        return Ok(vec![(key.clone(), stdin::value(value)?)]);
    }
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), stdin::value(value)?)),
            None => bail!("Invalid key=value configuration: {word}"),
        })
        .collect()
}
