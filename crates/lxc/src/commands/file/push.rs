//! `lxc file push`

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::remote_file::{self, Owner};
use super::{Place, base_name, place};
use crate::cli::{Matches, Spec, number, switch, value};
use crate::cx::Cx;
use crate::upload::{self, Source};

/// Mode of directories that `--create-dirs` makes.
const DIRECTORY_MODE: u32 = 0o750;

/// The command.
pub static SPEC: Spec = Spec {
    name: "push",
    args: "<source path>... [<remote>:]<instance>/<path>",
    about: "Put files into instances",
    examples: "  lxc file push /etc/hosts foo/etc/hosts\n      /etc/hosts into the instance foo.",
    flags: &[
        switch("create-dirs", "Make missing directories").short('p'),
        number("gid", "Group of the file").or("-1"),
        value("mode", "Permissions of the file"),
        switch("recursive", "Whole directories").short('r'),
        number("uid", "Owner of the file").or("-1"),
    ],
    count: (2, usize::MAX),
    run: Some(|cx, m| Box::pin(run(cx, m))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let Some((target, sources)) = matches.args.split_last() else { return Ok(()) };
    let place = place(cx, target, "target")?;
    let mode = match matches.value("mode") {
        "" => None,
        text => Some(u32::from_str_radix(text, 8).with_context(|| format!("Invalid mode {text:?}"))?),
    };
    let owner = Owner { uid: matches.number("uid"), gid: matches.number("gid"), mode };
    let into = place.path.ends_with('/');
    if sources.len() > 1 && !into && !matches.is("recursive") {
        bail!("Missing target directory");
    }
    if matches.is("recursive") {
        return recursive(cx, matches, &place, sources, owner).await;
    }
    for source in sources {
        let path = if into { format!("{}{}", place.path, base_name(source)) } else { place.path.clone() };
        if matches.is("create-dirs") {
            let above = path.rsplit_once('/').map_or("", |(above, _)| above);
            let made = Owner { mode: Some(DIRECTORY_MODE), ..owner };
            remote_file::directories(&place, above, made).await?;
        }
        if source == "-" {
            let bytes = stdin().await?;
            let owner = owner.or_of_stdin();
            remote_file::write_bytes(&place, &path, owner, bytes).await?;
            continue;
        }
        file(cx, &place, &path, Path::new(source), owner).await?;
    }
    Ok(())
}

async fn stdin() -> Result<Vec<u8>> {
    use std::io::Read;
    let read = tokio::task::spawn_blocking(|| {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    });
    Ok(read.await??)
}

/// One local file, or what a link points to.
async fn file(cx: &Cx, place: &Place, path: &str, source: &Path, owner: Owner) -> Result<()> {
    let opened = Source::open(source).await?;
    let metadata = opened.metadata().await?;
    if metadata.is_dir() {
        bail!("read {}: is a directory", source.display());
    }
    let label = format!("Pushing {} to {path}", source.display());
    remote_file::write(cx, place, path, owner.or_of(&metadata), opened, &label).await
}

async fn recursive(
    cx: &Cx,
    matches: &Matches,
    place: &Place,
    sources: &[String],
    owner: Owner,
) -> Result<()> {
    if matches.given("uid") || matches.given("gid") || matches.given("mode") {
        bail!("Can't supply uid/gid/mode in recursive mode");
    }
    let above = place.path.trim_end_matches('/');
    if matches.is("create-dirs") {
        remote_file::directories(place, above, Owner { mode: Some(DIRECTORY_MODE), ..owner }).await?;
    }
    for source in sources {
        tree(cx, place, above, Path::new(source)).await?;
    }
    Ok(())
}

/// A local file, link or directory below a remote directory.
async fn tree(cx: &Cx, place: &Place, above: &str, source: &Path) -> Result<()> {
    let open = Owner { uid: -1, gid: -1, mode: None };
    let root = source.to_path_buf();
    let mut stack = vec![(root, above.to_owned())];
    while let Some((local, above)) = stack.pop() {
        let failed =
            |error: std::io::Error| anyhow::anyhow!("lstat {}: {}", local.display(), upload::reason(&error));
        let metadata = tokio::fs::symlink_metadata(&local).await.map_err(failed)?;
        let path = format!("{above}/{}", base_name(&local.to_string_lossy()));
        let owner = open.or_of(&metadata);
        if metadata.is_dir() {
            match remote_file::get(place, &path).await {
                Ok(_) => {}
                Err(error) if remote_file::not_found(&error) => {
                    remote_file::directory(place, &path, owner).await?
                }
                Err(error) => return Err(error),
            }
            let mut names: Vec<_> = std::fs::read_dir(&local)?.collect::<Result<Vec<_>, _>>()?;
            names.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
            stack.extend(names.into_iter().map(|entry| (entry.path(), path.clone())));
        } else if metadata.is_symlink() {
            let to = tokio::fs::read_link(&local).await?;
            remote_file::symlink(place, &path, owner, &to.to_string_lossy()).await?;
        } else if metadata.is_file() {
            file(cx, place, &path, &local, open).await?;
        }
    }
    Ok(())
}
