//! `lxc file edit`

use anyhow::{Result, bail};

use super::place;
use super::remote_file::{self, Found, Owner};
use crate::cli::{Matches, Spec};
use crate::cx::Cx;
use crate::{editor, stdin};

/// The command.
pub static SPEC: Spec = Spec {
    name: "edit",
    args: "[<remote>:]<instance>/<path>",
    about: "Edit a file of an instance in the editor",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(run(cx, m))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let place = place(cx, matches.arg(0), "path")?;
    let open = Owner { uid: -1, gid: -1, mode: None };
    if !stdin::is_terminal() {
        let new = Owner { uid: 0, gid: 0, mode: Some(0o644) };
        return remote_file::write_bytes(&place, &place.path, new, stdin::read_all()?.into_bytes()).await;
    }
    let (text, owner) = match remote_file::get(&place, &place.path).await {
        Ok(entry) => {
            let owner = Owner { uid: entry.uid.into(), gid: entry.gid.into(), mode: Some(entry.mode) };
            match entry.found {
                Found::File(reply) => (String::from_utf8(reply.bytes().await?.to_vec())?, owner),
                _ => bail!("{} is not a file", place.path),
            }
        }
        Err(error) if remote_file::not_found(&error) => (String::new(), open),
        Err(error) => return Err(error),
    };
    let new = editor::open(&text)?;
    remote_file::write_bytes(&place, &place.path, owner, new.into_bytes()).await
}
