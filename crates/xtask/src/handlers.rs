//! What the handlers of the REST API read and answer, found in their source: the function itself, and those of the
//! server's API modules that it calls. rustfmt sees to it that functions begin and end at the start of a line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// The crate's name in the paths of its functions.
const CRATE: &str = "lxd_server";

/// What one handler reads and answers.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Facts {
    /// First sentence of the handler's comment.
    pub summary: Option<String>,
    /// Names of query parameters.
    pub query: BTreeSet<String>,
    /// `X-LXD-*` headers of the request.
    pub headers: BTreeSet<String>,
    /// The project of the request counts.
    pub project: bool,
    /// `If-Match` is looked at.
    pub if_match: bool,
    /// The answer has an `ETag`.
    pub etag: bool,
    /// The body may be JSON.
    pub json: bool,
    /// The body may be bytes.
    pub bytes: bool,
    /// The body may be a form of several parts.
    pub form: bool,
    /// Ways to answer, besides errors.
    pub answers: BTreeSet<Answer>,
}

/// A way to answer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Answer {
    /// The connection becomes a websocket.
    Websocket,
    /// A result.
    Sync,
    /// A thing was made; the answer tells its URL.
    Created,
    /// An operation was started.
    Async,
    /// Bytes without an envelope.
    Raw,
}

/// Words of the source and what they mean.
const ANSWERS: &[(&str, Answer)] = &[
    (".websocket(", Answer::Websocket),
    ("Reply::json(", Answer::Sync),
    ("Reply::empty(", Answer::Sync),
    ("Reply::sync_bytes(", Answer::Sync),
    ("Reply::created(", Answer::Created),
    ("Reply::operation(", Answer::Async),
    ("Reply::file(", Answer::Raw),
    ("Reply::stream(", Answer::Raw),
    ("Reply::raw(", Answer::Raw),
];

/// The modules of the server's API.
pub struct Sources {
    /// Path of a module, and its text without its tests.
    modules: BTreeMap<String, String>,
}

impl Sources {
    /// Reads them.
    pub fn read(root: &Path) -> Result<Self> {
        let mut modules = BTreeMap::new();
        collect(&root.join("crates/lxd-server/src/api"), &format!("{CRATE}::api"), &mut modules)?;
        Ok(Self { modules })
    }

    /// What the function with this path reads and answers.
    pub fn facts(&self, function: &str) -> Result<Facts> {
        let (module, name) = function.rsplit_once("::").context("the path of a function")?;
        let Some((comment, _)) = self.function(module, name) else {
            bail!(
                "{function}: not found; handlers of the route table are plain functions of the API's modules"
            );
        };
        let mut facts = Facts { summary: first_sentence(&comment), ..Facts::default() };
        let mut open = vec![(module.to_owned(), name.to_owned())];
        let mut seen = BTreeSet::new();
        while let Some((module, name)) = open.pop() {
            if !seen.insert((module.clone(), name.clone())) {
                continue;
            }
            if let Some((_, body)) = self.function(&module, &name) {
                facts.look(&body);
                open.extend(self.calls(&module, &body));
            }
        }
        Ok(facts)
    }

    /// Comment and text of a function.
    fn function(&self, module: &str, name: &str) -> Option<(String, String)> {
        let mut comment = Vec::new();
        let mut lines = self.modules.get(module)?.lines();
        let begins = [format!("fn {name}("), format!("fn {name}<")];
        while let Some(line) = lines.next() {
            let is_item = !line.starts_with([' ', '/', '#', '}']);
            if is_item && begins.iter().any(|begin| line.contains(begin)) {
                let body: Vec<&str> = lines.take_while(|line| *line != "}").collect();
                return Some((comment.join(" "), body.join("\n")));
            }
            match line.strip_prefix("/// ") {
                Some(text) => comment.push(text),
                None => comment.clear(),
            }
        }
        None
    }

    /// True when the module says `use super::NAME`.
    fn imports_from_above(&self, module: &str, name: &str) -> bool {
        let text = self.modules.get(module).map(String::as_str).unwrap_or_default();
        let mut imported = text.lines().filter_map(|line| line.strip_prefix("use super::"));
        imported.any(|names| {
            names.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).any(|word| word == name)
        })
    }

    /// The functions of the API's modules that this text of a module calls.
    fn calls(&self, module: &str, text: &str) -> Vec<(String, String)> {
        let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let mut found = Vec::new();
        for (at, _) in text.match_indices('(') {
            let before = &text[..at];
            let start = before.rfind(|c| !is_path(c)).map_or(0, |last| last + 1);
            let path = &before[start..];
            if path.is_empty() || before[..start].ends_with('.') {
                continue;
            }
            let (prefix, name) = path.rsplit_once("::").unwrap_or(("", path));
            let place = match prefix {
                "" if self.imports_from_above(module, name) => place_of(module, "super"),
                _ => place_of(module, prefix),
            };
            let place = place.filter(|place| self.function(place, name).is_some());
            found.extend(place.map(|place| (place, name.to_owned())));
        }
        found
    }
}

/// The module that a name with this prefix, in a function of this module, is of. Other crates have modules of the same
/// names as ours: what is not plainly ours is not followed.
fn place_of(module: &str, prefix: &str) -> Option<String> {
    if let Some(rest) = prefix.strip_prefix("crate::") {
        return Some(format!("{CRATE}::{rest}"));
    }
    if let Some(rest) = prefix.strip_prefix("super") {
        let (parent, _) = module.rsplit_once("::")?;
        return Some(format!("{parent}{rest}"));
    }
    Some(if prefix.is_empty() { module.to_owned() } else { format!("{module}::{prefix}") })
}

impl Facts {
    fn look(&mut self, body: &str) {
        for call in ["query(\"", "query_bool(\""] {
            self.query.extend(literals(body, call));
        }
        for (call, name) in
            [(".recursion()", "recursion"), (".all_projects()", "all-projects"), (".this_member()", "target")]
        {
            if body.contains(call) {
                self.query.insert(name.to_owned());
            }
        }
        // `header("x-lxd-…`, or a closure over it; a tuple with such a name is a header of the answer.
        for (at, _) in body.match_indices("(\"x-lxd-") {
            if body[..at].ends_with(|c: char| c.is_ascii_alphanumeric()) {
                self.headers.extend(body[at + 2..].split('"').next().map(str::to_owned));
            }
        }
        self.project |= body.contains(".permit()") || body.contains("cx.project");
        self.if_match |= body.contains(".if_match(") || body.contains("etag::check(");
        self.etag |= body.contains(".etag(") || body.contains("header::ETAG");
        self.json |=
            ["cx.json", "cx.patch(", "JSON_LIMIT", "body::json("].iter().any(|word| body.contains(word));
        self.bytes |=
            body.contains(".stream()") || (body.contains(".bytes(") && !body.contains("JSON_LIMIT"));
        self.form |= body.contains("Form::new(");
        let said = ANSWERS.iter().filter(|(word, _)| body.contains(word));
        self.answers.extend(said.map(|(_, answer)| *answer));
    }
}

/// The texts that stand behind a call with a text.
fn literals<'a>(body: &'a str, call: &'a str) -> impl Iterator<Item = String> + 'a {
    body.match_indices(call)
        .filter_map(move |(at, _)| body[at + call.len()..].split('"').next().map(str::to_owned))
}

fn first_sentence(comment: &str) -> Option<String> {
    let sentence = comment.split(". ").next().unwrap_or_default().trim_end_matches('.');
    (!sentence.is_empty()).then(|| sentence.replace('`', ""))
}

fn collect(folder: &Path, module: &str, modules: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let below = format!("{module}::{stem}");
        if path.is_dir() {
            collect(&path, &below, modules)?;
        } else {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            modules.insert(if stem == "mod" { module.to_owned() } else { below }, code);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPPER: &str = "//! U.\n\nfn key(cx: &Ctx) -> Key {\n    cx.query(\"path\")\n}\n";
    const LOWER: &str = "\
//! L.

/// Changes it. More words.
pub async fn put(mut cx: Ctx) -> Result<Reply> {
    let wanted = cx.json().await?;
    if other.fine() {
        return change(&cx, wanted);
    }
    Reply::operation(&start())
}

fn change(cx: &Ctx) -> Result<Reply> {
    cx.if_match(&super::key(cx))?;
    Ok(Reply::empty())
}

fn unused(cx: &Ctx) {
    cx.recursion();
}
";

    #[test]
    fn a_handler_is_followed_into_what_it_calls() {
        let module = |name: &str, text: &str| (format!("{CRATE}::api::{name}"), text.to_owned());
        let sources = Sources { modules: BTreeMap::from([module("u", UPPER), module("u::l", LOWER)]) };
        let facts = sources.facts(&format!("{CRATE}::api::u::l::put")).unwrap();
        let expected = Facts {
            summary: Some("Changes it".to_owned()),
            query: BTreeSet::from(["path".to_owned()]),
            if_match: true,
            json: true,
            answers: BTreeSet::from([Answer::Sync, Answer::Async]),
            ..Facts::default()
        };
        assert_eq!(facts, expected);
        assert!(sources.facts(&format!("{CRATE}::api::u::l::nothing")).is_err());
    }
}
