//! `lxc import`

use std::path::Path;

use anyhow::{Context, Result, bail};
use lxd_client::Call;

use crate::cli::{Matches, Spec, value};
use crate::cx::Cx;
use crate::{follow, upload};

/// The command.
pub static SPEC: Spec = Spec {
    name: "import",
    args: "[<remote>:] <backup file> [<instance name>]",
    about: "Make an instance from a backup file",
    examples: "  lxc import backup0.tar.gz\n      Make an instance of \"backup0.tar.gz\".",
    flags: &[value("storage", "Storage pool").short('s')],
    count: (1, 3),
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let (remote, words) = match matches.args.split_first() {
        Some((first, rest)) if first.ends_with(':') && !rest.is_empty() => (first.as_str(), rest),
        _ => ("", &matches.args[..]),
    };
    if words.len() > 2 {
        bail!("Invalid number of arguments");
    }
    let target = cx.target(remote)?;
    let file = upload::Source::open(Path::new(&words[0])).await?;
    let call = Call::new("POST", "/1.0/instances")
        .header("content-type", "application/octet-stream")
        .header("content-length", &file.length.to_string());
    let call = match words.get(1) {
        Some(name) => call.header("x-lxd-name", name),
        None => call,
    };
    let call =
        if matches.given("storage") { call.header("x-lxd-pool", matches.value("storage")) } else { call };
    let call = call.stream(file.progress(cx, "Importing instance"));
    let operation = target.client.start_call(call).await;
    let mut operation = operation.context("Create instance from backup")?;
    follow::wait(cx, &mut operation, "Importing instance").await.context("Create instance from backup")
}
