//! `lxc warning`

use anyhow::{Result, bail};
use lxd_api::warning::Warning;
use serde_json::{Value, json};

use super::entity::Entity;
use crate::cli::{FORMAT, Matches, Spec, switch, value};
use crate::cx::{Cx, Target};
use crate::output::{Listing, units};

/// The group.
pub static SPEC: Spec = Spec {
    name: "warning",
    about: "Manage warnings",
    subs: &[&ACKNOWLEDGE, &DELETE, &LIST, &SHOW],
    ..Spec::NEW
};

const WARNING: &str = "[<remote>:]<warning-uuid>";

fn path(target: &Target) -> String {
    format!("/1.0/warnings/{}", target.segment())
}

static ACKNOWLEDGE: Spec = Spec {
    name: "acknowledge",
    aliases: &["ack"],
    args: WARNING,
    about: "Mark a warning as seen",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(acknowledge(cx, m))),
    ..Spec::NEW
};

async fn acknowledge(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.named(matches.arg(0), "Missing warning UUID")?;
    target.client.send("PUT", &path(&target), Some(&json!({"status": "acknowledged"}))).await?;
    Ok(())
}

static DELETE: Spec = Spec {
    name: "delete",
    aliases: &["rm"],
    args: "[<remote>:]<warning-uuid>",
    about: "Remove a warning",
    flags: &[switch("all", "Remove all warnings").short('a')],
    count: (0, 1),
    run: Some(|cx, m| Box::pin(delete(cx, m))),
    ..Spec::NEW
};

async fn delete(cx: &Cx, matches: &Matches) -> Result<()> {
    if matches.args.is_empty() && !matches.is("all") {
        crate::output::print(&crate::cli::help(matches));
        return Ok(());
    }
    let target = cx.target(matches.arg(0))?;
    if !matches.is("all") {
        if target.name.is_empty() {
            bail!("Specify a warning UUID or use --all");
        }
        target.client.send::<Value>("DELETE", &path(&target), None).await?;
        return Ok(());
    }
    if !target.name.is_empty() {
        bail!("No need to specify a warning UUID when using --all");
    }
    let warnings: Vec<Warning> = target.client.get("/1.0/warnings?recursion=1").await?;
    for warning in warnings {
        target.client.send::<Value>("DELETE", &format!("/1.0/warnings/{}", warning.uuid), None).await?;
    }
    Ok(())
}

static SHOW: Spec = Spec {
    name: "show",
    args: WARNING,
    about: "Print a warning as YAML",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(show(cx, m))),
    ..Spec::NEW
};

async fn show(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.named(matches.arg(0), "Missing warning UUID")?;
    Entity::new(&target.client, path(&target)).show::<Warning>().await
}

static LIST: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    args: "[<remote>:]",
    about: "Print a table of every warning",
    long: "Columns: c count, f first seen, l last seen, L location, p project, s severity, S status, t type,
u UUID. Acknowledged and resolved warnings are only listed with --all.",
    flags: &[
        switch("all", "List acknowledged and resolved warnings too").short('a'),
        value("columns", "Columns").short('c').or("utSscpLl"),
        FORMAT,
    ],
    count: (0, 1),
    run: Some(|cx, m| Box::pin(list(cx, m))),
    ..Spec::NEW
};

const COLUMNS: &[(char, &str)] = &[
    ('c', "COUNT"),
    ('f', "FIRST SEEN"),
    ('l', "LAST SEEN"),
    ('L', "LOCATION"),
    ('p', "PROJECT"),
    ('s', "SEVERITY"),
    ('S', "STATUS"),
    ('t', "TYPE"),
    ('u', "UUID"),
];

async fn list(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.target(matches.arg(0))?;
    let raw = target.client.send::<Value>("GET", "/1.0/warnings?recursion=1", None).await?;
    let mut kept = Vec::new();
    for value in raw.as_array().cloned().unwrap_or_default() {
        let warning: Warning = lxd_api::from_value(value.clone())?;
        if matches.is("all") || warning.status == "new" {
            kept.push((value, warning));
        }
    }
    let clustered = kept.iter().any(|(_, warning)| !matches!(warning.location.as_str(), "" | "none"));
    let columns = columns(matches, clustered)?;
    let mut listing = Listing::new(columns.iter().map(|(_, title)| *title));
    for (_, warning) in &kept {
        listing.row(columns.iter().map(|(letter, _)| cell(*letter, warning)));
    }
    listing.sort();
    let (raw, typed): (Vec<Value>, Vec<Warning>) = kept.into_iter().unzip();
    listing.print(matches.value("format"), &Value::Array(raw), &typed)
}

fn columns(matches: &Matches, clustered: bool) -> Result<Vec<(char, &'static str)>> {
    let text = matches.value("columns");
    let given = matches.given("columns");
    if given && text.contains('L') && !clustered {
        bail!("Can't specify column L when not clustered");
    }
    let mut columns = Vec::new();
    for entry in text.split(',') {
        if entry.is_empty() {
            bail!("Empty column entry (redundant, leading or trailing command) in '{text}'");
        }
        for letter in entry.chars().filter(|letter| clustered || *letter != 'L') {
            let Some(column) = COLUMNS.iter().find(|(l, _)| *l == letter) else {
                bail!("Unknown column shorthand char '{letter}' in '{entry}'");
            };
            columns.push(*column);
        }
    }
    Ok(columns)
}

fn cell(letter: char, warning: &Warning) -> String {
    match letter {
        'c' => warning.count.to_string(),
        'f' => units::long_utc(&warning.first_seen_at),
        'l' => units::long_utc(&warning.last_seen_at),
        'L' => warning.location.clone(),
        'p' => warning.project.clone(),
        's' => warning.severity.to_uppercase(),
        'S' => warning.status.to_uppercase(),
        't' => warning.kind.clone(),
        'u' => warning.uuid.clone(),
        _ => String::new(),
    }
}
