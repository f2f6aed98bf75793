//! `lxc config template`

use anyhow::Result;
use lxd_client::{Call, encode};
use serde_json::{Value, json};

use crate::cli::{FORMAT, Matches, Spec};
use crate::cx::{Cx, Target};
use crate::output::{Listing, print};
use crate::{editor, stdin};

/// The group.
pub static SPEC: Spec = Spec {
    name: "template",
    about: "Manage file templates of instances",
    subs: &[&CREATE, &DELETE, &EDIT, &LIST, &SHOW],
    ..Spec::NEW
};

static CREATE: Spec = Spec {
    name: "create",
    args: ARGS,
    about: "Make a file template of an instance",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(create(cx, m))),
    ..Spec::NEW
};

static DELETE: Spec = Spec {
    name: "delete",
    aliases: &["rm"],
    args: ARGS,
    about: "Remove a file template of an instance",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(delete(cx, m))),
    ..Spec::NEW
};

static EDIT: Spec = Spec {
    name: "edit",
    args: ARGS,
    about: "Edit a file template of an instance",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(edit(cx, m))),
    ..Spec::NEW
};

static LIST: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    args: "[<remote>:]<instance>",
    about: "List the file templates of an instance",
    flags: &[FORMAT],
    count: (1, 1),
    run: Some(|cx, m| Box::pin(list(cx, m))),
    ..Spec::NEW
};

static SHOW: Spec = Spec {
    name: "show",
    args: ARGS,
    about: "Print a file template of an instance",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(show(cx, m))),
    ..Spec::NEW
};

const ARGS: &str = "[<remote>:]<instance> <template>";

fn instance(cx: &Cx, matches: &Matches) -> Result<Target> {
    cx.named(matches.arg(0), "Missing instance name")
}

fn path(target: &Target, template: &str) -> String {
    format!("/1.0/instances/{}/metadata/templates?path={}", target.segment(), encode(template))
}

async fn read(target: &Target, template: &str) -> Result<Vec<u8>> {
    Ok(target.client.stream(Call::new("GET", &path(target, template))).await?.bytes().await?.to_vec())
}

async fn write(target: &Target, template: &str, text: String) -> Result<()> {
    let call = Call::new("POST", &path(target, template)).header("content-type", "application/octet-stream");
    target.client.envelope(call.bytes(text)).await?;
    Ok(())
}

async fn create(cx: &Cx, matches: &Matches) -> Result<()> {
    write(&instance(cx, matches)?, matches.arg(1), String::new()).await
}

async fn delete(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = instance(cx, matches)?;
    target.client.send::<Value>("DELETE", &path(&target, matches.arg(1)), None).await?;
    Ok(())
}

async fn edit(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = instance(cx, matches)?;
    let text = if stdin::is_terminal() {
        String::from_utf8(read(&target, matches.arg(1)).await?)?
    } else {
        String::new()
    };
    editor::edit(text, |content| write(&target, matches.arg(1), content)).await
}

async fn list(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = instance(cx, matches)?;
    let path = format!("/1.0/instances/{}/metadata/templates", target.segment());
    let names: Vec<String> = target.client.get(&path).await?;
    let mut listing = Listing::new(["FILENAME"]);
    for name in &names {
        listing.row([name.clone()]);
    }
    listing.sort();
    listing.print(matches.value("format"), &json!(names), &names)
}

async fn show(cx: &Cx, matches: &Matches) -> Result<()> {
    let text = read(&instance(cx, matches)?, matches.arg(1)).await?;
    print(&String::from_utf8_lossy(&text));
    Ok(())
}
