//! `lxc file`

mod edit;
mod pull;
mod push;
mod remote_file;

use anyhow::{Result, bail};
use lxd_client::Call;

use crate::cli::{Matches, Spec};
use crate::cx::{Cx, Target};

/// The group.
pub static SPEC: Spec = Spec {
    name: "file",
    about: "Manage files in instances",
    subs: &[&DELETE, &edit::SPEC, &pull::SPEC, &push::SPEC],
    ..Spec::NEW
};

static DELETE: Spec = Spec {
    name: "delete",
    aliases: &["rm"],
    args: "[<remote>:]<instance>/<path> [[<remote>:]<instance>/<path>...]",
    about: "Remove files from instances",
    count: (1, usize::MAX),
    run: Some(|cx, m| Box::pin(delete(cx, m))),
    ..Spec::NEW
};

async fn delete(cx: &Cx, matches: &Matches) -> Result<()> {
    for arg in &matches.args {
        let place = place(cx, arg, "path")?;
        place.target.client.envelope(Call::new("DELETE", &place.url())).await?;
    }
    Ok(())
}

/// A path in an instance.
struct Place {
    target: Target,
    path: String,
}

impl Place {
    fn url(&self) -> String {
        self.url_of(&self.path)
    }

    fn url_of(&self, path: &str) -> String {
        format!("/1.0/instances/{}/files?path={}", self.target.segment(), lxd_client::encode(path))
    }
}

/// Parses `[REMOTE:]INSTANCE/PATH`; `what` names the argument in the error.
fn place(cx: &Cx, text: &str, what: &str) -> Result<Place> {
    let mut target = cx.target(text)?;
    let Some((instance, path)) = target.name.split_once('/') else { bail!("Invalid {what} {text}") };
    let path = format!("/{path}");
    target.name = instance.to_owned();
    Ok(Place { target, path })
}

/// The last part of a path.
fn base_name(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}
