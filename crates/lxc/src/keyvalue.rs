//! `key=value` arguments.

use anyhow::{Result, anyhow, bail};
use serde_json::{Map, Value, json};

use crate::stdin;

/// Splits `key=value`.
///
/// # Errors
/// `Bad key=value pair: …`.
pub fn pair(text: &str) -> Result<(&str, &str)> {
    text.split_once('=').ok_or_else(|| anyhow!("Bad key=value pair: {text}"))
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

/// The `config` of an object to be made, of `KEY=VALUE` words.
///
/// # Errors
/// A word without `=`, in the words of `refusal`.
pub fn config(words: &[String], refusal: fn(&str) -> String) -> Result<Map<String, Value>> {
    let mut config = Map::new();
    for word in words {
        let (key, value) = word.split_once('=').ok_or_else(|| anyhow!(refusal(word)))?;
        config.insert(key.to_owned(), json!(value));
    }
    Ok(config)
}
