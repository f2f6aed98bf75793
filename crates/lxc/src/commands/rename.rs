//! `lxc rename`

use anyhow::{Result, bail};
use lxd_client::encode;
use serde_json::json;

use crate::cli::{Matches, Spec};
use crate::cx::Cx;
use crate::follow;

/// The command.
pub static SPEC: Spec = Spec {
    name: "rename",
    args: "[<remote>:]<instance>[/<snapshot>] <instance>[/<snapshot>]",
    about: "Rename an instance or snapshot",
    count: (2, 2),
    run: Some(|cx, matches| Box::pin(rename(cx, matches))),
    ..Spec::NEW
};

/// Renames the instance or snapshot of the first argument; also for `lxc move`.
///
/// # Errors
/// The server's, or a wrong name.
pub async fn rename(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.target(matches.arg(0))?;
    let new = matches.arg(1);
    let (path, name) = match target.name.split_once('/') {
        None if new.contains('/') => bail!("Invalid instance name: {new}"),
        None => (format!("/1.0/instances/{}", target.segment()), new),
        Some((instance, snapshot)) => {
            let (new_instance, new_snapshot) = new.split_once('/').unwrap_or((instance, new));
            if new_instance != instance {
                bail!("Invalid snapshot name: {new}");
            }
            (format!("/1.0/instances/{}/snapshots/{}", encode(instance), encode(snapshot)), new_snapshot)
        }
    };
    let mut operation = target.client.start("POST", &path, Some(&json!({"name": name}))).await?;
    follow::wait(cx, &mut operation, "").await
}
