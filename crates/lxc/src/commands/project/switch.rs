//! `lxc project switch`

use anyhow::{Result, bail};
use lxd_api::project::Project;

use crate::cli::{Matches, Spec};
use crate::cx::Cx;

/// The command.
pub static SPEC: Spec = Spec {
    name: "switch",
    args: super::PROJECT,
    about: "Make another project the current one",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(run(cx, m))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = super::target(cx, matches.arg(0))?;
    target.client.get::<Project>(&super::path(&target)).await?;
    let mut conf = cx.conf_mut();
    match conf.remotes.get_mut(&target.remote) {
        Some(remote) if remote.global => bail!("Remote {} is global and cannot be changed", target.remote),
        Some(remote) => remote.project = target.name,
        None => bail!("Remote {} doesn't exist", target.remote),
    }
    conf.save()
}
