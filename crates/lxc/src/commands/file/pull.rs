//! `lxc file pull`

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use lxd_client::Reply;
use tokio::io::AsyncWriteExt;

use super::remote_file::{self, Entry, Found};
use super::{Place, base_name, place};
use crate::cli::{Matches, Spec, switch};
use crate::cx::Cx;
use crate::upload::reason;

/// The command.
pub static SPEC: Spec = Spec {
    name: "pull",
    args: "[<remote>:]<instance>/<path> [[<remote>:]<instance>/<path>...] <target path>",
    about: "Fetch files from instances",
    examples: "  lxc file pull foo/etc/hosts .\n      /etc/hosts of the instance foo into the current directory.",
    flags: &[
        switch("create-dirs", "Make missing directories").short('p'),
        switch("recursive", "Whole directories").short('r'),
    ],
    count: (2, usize::MAX),
    run: Some(|cx, m| Box::pin(run(cx, m))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let Some((target, sources)) = matches.args.split_last() else { return Ok(()) };
    let target_path = Path::new(target);
    if target != "-" {
        if matches.is("create-dirs") {
            let dir = if target.ends_with('/') { Some(target_path) } else { target_path.parent() };
            if let Some(dir) = dir.filter(|dir| !dir.as_os_str().is_empty()) {
                std::fs::create_dir_all(dir)?;
            }
        }
        if sources.len() > 1 && !target_path.exists() {
            std::fs::create_dir(target_path)?;
        }
        if sources.len() > 1 && !target_path.is_dir() {
            bail!("More than one file to download, but target is not a directory");
        }
    }
    for source in sources {
        let place = place(cx, source, "source")?;
        let entry = remote_file::get(&place, &place.path).await?;
        if target == "-" {
            to_stdout(entry, source).await?;
            continue;
        }
        let into = target_path.is_dir() || target.ends_with('/');
        let local = if into { target_path.join(base_name(&place.path)) } else { target_path.to_path_buf() };
        match entry.found {
            Found::Directory(_) if !matches.is("recursive") => {
                bail!("Can't pull a directory without --recursive")
            }
            Found::Directory(_) if into => tree(cx, &place, entry, local).await?,
            Found::Directory(_) => {
                std::fs::create_dir_all(target_path)?;
                tree(cx, &place, entry, target_path.join(base_name(&place.path))).await?;
            }
            _ => save(cx, &place.path, entry, &local).await?,
        }
    }
    Ok(())
}

async fn to_stdout(entry: Entry, source: &str) -> Result<()> {
    match entry.found {
        Found::Directory(_) => bail!("Can't pull a directory without --recursive: {source}"),
        Found::Symlink(to) => crate::output::print(&to),
        Found::File(mut reply) => {
            let mut out = tokio::io::stdout();
            while let Some(piece) = reply.chunk().await? {
                out.write_all(&piece).await?;
            }
            out.flush().await?;
        }
    }
    Ok(())
}

/// Everything below a directory. Names come from the instance and are not trusted: each is one plain part.
async fn tree(cx: &Cx, place: &Place, entry: Entry, local: PathBuf) -> Result<()> {
    let mut stack = vec![(place.path.trim_end_matches('/').to_owned(), local, Some(entry))];
    while let Some((path, local, entry)) = stack.pop() {
        let entry = match entry {
            Some(entry) => entry,
            None => remote_file::get(place, &path).await?,
        };
        let Found::Directory(names) = &entry.found else {
            save(cx, &path, entry, &local).await?;
            continue;
        };
        match std::fs::create_dir(&local) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && local.is_dir() => {}
            other => {
                other.map_err(|error| anyhow::anyhow!("mkdir {}: {}", local.display(), reason(&error)))?
            }
        }
        let mode = std::fs::Permissions::from_mode(entry.mode | 0o700);
        std::fs::set_permissions(&local, mode)?;
        for name in names.iter().rev() {
            if name.is_empty() || name == "." || name == ".." || name.contains('/') {
                bail!("Invalid file name {name:?} from the instance");
            }
            stack.push((format!("{path}/{name}"), local.join(name), None));
        }
    }
    Ok(())
}

/// Writes a file or a link.
async fn save(cx: &Cx, path: &str, entry: Entry, local: &Path) -> Result<()> {
    match entry.found {
        Found::Directory(_) => Ok(()),
        Found::Symlink(to) => {
            if local.is_symlink() {
                std::fs::remove_file(local)?;
            }
            let made = std::os::unix::fs::symlink(to, local);
            made.map_err(|error| anyhow::anyhow!("symlink {}: {}", local.display(), reason(&error)))
        }
        Found::File(reply) => content(cx, path, reply, local, entry.mode).await,
    }
}

async fn content(cx: &Cx, path: &str, mut reply: Reply, local: &Path, mode: u32) -> Result<()> {
    let file = tokio::fs::File::create(local).await;
    let mut file = file.map_err(|error| anyhow::anyhow!("open {}: {}", local.display(), reason(&error)))?;
    file.set_permissions(std::fs::Permissions::from_mode(mode & 0o777)).await?;
    let total = reply.length().unwrap_or(0);
    let (mut done, mut shown) = (0u64, u64::MAX);
    while let Some(piece) = reply.chunk().await? {
        file.write_all(&piece).await?;
        done += piece.len() as u64;
        let percent = done * 100 / total.max(1);
        if cx.shows_progress() && total > 0 && percent != shown {
            shown = percent;
            crate::output::print(&format!("\rPulling {} from {path}: {percent}%", local.display()));
        }
    }
    if shown != u64::MAX {
        crate::output::print("\r\x1b[K");
    }
    file.flush().await?;
    Ok(())
}
