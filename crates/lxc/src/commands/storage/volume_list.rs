//! `lxc storage volume list`

use anyhow::{Result, bail};
use lxd_api::server::Server;
use lxd_api::storage_volume::{StorageVolume, StorageVolumeState};
use lxd_client::encode;
use lxd_types::Pattern;
use serde_json::Value;

use crate::cli::{FORMAT, Matches, Spec, switch, value};
use crate::cx::Cx;
use crate::output::{Listing, natural, units};

/// The command.
pub static LIST: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    args: "[<remote>:]<pool> [<filter>...]",
    about: "Print a table of every storage volume",
    long: "Columns: t type, n name, d description, c content type, u number of references, U disk use,
L location (in a cluster), e project.",
    flags: &[
        switch("all-projects", "Volumes of all projects"),
        value("columns", "Columns").short('c').or("etndcuL"),
        FORMAT,
    ],
    count: (1, usize::MAX),
    run: Some(|cx, m| Box::pin(list(cx, m))),
    ..Spec::NEW
};

const COLUMNS: &[(char, &str)] = &[
    ('t', "TYPE"),
    ('n', "NAME"),
    ('d', "DESCRIPTION"),
    ('c', "CONTENT-TYPE"),
    ('u', "USED BY"),
    ('U', "USAGE"),
    ('L', "LOCATION"),
    ('e', "PROJECT"),
];

async fn list(cx: &Cx, matches: &Matches) -> Result<()> {
    let pool = super::target(cx, matches)?;
    let client = if matches.is("all-projects") { pool.client.with_project("") } else { pool.client.clone() };
    let columns = columns(matches, &client).await?;
    let mut path = format!("{}/volumes?recursion=1", super::path(&pool));
    if matches.is("all-projects") {
        path.push_str("&all-projects=true");
    }
    let raw = client.send::<Value>("GET", &path, None).await?;
    let mut kept = Vec::new();
    for value in raw.as_array().cloned().unwrap_or_default() {
        let volume: StorageVolume = lxd_api::from_value(value.clone())?;
        if matches.rest(1).iter().all(|filter| holds(&volume, filter)) {
            kept.push((value, volume));
        }
    }
    kept.sort_by(|(_, a), (_, b)| a.kind.cmp(&b.kind).then_with(|| natural::compare_cells(&a.name, &b.name)));
    let mut listing = Listing::new(columns.iter().map(|(_, title)| *title));
    for (_, volume) in &kept {
        let usage = if columns.iter().any(|(letter, _)| *letter == 'U') {
            usage(&client, &super::path(&pool), volume).await?
        } else {
            String::new()
        };
        listing.row(columns.iter().map(|(letter, _)| cell(*letter, volume, &usage)));
    }
    let (raw, typed): (Vec<Value>, Vec<StorageVolume>) = kept.into_iter().unzip();
    listing.print(matches.value("format"), &Value::Array(raw), &typed)
}

async fn columns(matches: &Matches, client: &lxd_client::Client) -> Result<Vec<(char, &'static str)>> {
    let given = matches.given("columns");
    let text = matches.value("columns");
    let all_projects = matches.is("all-projects");
    let clustered = text.contains('L') && client.get::<Server>("/1.0").await?.environment.server_clustered;
    if given && text.contains('L') && !clustered {
        bail!("Can't specify column L when not clustered");
    }
    let mut columns = Vec::new();
    for entry in text.split(',') {
        if entry.is_empty() {
            bail!("Empty column entry (redundant, leading or trailing command) in '{text}'");
        }
        for letter in entry.chars().filter(|l| (clustered || *l != 'L') && (all_projects || *l != 'e')) {
            let Some(column) = COLUMNS.iter().find(|(l, _)| *l == letter) else {
                bail!("Unknown column shorthand char '{letter}' in '{entry}'");
            };
            columns.push(*column);
        }
    }
    Ok(columns)
}

fn cell(letter: char, volume: &StorageVolume, usage: &str) -> String {
    match letter {
        't' if volume.name.contains('/') => format!("{} (snapshot)", volume.kind),
        't' => volume.kind.clone(),
        'n' => volume.name.clone(),
        'd' => volume.description.clone(),
        'c' => volume.content_type.clone(),
        'u' => volume.used_by.len().to_string(),
        'U' => usage.to_owned(),
        'L' => volume.location.clone(),
        'e' => volume.project.clone(),
        _ => String::new(),
    }
}

/// Disk use of a volume; empty for snapshots and volumes that cannot tell.
async fn usage(client: &lxd_client::Client, pool: &str, volume: &StorageVolume) -> Result<String> {
    if volume.name.contains('/') {
        return Ok(String::new());
    }
    let path = format!("{pool}/volumes/{}/{}/state", encode(&volume.kind), encode(&volume.name));
    let state: Value = client.get(&path).await?;
    let state: StorageVolumeState =
        if state.is_object() { lxd_api::from_value(state)? } else { Default::default() };
    Ok(state
        .usage
        .map_or_else(String::new, |usage| units::bytes(i64::try_from(usage.used).unwrap_or(i64::MAX), 2)))
}

fn holds(volume: &StorageVolume, filter: &str) -> bool {
    let Some((key, value)) = filter.split_once('=') else { return true };
    let own = match key {
        "name" => &volume.name,
        "type" => &volume.kind,
        "content_type" => &volume.content_type,
        "location" => &volume.location,
        "project" => &volume.project,
        "description" => &volume.description,
        key => match volume.config.get(key.trim_start_matches("config.")) {
            Some(value) => value,
            None => return false,
        },
    };
    own == value || Pattern::new(value).matches(own)
}
