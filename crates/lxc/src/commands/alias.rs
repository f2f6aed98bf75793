//! `lxc alias`

use anyhow::{Context, Result, bail};

use crate::cli::{FORMAT, Matches, Spec};
use crate::cx::Cx;
use crate::output::Listing;

/// The group.
pub static SPEC: Spec = Spec {
    name: "alias",
    about: "Manage shorthands for longer command lines",
    subs: &[&ADD, &LIST, &REMOVE, &RENAME],
    ..Spec::NEW
};

static ADD: Spec = Spec {
    name: "add",
    args: "<alias> <target>",
    about: "Define a shorthand for a longer command line",
    examples: "  lxc alias add list \"list -c ns46S\"\n      \"lxc list\" shows other columns.",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(async { add(cx, m) })),
    ..Spec::NEW
};

fn add(cx: &Cx, matches: &Matches) -> Result<()> {
    let mut conf = cx.conf_mut();
    if conf.aliases.contains_key(matches.arg(0)) {
        bail!("Alias {} already exists", matches.arg(0));
    }
    conf.aliases.insert(matches.arg(0).to_owned(), matches.arg(1).to_owned());
    conf.save()
}

static REMOVE: Spec = Spec {
    name: "remove",
    aliases: &["rm"],
    args: "<alias>",
    about: "Take a command alias away",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(async { remove(cx, m) })),
    ..Spec::NEW
};

fn remove(cx: &Cx, matches: &Matches) -> Result<()> {
    let mut conf = cx.conf_mut();
    conf.aliases.remove(matches.arg(0)).with_context(|| format!("Alias {} doesn't exist", matches.arg(0)))?;
    conf.save()
}

static RENAME: Spec = Spec {
    name: "rename",
    aliases: &["mv"],
    args: "<old alias> <new alias>",
    about: "Give a command alias another name",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(async { rename(cx, m) })),
    ..Spec::NEW
};

fn rename(cx: &Cx, matches: &Matches) -> Result<()> {
    let mut conf = cx.conf_mut();
    let (old, new) = (matches.arg(0), matches.arg(1));
    if !conf.aliases.contains_key(old) {
        bail!("Alias {old} doesn't exist");
    }
    if conf.aliases.contains_key(new) {
        bail!("Alias {new} already exists");
    }
    if let Some(target) = conf.aliases.remove(old) {
        conf.aliases.insert(new.to_owned(), target);
    }
    conf.save()
}

static LIST: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    about: "Print a table of every command alias",
    flags: &[FORMAT],
    count: (0, 0),
    run: Some(|cx, m| Box::pin(async { list(cx, m) })),
    ..Spec::NEW
};

fn list(cx: &Cx, matches: &Matches) -> Result<()> {
    let conf = cx.conf();
    let mut listing = Listing::new(["ALIAS", "TARGET"]);
    for (name, target) in &conf.aliases {
        listing.row([name.clone(), target.clone()]);
    }
    listing.sort();
    listing.print(matches.value("format"), &serde_json::to_value(&conf.aliases)?, &conf.aliases)
}
