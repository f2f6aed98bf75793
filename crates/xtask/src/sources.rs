//! Rules for source files: length, module text, words that must not stand in them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The longest a file may be, in lines. About 400 is the aim.
const LONGEST: usize = 550;

/// Files that are tables, and may be longer.
const TABLES: &[&str] = &["crates/lxd-api/src/", "crates/lxd-db/src/schema"];

/// What must not stand in code outside tests, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("to", "do!("), "finish it"),
    (concat!("unimple", "mented!("), "finish it"),
    (concat!("dbg", "!("), "remove it"),
    (concat!("FIX", "ME"), "do it, or open an issue"),
    (concat!("XX", "X:"), "do it, or open an issue"),
    (concat!(".unw", "rap()"), "use `expect` with the reason why it cannot happen"),
];

/// What must not stand in any file.
const NOWHERE: &[(&str, &str)] = &[
    (concat!("/wo", "rk/"), "names a path of one machine"),
    (concat!("crates", ".io"), "names a package registry"),
];

/// Crates whose code is for tests.
const TEST_CODE: &[&str] = &["crates/lxd-testkit/", "tests/"];

/// What breaks the rules.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for folder in ["crates", "tests"] {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        found.extend(problems(&name, &text).into_iter().map(|problem| format!("{name}: {problem}")));
    }
    Ok(found)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn problems(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !text.starts_with("//!") {
        found.push("does not begin with `//!` and what it is for".to_owned());
    }
    let lines = text.lines().count();
    if lines > LONGEST && !TABLES.iter().any(|table| name.starts_with(table)) {
        found.push(format!("{lines} lines; split it"));
    }
    for (word, why) in NOWHERE {
        found.extend(places(text, word).map(|line| format!("line {line}: {word}: {why}")));
    }
    if !is_test(name) {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (word, why) in FORBIDDEN {
            found.extend(places(code, word).map(|line| format!("line {line}: {word}: {why}")));
        }
    }
    found
}

fn is_test(name: &str) -> bool {
    let ends = ["/tests.rs", "_tests.rs", "/testing.rs", "/contract.rs", "/fake.rs"];
    let inside = name.contains("/tests/") || ends.iter().any(|end| name.ends_with(end));
    inside || TEST_CODE.iter().any(|folder| name.starts_with(folder))
}

/// The numbers of the lines with this word, comments of documentation left out.
fn places<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let hit = move |(_, line): &(usize, &str)| line.contains(word) && !line.trim_start().starts_with("//");
    text.lines().enumerate().filter(hit).map(|(number, _)| number + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_checked() {
        assert_eq!(problems("crates/a/src/a.rs", "//! A.\nfn a() {}\n"), Vec::<String>::new());
        assert_eq!(problems("crates/a/src/a.rs", "fn a() {}\n").len(), 1);
        let word = FORBIDDEN[5].0;
        let text = format!("//! A.\nx{word};\n// y{word}\n#[cfg(test)]\nmod tests {{ z{word} }}\n");
        assert_eq!(problems("crates/a/src/a.rs", &text).len(), 1);
        assert!(problems("crates/a/src/tests.rs", &text).is_empty());
        assert_eq!(problems("crates/a/src/a.rs", &format!("//! A.\n{}", "\n".repeat(600))).len(), 1);
    }
}
