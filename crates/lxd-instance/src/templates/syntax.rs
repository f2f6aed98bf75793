//! From pongo2's syntax to minijinja's. Only what stands inside `{{ }}` and `{% %}` is looked at; strings there are
//! copied as they are.

use super::TemplateError;

/// Tags that could read files.
const FORBIDDEN: [&str; 7] = ["include", "extends", "import", "from", "ssi", "macro", "block"];

/// Tags that mean nothing here: nothing is escaped, and blanks are kept.
const IGNORED: [&str; 4] = ["autoescape", "endautoescape", "spaceless", "endspaceless"];

/// Translates a template.
pub(super) fn translate(source: &str) -> Result<String, TemplateError> {
    let mut out = String::with_capacity(source.len() + 64);
    let mut rest = source;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = match rest.get(..2) {
            Some("{#") => after(rest, "#}")?,
            Some("{{") => tag(rest, "}}", &mut out)?,
            Some("{%") if tag_name(rest) == "comment" => comment(rest)?,
            Some("{%") => tag(rest, "%}", &mut out)?,
            _ => {
                out.push('{');
                &rest[1..]
            }
        };
    }
    out.push_str(rest);
    Ok(out)
}

fn after<'s>(text: &'s str, end: &str) -> Result<&'s str, TemplateError> {
    let at = text.find(end).ok_or_else(|| TemplateError::Wrong(format!("{end:?} is missing")))?;
    Ok(&text[at + end.len()..])
}

/// Leaves out everything up to `{% endcomment %}`.
fn comment(mut rest: &str) -> Result<&str, TemplateError> {
    loop {
        rest = after(rest, "%}")?;
        let at = rest.find("{%").ok_or_else(|| TemplateError::Wrong("endcomment is missing".to_owned()))?;
        rest = &rest[at..];
        if tag_name(rest) == "endcomment" {
            return after(rest, "%}");
        }
    }
}

/// The first word of a tag.
fn tag_name(text: &str) -> &str {
    let inner = text[2..].trim_start_matches(['-', '+']).trim_start();
    let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
    &inner[..end]
}

/// Translates one tag and returns what stands behind it.
fn tag<'s>(text: &'s str, end: &str, out: &mut String) -> Result<&'s str, TemplateError> {
    let length = tag_length(text, end)?;
    let (whole, rest) = text.split_at(length);
    let name = tag_name(whole);
    if end == "%}" {
        if FORBIDDEN.contains(&name) {
            return Err(TemplateError::Forbidden(name.to_owned()));
        }
        if IGNORED.contains(&name) {
            return Ok(rest);
        }
    }
    let inner = expression(&whole[2..length - 2]);
    out.push_str(&whole[..2]);
    out.push_str(&if end == "%}" && name == "for" { map_loop(&inner) } else { inner });
    out.push_str(end);
    Ok(rest)
}

/// Bytes up to the end of a tag; an end inside a string does not count.
fn tag_length(text: &str, end: &str) -> Result<usize, TemplateError> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(2) {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if text[at..].starts_with(end) => return Ok(at + end.len()),
            None => {}
        }
    }
    Err(TemplateError::Wrong(format!("{end:?} is missing")))
}

/// Operators (`&&`, `||`, `!`) and filter arguments (`|name:arg`).
fn expression(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '"' | '\'' => string_length(rest),
            '|' if rest.starts_with("||") => {
                out.push_str(" or ");
                rest = &rest[2..];
                continue;
            }
            '&' if rest.starts_with("&&") => {
                out.push_str(" and ");
                rest = &rest[2..];
                continue;
            }
            '!' if !rest.starts_with("!=") => {
                out.push_str(" not ");
                rest = &rest[1..];
                continue;
            }
            '|' => {
                rest = filter(rest, &mut out);
                continue;
            }
            c => c.len_utf8(),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

/// `|name:arg` becomes `|name(arg)`; returns what stands behind it.
fn filter<'s>(text: &'s str, out: &mut String) -> &'s str {
    let body = text[1..].trim_start();
    let name = word_length(body, "_");
    out.push('|');
    out.push_str(&body[..name]);
    let Some(argument) = body[name..].strip_prefix(':') else { return &body[name..] };
    let argument = argument.trim_start();
    let length = match argument.chars().next() {
        Some('"' | '\'') => string_length(argument),
        _ => word_length(argument, "_.-"),
    };
    out.push('(');
    out.push_str(&argument[..length]);
    out.push(')');
    &argument[length..]
}

fn word_length(text: &str, more: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && !more.contains(c)).unwrap_or(text.len())
}

/// Bytes of the string literal at the beginning, both quotes included.
fn string_length(text: &str) -> usize {
    let quote = text.chars().next();
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if Some(c) == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// `for k, v in map` walks keys and values.
fn map_loop(inner: &str) -> String {
    let Some((names, source)) = inner.split_once(" in ") else { return inner.to_owned() };
    if !names.contains(',') {
        return inner.to_owned();
    }
    let trimmed = source.trim_end();
    let (source, trim) = trimmed.strip_suffix('-').map_or((trimmed, ""), |rest| (rest.trim_end(), "-"));
    format!("{names} in ({source})|items {trim}")
}
