//! `lxc remote`

mod add;

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use lxd_client::Address;
use serde_json::json;

use crate::cli::{FORMAT, Matches, Spec};
use crate::conf::Remote;
use crate::cx::Cx;
use crate::output::Listing;

/// The group.
pub static SPEC: Spec = Spec {
    name: "remote",
    about: "Manage the list of servers",
    subs: &[&add::SPEC, &GET_DEFAULT, &LIST, &REMOVE, &RENAME, &SET_URL, &SWITCH],
    ..Spec::NEW
};

static GET_DEFAULT: Spec = Spec {
    name: "get-default",
    about: "Print the name of the default remote",
    count: (0, 0),
    run: Some(|cx, _| {
        Box::pin(async {
            println!("{}", cx.conf().default_remote);
            Ok(())
        })
    }),
    ..Spec::NEW
};

static SWITCH: Spec = Spec {
    name: "switch",
    aliases: &["set-default"],
    args: "<remote>",
    about: "Choose the default remote",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(async { switch(cx, m) })),
    ..Spec::NEW
};

fn switch(cx: &Cx, matches: &Matches) -> Result<()> {
    let mut conf = cx.conf_mut();
    if !conf.remotes.contains_key(matches.arg(0)) {
        bail!("Remote {} doesn't exist", matches.arg(0));
    }
    conf.default_remote = matches.arg(0).to_owned();
    conf.save()
}

/// A remote that may be changed.
fn changeable(cx: &Cx, name: &str) -> Result<Remote> {
    let Some(remote) = cx.conf().remotes.get(name).cloned() else { bail!("Remote {name} doesn't exist") };
    if remote.fixed {
        bail!("Remote {name} is static and cannot be modified");
    }
    if remote.global {
        bail!("Remote {name} is global and cannot be removed");
    }
    Ok(remote)
}

static REMOVE: Spec = Spec {
    name: "remove",
    aliases: &["rm"],
    args: "<remote>",
    about: "Forget a remote",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(async { remove(cx, m) })),
    ..Spec::NEW
};

fn remove(cx: &Cx, matches: &Matches) -> Result<()> {
    let name = matches.arg(0);
    changeable(cx, name)?;
    let mut conf = cx.conf_mut();
    if conf.default_remote == name {
        bail!("Can't remove the default remote");
    }
    conf.remotes.remove(name);
    let _ = std::fs::remove_file(conf.server_certificate(name));
    let _ = std::fs::remove_file(conf.jar(name));
    conf.save()
}

static RENAME: Spec = Spec {
    name: "rename",
    aliases: &["mv"],
    args: "<remote> <new-name>",
    about: "Give a remote another name",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(async { rename(cx, m) })),
    ..Spec::NEW
};

fn rename(cx: &Cx, matches: &Matches) -> Result<()> {
    let (old, new) = (matches.arg(0), matches.arg(1));
    let remote = changeable(cx, old)?;
    let mut conf = cx.conf_mut();
    if conf.remotes.contains_key(new) {
        bail!("Remote {new} already exists");
    }
    if new.contains(':') {
        bail!("Remote names may not contain colons");
    }
    let (from, to) = (conf.server_certificate(old), conf.server_certificate(new));
    if from.exists() {
        std::fs::rename(from, to)?;
    }
    // Without its cookies the user logs in again.
    let _ = std::fs::rename(conf.jar(old), conf.jar(new));
    conf.remotes.remove(old);
    conf.remotes.insert(new.to_owned(), remote);
    if conf.default_remote == old {
        conf.default_remote = new.to_owned();
    }
    conf.save()
}

static SET_URL: Spec = Spec {
    name: "set-url",
    args: "<remote> <URL>",
    about: "Change the URL of a remote",
    count: (2, 2),
    run: Some(|cx, m| Box::pin(async { set_url(cx, m) })),
    ..Spec::NEW
};

fn set_url(cx: &Cx, matches: &Matches) -> Result<()> {
    let remote = changeable(cx, matches.arg(0))?;
    let mut conf = cx.conf_mut();
    conf.remotes.insert(matches.arg(0).to_owned(), Remote { addr: matches.arg(1).to_owned(), ..remote });
    conf.save()
}

static LIST: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    about: "Print a table of every remote",
    flags: &[FORMAT],
    count: (0, 0),
    run: Some(|cx, m| Box::pin(async { list(cx, m) })),
    ..Spec::NEW
};

fn list(cx: &Cx, matches: &Matches) -> Result<()> {
    let conf = cx.conf();
    let yes = |value: bool| if value { "YES" } else { "NO" }.to_owned();
    let mut listing = Listing::new(["NAME", "URL", "PROTOCOL", "AUTH TYPE", "PUBLIC", "STATIC", "GLOBAL"]);
    let mut raw = serde_json::Map::new();
    for (name, remote) in &conf.remotes {
        let shown = if *name == conf.default_remote { format!("{name} (current)") } else { name.clone() };
        let protocol = if remote.protocol.is_empty() { "lxd" } else { &remote.protocol };
        listing.row([
            shown,
            remote.addr.clone(),
            protocol.to_owned(),
            auth_type(remote).to_owned(),
            yes(remote.public),
            yes(remote.fixed),
            yes(remote.global),
        ]);
        let value = json!({
            "Addr": remote.addr, "AuthType": remote.auth_type, "Domain": remote.domain,
            "Project": remote.project, "Protocol": remote.protocol, "Public": remote.public,
            "Global": remote.global, "Static": remote.fixed,
        });
        raw.insert(name.clone(), value);
    }
    listing.sort();
    let typed: BTreeMap<&String, &Remote> = conf.remotes.iter().collect();
    listing.print(matches.value("format"), &raw.into(), &typed)
}

fn auth_type(remote: &Remote) -> &str {
    if !remote.auth_type.is_empty() {
        return &remote.auth_type;
    }
    match Address::parse(&remote.addr) {
        Ok(Address::Unix(_)) => "file access",
        _ if remote.is_image_server() => "none",
        _ => "tls",
    }
}
