//! `lxc operation`

use anyhow::{Result, bail};
use lxd_api::operation::Operation;
use serde_json::Value;

use super::entity::Entity;
use crate::cli::{FORMAT, Matches, Spec};
use crate::cx::Cx;
use crate::output::{Listing, units};

/// The group.
pub static SPEC: Spec = Spec {
    name: "operation",
    about: "List, show and cancel background operations",
    subs: &[&DELETE, &LIST, &SHOW],
    ..Spec::NEW
};

const OPERATION: &str = "[<remote>:]<operation>";

static DELETE: Spec = Spec {
    name: "delete",
    aliases: &["cancel", "rm"],
    args: OPERATION,
    about: "Cancel a background operation",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(delete(cx, m))),
    ..Spec::NEW
};

async fn delete(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.named(matches.arg(0), "Missing operation name")?;
    target.client.send::<Value>("DELETE", &format!("/1.0/operations/{}", target.segment()), None).await?;
    cx.say(format_args!("Operation {} deleted", target.name));
    Ok(())
}

static SHOW: Spec = Spec {
    name: "show",
    args: OPERATION,
    about: "Print a background operation",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(show(cx, m))),
    ..Spec::NEW
};

async fn show(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.named(matches.arg(0), "Missing operation name")?;
    Entity::new(&target.client, format!("/1.0/operations/{}", target.segment())).show::<Operation>().await
}

static LIST: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    args: "[<remote>:]",
    about: "Print a table of every background operation",
    flags: &[FORMAT],
    count: (0, 1),
    run: Some(|cx, m| Box::pin(list(cx, m))),
    ..Spec::NEW
};

async fn list(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.target(matches.arg(0))?;
    if !target.name.is_empty() {
        bail!("Filtering isn't supported yet");
    }
    let groups = target.client.send::<Value>("GET", "/1.0/operations?recursion=1", None).await?;
    let raw: Vec<Value> = match &groups {
        Value::Object(groups) => groups.values().filter_map(Value::as_array).flatten().cloned().collect(),
        _ => Vec::new(),
    };
    let operations: Vec<Operation> =
        raw.iter().cloned().map(lxd_api::from_value).collect::<Result<_, _>>()?;
    let located = operations.iter().any(|operation| !matches!(operation.location.as_str(), "" | "none"));
    let mut header = vec!["ID", "TYPE", "DESCRIPTION", "STATUS", "CANCELABLE", "CREATED"];
    if located {
        header.push("LOCATION");
    }
    let mut listing = Listing::new(header);
    for operation in &operations {
        let mut row = vec![
            operation.id.clone(),
            operation.class.to_uppercase(),
            operation.description.clone(),
            operation.status.to_uppercase(),
            if operation.may_cancel { "YES" } else { "NO" }.to_owned(),
            units::minute_utc(&operation.created_at),
        ];
        if located {
            row.push(operation.location.clone());
        }
        listing.row(row);
    }
    listing.sort();
    listing.print(matches.value("format"), &Value::Array(raw), &operations)
}
