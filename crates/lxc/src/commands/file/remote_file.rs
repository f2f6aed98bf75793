//! The file API: what stands at a path, and writing to it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use anyhow::{Context, Result};
use lxd_client::{Call, Reply};

use super::Place;
use crate::cx::Cx;
use crate::upload;

/// What stands at a path.
pub enum Found {
    /// A file; its content is still to be read.
    File(Reply),
    /// A directory with the names in it.
    Directory(Vec<String>),
    /// A symbolic link with its target.
    Symlink(String),
}

/// A found thing with its owner and mode.
pub struct Entry {
    /// What it is.
    pub found: Found,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Reads a path.
///
/// # Errors
/// It does not exist, or the server's error.
pub async fn get(place: &Place, path: &str) -> Result<Entry> {
    let reply = place.target.client.stream(Call::new("GET", &place.url_of(path))).await?;
    let mode = u32::from_str_radix(reply.header("x-lxd-mode").trim_start_matches("0o"), 8).unwrap_or(0o644);
    let (uid, gid) =
        (reply.header("x-lxd-uid").parse().unwrap_or(0), reply.header("x-lxd-gid").parse().unwrap_or(0));
    let kind = reply.header("x-lxd-type").to_owned();
    let found = match kind.as_str() {
        "directory" => {
            let answer: lxd_api::response::Response =
                serde_json::from_slice(&reply.bytes().await?).context("Failed to read the directory")?;
            Found::Directory(lxd_api::from_value(answer.metadata).unwrap_or_default())
        }
        "symlink" => Found::Symlink(String::from_utf8_lossy(&reply.bytes().await?).into_owned()),
        _ => Found::File(reply),
    };
    Ok(Entry { found, mode, uid, gid })
}

/// Owner and mode of what is written.
#[derive(Clone, Copy)]
pub struct Owner {
    /// Owner; the server's default when negative.
    pub uid: i64,
    /// Group; the server's default when negative.
    pub gid: i64,
    /// Permission bits; the server's default when missing.
    pub mode: Option<u32>,
}

impl Owner {
    /// Those of a local file, where the given ones are open.
    pub fn or_of(self, metadata: &std::fs::Metadata) -> Self {
        Self {
            uid: if self.uid < 0 { metadata.uid().into() } else { self.uid },
            gid: if self.gid < 0 { metadata.gid().into() } else { self.gid },
            mode: self.mode.or(Some(metadata.permissions().mode() & 0o7777)),
        }
    }

    /// Those of standard input, where the given ones are open.
    pub fn or_of_stdin(self) -> Self {
        let Ok(stat) = rustix::fs::fstat(std::io::stdin()) else { return self };
        Self {
            uid: if self.uid < 0 { stat.st_uid.into() } else { self.uid },
            gid: if self.gid < 0 { stat.st_gid.into() } else { self.gid },
            mode: self.mode.or(Some(stat.st_mode & 0o777)),
        }
    }

    fn headers(self, mut call: Call, kind: &str) -> Call {
        call = call.header("x-lxd-type", kind);
        if self.uid >= 0 {
            call = call.header("x-lxd-uid", &self.uid.to_string());
        }
        if self.gid >= 0 {
            call = call.header("x-lxd-gid", &self.gid.to_string());
        }
        match self.mode {
            Some(mode) => call.header("x-lxd-mode", &format!("{mode:04o}")),
            None => call,
        }
    }
}

/// Writes a file.
///
/// # Errors
/// The server's.
pub async fn write(
    cx: &Cx,
    place: &Place,
    path: &str,
    owner: Owner,
    source: upload::Source,
    label: &str,
) -> Result<()> {
    let call = owner.headers(Call::new("POST", &place.url_of(path)), "file");
    let call = call.header("content-type", "application/octet-stream").header("x-lxd-write", "overwrite");
    let call = call.header("content-length", &source.length.to_string());
    place.target.client.envelope(call.stream(source.progress(cx, label))).await?;
    Ok(())
}

/// Writes bytes to a file.
///
/// # Errors
/// The server's.
pub async fn write_bytes(place: &Place, path: &str, owner: Owner, bytes: Vec<u8>) -> Result<()> {
    let call = owner.headers(Call::new("POST", &place.url_of(path)), "file");
    let call = call.header("content-type", "application/octet-stream").header("x-lxd-write", "overwrite");
    place.target.client.envelope(call.bytes(bytes)).await?;
    Ok(())
}

/// Makes a symbolic link.
///
/// # Errors
/// The server's.
pub async fn symlink(place: &Place, path: &str, owner: Owner, to: &str) -> Result<()> {
    let call = owner.headers(Call::new("POST", &place.url_of(path)), "symlink");
    place.target.client.envelope(call.bytes(to.as_bytes().to_vec())).await?;
    Ok(())
}

/// Makes a directory.
///
/// # Errors
/// The server's.
pub async fn directory(place: &Place, path: &str, owner: Owner) -> Result<()> {
    let call = owner.headers(Call::new("POST", &place.url_of(path)), "directory");
    place.target.client.envelope(call).await?;
    Ok(())
}

/// Makes a directory and all above it that are missing.
///
/// # Errors
/// The server's.
pub async fn directories(place: &Place, path: &str, owner: Owner) -> Result<()> {
    let mut missing = Vec::new();
    let mut path = path.trim_end_matches('/');
    while !path.is_empty() {
        match get(place, path).await {
            Ok(_) => break,
            Err(error) if not_found(&error) => missing.push(path.to_owned()),
            Err(error) => return Err(error),
        }
        path = path.rsplit_once('/').map_or("", |(above, _)| above);
    }
    for path in missing.iter().rev() {
        directory(place, path, owner).await?;
    }
    Ok(())
}

/// True when the server said that the path does not exist.
pub fn not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<lxd_client::Error>().is_some_and(lxd_client::Error::is_not_found)
}
