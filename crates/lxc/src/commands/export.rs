//! `lxc export`

use anyhow::{Result, bail};
use lxd_api::Timestamp;
use serde_json::json;

use crate::backup;
use crate::cli::{Matches, Spec, switch, value};
use crate::cx::Cx;

/// The command.
pub static SPEC: Spec = Spec {
    name: "export",
    args: "[<remote>:]<instance> [target] [--instance-only] [--optimized-storage]",
    about: "Write an instance backup file",
    examples: "  lxc export u1 backup0.tar.gz\n      Write a backup of \"u1\".",
    flags: &[
        value("compression", "Compression algorithm, or none"),
        switch("instance-only", "Without snapshots"),
        switch("optimized-storage", "In the form of the storage driver, which only the same driver reads"),
    ],
    count: (1, 2),
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.target(matches.arg(0))?;
    if target.name.is_empty() || target.name.contains('/') {
        bail!("Invalid instance name");
    }
    let path = format!("/1.0/instances/{}/backups", target.segment());
    let body = json!({
        "name": "",
        "expires_at": Timestamp::from_unix(Timestamp::now().unix() + backup::LIFE),
        "instance_only": matches.is("instance-only"),
        "container_only": matches.is("instance-only"),
        "optimized_storage": matches.is("optimized-storage"),
        "compression_algorithm": matches.value("compression"),
    });
    let file = if matches.args.len() > 1 { matches.arg(1) } else { "backup.tar.gz" };
    backup::export(cx, &target, &path, &body, ["Create instance backup", "Backing up instance"], file).await
}
