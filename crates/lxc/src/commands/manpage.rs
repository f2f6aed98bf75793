//! `lxc manpage`: a page for each command.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::cli::{Matches, Spec, help_of, to_clap, value};
use crate::output;

/// The command.
pub static SPEC: Spec = Spec {
    name: "manpage",
    args: "<target>",
    about: "Write manual pages of all commands",
    flags: &[value("format", "Format: man, md, rest or yaml").short('f').or("man")],
    count: (1, 1),
    hidden: true,
    run: Some(|_, m| Box::pin(async { run(m) })),
    ..Spec::NEW
};

fn run(matches: &Matches) -> Result<()> {
    let target = Path::new(matches.arg(0));
    let format = matches.value("format");
    if !["man", "md", "rest", "yaml"].contains(&format) {
        bail!("Unknown format {format:?}: man, md, rest and yaml are known");
    }
    write_all(&super::ROOT, &mut vec![super::ROOT.name], target, format)
}

fn write_all(spec: &'static Spec, path: &mut Vec<&'static str>, target: &Path, format: &str) -> Result<()> {
    let (extension, text) = match format {
        "man" => ("1", man(spec, path)?),
        "md" => ("md", page(path, "# ", "```\n", "```\n", spec)),
        "rest" => ("rst", rest(path, spec)),
        _ => ("yaml", yaml(path, spec)?),
    };
    let separator = if format == "man" { "-" } else { "_" };
    let file = target.join(format!("{}.{extension}", path.join(separator)));
    std::fs::write(&file, text).with_context(|| file.display().to_string())?;
    for sub in spec.subs {
        path.push(sub.name);
        write_all(sub, path, target, format)?;
        path.pop();
    }
    Ok(())
}

fn man(spec: &'static Spec, path: &[&'static str]) -> Result<Vec<u8>> {
    let command = to_clap(spec).name(path.join("-")).version(lxd_api::API_LEVEL);
    let mut text = Vec::new();
    clap_mangen::Man::new(command).manual("LXD").render(&mut text)?;
    Ok(text)
}

fn page(path: &[&'static str], heading: &str, open: &str, close: &str, spec: &'static Spec) -> Vec<u8> {
    let title = path.join(" ");
    format!("{heading}{title}\n\n{}\n\n{open}{}{close}", spec.about, help_of(spec, path)).into_bytes()
}

fn rest(path: &[&'static str], spec: &'static Spec) -> Vec<u8> {
    let title = path.join(" ");
    let body: String = help_of(spec, path).lines().map(|line| format!("  {line}\n")).collect();
    format!("{title}\n{}\n\n{}\n\n::\n\n{body}", "-".repeat(title.len()), spec.about).into_bytes()
}

#[derive(Serialize)]
struct Page<'a> {
    name: String,
    synopsis: &'a str,
    usage: String,
    options: Vec<PageFlag<'a>>,
}

#[derive(Serialize)]
struct PageFlag<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    shorthand: Option<char>,
    #[serde(skip_serializing_if = "str::is_empty")]
    default_value: &'a str,
    usage: &'a str,
}

fn yaml(path: &[&'static str], spec: &'static Spec) -> Result<Vec<u8>> {
    let options = spec.flags.iter().map(|flag| PageFlag {
        name: flag.long,
        shorthand: flag.short,
        default_value: flag.default,
        usage: flag.about,
    });
    let page = Page {
        name: path.join(" "),
        synopsis: spec.about,
        usage: format!("{} {}", path.join(" "), spec.args).trim_end().to_owned(),
        options: options.collect(),
    };
    Ok(output::yaml_text(&page)?.into_bytes())
}
