//! `lxc list`

use anyhow::{Result, bail};
use lxd_api::instance::InstanceFull;
use lxd_api::server::Server;
use serde_json::Value;

use super::list_columns::{self, Column};
use super::list_filter::Filter;
use crate::cli::{FORMAT, Matches, Spec, switch, value};
use crate::cx::Cx;
use crate::output::Listing;
use crate::output::node::Node;

/// The command.
pub static SPEC: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    args: "[<remote>:] [<filter>...]",
    about: "Print a table of instances, with filters",
    long: "Filters must all hold: the beginning or a regular expression of the name, key=value of the
configuration (each part of the key may be shortened), or one of architecture=, ipv4=, ipv6=,
location=, name=, project=, status=, type= with values separated by commas.

Columns: 4 IPv4, 6 IPv6, a architecture, b storage pool, c creation date, d description, D disk use,
e project, f base image (short), F base image (long), l last use, L location, m memory use,
M memory use in %, n name, N number of processes, p PID, P profiles, s state, S number of snapshots,
t type, u CPU use in seconds; or KEY[:NAME][:MAXWIDTH] with a key of the configuration, or
devices:NAME.KEY for one of a device.",
    examples: "  lxc list -c nFs46,volatile.eth0.hwaddr:MAC,config:image.os
  lxc list -c ns,user.comment:comment",
    flags: &[
        switch("all-projects", "Instances of all projects"),
        value("columns", "Columns").short('c').or("ns46tSL"),
        switch("fast", "Only columns that are cheap to get (same as --columns=nsacPt)"),
        FORMAT,
    ],
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    if matches.is("all-projects") && cx.project.is_some() {
        bail!("Can't specify --project with --all-projects");
    }
    let (remote, filters) = remote_and_filters(cx, matches)?;
    let mut client = cx.client(&remote)?;
    if matches.is("all-projects") {
        client = client.with_project("");
    }
    let format = matches.value("format");
    if !["csv", "json", "table", "yaml", "compact"].contains(&format) {
        bail!("Invalid format {format:?}");
    }
    let clustered = if wants_location(matches) {
        client.get::<Server>("/1.0").await?.environment.server_clustered
    } else {
        false
    };
    let columns = columns(matches, clustered)?;
    let filters: Vec<Filter> = filters.iter().map(|text| Filter::parse(text)).collect::<Result<_>>()?;

    let full = columns.iter().any(|column| column.needs_state);
    let full = full || filters.iter().any(Filter::needs_state);
    let mut path = format!("/1.0/instances?recursion={}", if full { 2 } else { 1 });
    if matches.is("all-projects") {
        path.push_str("&all-projects=true");
    }
    let text = client.get_text(&path).await?;
    let mut found: Vec<InstanceFull> = lxd_api::from_text(or_empty(text.get()))?;
    let holds = |instance: &InstanceFull| filters.iter().all(|filter| filter.holds(instance));
    if format == "json" {
        let mut raw: Vec<Value> = serde_json::from_str(or_empty(text.get()))?;
        let mut kept = found.iter().map(holds);
        raw.retain(|_| kept.next().unwrap_or(false));
        return print_json(raw, full);
    }
    found.retain(holds);
    print(&columns, format, &found, full)
}

/// The reference answers an empty list with `null`.
fn or_empty(text: &str) -> &str {
    if text == "null" { "[]" } else { text }
}

/// The objects as they were sent; what was not asked for is shown as missing.
fn print_json(mut raw: Vec<Value>, full: bool) -> Result<()> {
    if !full {
        for instance in &mut raw {
            for name in ["backups", "state", "snapshots"] {
                instance[name] = Value::Null;
            }
        }
    }
    Listing::new([""; 0]).print_node("json", &Value::Array(raw), Node::Null)
}

fn print(columns: &[Column], format: &str, found: &[InstanceFull], full: bool) -> Result<()> {
    let mut listing = Listing::new(columns.iter().map(|column| column.title.clone()));
    if format != "yaml" {
        for instance in found {
            listing.row(columns.iter().map(|column| column.cell(instance)));
        }
        listing.sort();
        return listing.print_node(format, &Value::Null, Node::Null);
    }
    let mut nodes = found.iter().map(Node::of).collect::<Result<Vec<_>, _>>()?;
    for node in &mut nodes {
        if let Node::Map(members) = node
            && !full
            && let Some(state) = members.iter_mut().find(|(name, _)| name == "state")
        {
            state.1 = Node::Null;
        }
    }
    listing.print_node(format, &Value::Null, Node::Seq(nodes))
}

/// The first argument may be a remote; all others are filters.
fn remote_and_filters(cx: &Cx, matches: &Matches) -> Result<(String, Vec<String>)> {
    let Some(first) = matches.args.first() else { return Ok((cx.split("")?.0, Vec::new())) };
    let mut filters = matches.args.clone();
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

fn wants_location(matches: &Matches) -> bool {
    let given = matches.given("columns");
    given && matches.value("columns").split(',').any(|part| !list_columns::is_key(part) && part.contains('L'))
}

fn columns(matches: &Matches, clustered: bool) -> Result<Vec<Column>> {
    let text = match (matches.is("fast"), matches.given("columns")) {
        (true, true) => bail!("Can't specify --fast with --columns"),
        (true, false) => "nsacPt",
        (false, true) => matches.value("columns"),
        (false, false) => "ns46tS",
    };
    if text.contains('L') && !clustered && wants_location(matches) {
        bail!("Can't specify column L when not clustered");
    }
    let mut columns = list_columns::parse(text)?;
    if matches.is("all-projects") && !matches.given("columns") {
        columns.splice(0..0, list_columns::parse("e")?);
    }
    Ok(columns)
}
