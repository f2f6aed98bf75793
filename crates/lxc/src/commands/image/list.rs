//! `lxc image list`

use anyhow::{Result, bail};
use lxd_api::image::Image;
use lxd_types::Pattern;
use serde_json::Value;

use crate::cli::{FORMAT, Matches, Spec, value};
use crate::commands::list_filter::abbreviates;
use crate::cx::Cx;
use crate::output::{Listing, units};

/// The command.
pub static SPEC: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    args: "[<remote>:] [<filter>...]",
    about: "Print a table of images, with filters",
    long: "Filters: property=value (each part of the property may be shortened), a part of the fingerprint
or a part of an alias.

Columns: l shortest alias, L all aliases, f fingerprint (short), F fingerprint (long), p public,
d description, a architecture, s size, u upload date, t type.",
    flags: &[value("columns", "Columns").short('c').or("lfpdatsu"), FORMAT],
    run: Some(|cx, m| Box::pin(run(cx, m))),
    ..Spec::NEW
};

/// The first argument may be a remote; all others are filters.
///
/// # Errors
/// The remote does not exist.
pub fn remote_and_filters(cx: &Cx, matches: &Matches) -> Result<(String, Vec<String>)> {
    let mut filters = matches.args.clone();
    let Some(first) = filters.first() else { return Ok((cx.split("")?.0, filters)) };
    if first.contains(':') && !first.contains('=') {
        let (remote, name) = cx.split(first)?;
        filters.remove(0);
        if !name.is_empty() {
            filters.insert(0, name);
        }
        return Ok((remote, filters));
    }
    Ok((cx.split("")?.0, filters))
}

const COLUMNS: &[(char, &str)] = &[
    ('l', "ALIAS"),
    ('L', "ALIASES"),
    ('f', "FINGERPRINT"),
    ('F', "FINGERPRINT"),
    ('p', "PUBLIC"),
    ('d', "DESCRIPTION"),
    ('a', "ARCHITECTURE"),
    ('s', "SIZE"),
    ('u', "UPLOAD DATE"),
    ('t', "TYPE"),
];

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let (remote, filters) = remote_and_filters(cx, matches)?;
    let columns = columns(matches.value("columns"))?;
    let server = cx.remote(&remote)?;
    let raw = if server.is_image_server() {
        serde_json::to_value(cx.streams(&remote).await?.listed(super::streams::native()?))?
    } else {
        cx.image_client(&remote)?.send::<Value>("GET", "/1.0/images?recursion=1", None).await?
    };
    let mut kept = Vec::new();
    for value in raw.as_array().cloned().unwrap_or_default() {
        let image: Image = lxd_api::from_value(value.clone())?;
        if filters.iter().all(|filter| holds(&image, filter)) {
            kept.push((value, image));
        }
    }
    let mut listing = Listing::new(columns.iter().map(|(_, title)| *title));
    for (_, image) in &kept {
        listing.row(columns.iter().map(|(letter, _)| cell(*letter, image)));
    }
    listing.sort();
    let (raw, typed): (Vec<Value>, Vec<Image>) = kept.into_iter().unzip();
    listing.print(matches.value("format"), &Value::Array(raw), &typed)
}

fn columns(text: &str) -> Result<Vec<(char, &'static str)>> {
    let mut columns = Vec::new();
    for entry in text.split(',') {
        if entry.is_empty() {
            bail!("Empty column entry (redundant, leading or trailing command) in '{text}'");
        }
        for letter in entry.chars() {
            let Some(column) = COLUMNS.iter().find(|(l, _)| *l == letter) else {
                bail!("Unknown column shorthand char '{letter}' in '{entry}'");
            };
            columns.push(*column);
        }
    }
    Ok(columns)
}

fn cell(letter: char, image: &Image) -> String {
    match letter {
        'l' => shortest_alias(image),
        'L' => {
            let mut names: Vec<&str> = image.aliases.iter().map(|alias| alias.name.as_str()).collect();
            names.sort_unstable();
            names.join("\n")
        }
        'f' => image.fingerprint.chars().take(12).collect(),
        'F' => image.fingerprint.clone(),
        'p' => if image.public { "yes" } else { "no" }.to_owned(),
        'd' => image.properties.get("description").cloned().unwrap_or_default(),
        'a' => image.architecture.clone(),
        's' => units::image_size(image.size),
        'u' => units::long_utc(&image.uploaded_at),
        't' => {
            if image.kind.is_empty() {
                "CONTAINER".to_owned()
            } else {
                image.kind.to_uppercase()
            }
        }
        _ => String::new(),
    }
}

/// The shortest alias, and how many more there are.
fn shortest_alias(image: &Image) -> String {
    let Some(shortest) = image.aliases.iter().map(|alias| &alias.name).min_by_key(|name| name.len()) else {
        return String::new();
    };
    match image.aliases.len() {
        1 => shortest.clone(),
        count => format!("{shortest} ({} more)", count - 1),
    }
}

fn holds(image: &Image, filter: &str) -> bool {
    if let Some((key, value)) = filter.split_once('=') {
        if key == "type" || key == "architecture" || key == "fingerprint" {
            let own = match key {
                "type" => &image.kind,
                "architecture" => &image.architecture,
                _ => &image.fingerprint,
            };
            return own.eq_ignore_ascii_case(value);
        }
        let pattern = Pattern::new(value);
        return image
            .properties
            .iter()
            .any(|(name, own)| abbreviates(key, name) && (own == value || pattern.matches(own)));
    }
    image.aliases.iter().any(|alias| alias.name.contains(filter)) || image.fingerprint.starts_with(filter)
}
