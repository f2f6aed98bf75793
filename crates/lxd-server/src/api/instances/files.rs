//! `/1.0/instances/{name}/files`.

use chrono::DateTime;
use http::HeaderName;
use lxd_core::instances::content::{self, Content, New};
use lxd_core::instances::upload::Upload;
use lxd_core::transfer;
use lxd_types::helper::{FileOwner, FileRequest, FileStat, PathKind};
use lxd_types::{Error, Result};

use crate::{Ctx, Reply};

/// The longest text of a symbolic link, in bytes.
const LINK: usize = 4096;

/// Files up to this size are received as a whole before anything is changed; larger ones are kept apart until
/// they are whole.
const WHOLE: usize = 1 << 20;

/// Content of a file, names of a directory, text of a link.
pub async fn get(cx: Ctx) -> Result<Reply> {
    let path = path(&cx)?;
    let (stat, content) = content::get(&cx.core, &cx.permit()?, &cx.parse("name")?, &path).await?;
    let name = path.rsplit('/').next().unwrap_or_default();
    let reply = match content {
        Content::File(file) => Reply::file(file, stat.size, name)?,
        Content::Directory(names) => Reply::json(&names)?,
        Content::Symlink(text) => Reply::raw("application/octet-stream", text.into_bytes()),
    };
    described(reply, &stat)
}

/// Creates or changes a file, creates a directory or link.
pub async fn post(mut cx: Ctx) -> Result<Reply> {
    let (permit, path, name) = (cx.permit()?, path(&cx)?, cx.parse("name")?);
    let new = match cx.header("x-lxd-type").unwrap_or("file") {
        "file" | "" => New::File { append: append(&cx)? },
        "directory" => New::Directory,
        "symlink" => {
            let text = cx.bytes(LINK).await?;
            let text = std::str::from_utf8(&text).map_err(|error| Error::bad_request(error.to_string()))?;
            New::Symlink(text.to_owned())
        }
        other => return Err(Error::bad_request(format!("Bad file type: {other}"))),
    };
    let owner = owner(&cx, &new);
    if let (New::File { append }, Some(0..=WHOLE)) = (&new, length(&cx)) {
        // A client that goes away in the middle leaves the file as it was.
        let (core, bytes) = (cx.core.clone(), cx.bytes(WHOLE).await?);
        let request = FileRequest::Write { path, append: *append, owner };
        let change = async move { content::write(&core, &permit, &name, &request, &bytes).await };
        cx.core.run("push file", change).await?;
        return Ok(Reply::empty());
    }
    if new == (New::File { append: false }) {
        let body = cx.stream();
        let upload = Upload::begin(&cx.core, &permit, &name, &path, owner).await?;
        transfer::receive(upload.file()?, body).await?;
        cx.core.run("push file", upload.finish()).await?;
        return Ok(Reply::empty());
    }
    let body = cx.stream();
    // What is appended is there as it comes: nothing that was there is lost.
    if let Some(file) = content::put(&cx.core, &permit, &name, &path, new, owner).await? {
        transfer::receive(file, body).await?;
    }
    Ok(Reply::empty())
}

/// Removes a file or an empty directory.
pub async fn delete(cx: Ctx) -> Result<Reply> {
    content::delete(&cx.core, &cx.permit()?, &cx.parse("name")?, &path(&cx)?).await?;
    Ok(Reply::empty())
}

fn path(cx: &Ctx) -> Result<String> {
    let path = cx.query("path").filter(|path| !path.is_empty());
    path.map(str::to_owned).ok_or_else(|| Error::bad_request("Missing path argument"))
}

/// The announced length of the body.
fn length(cx: &Ctx) -> Option<usize> {
    cx.header("content-length").and_then(|text| text.parse().ok())
}

fn append(cx: &Ctx) -> Result<bool> {
    match cx.header("x-lxd-write").unwrap_or("overwrite") {
        "overwrite" | "" => Ok(false),
        "append" => Ok(true),
        other => Err(Error::bad_request(format!("Bad file write mode: {other}"))),
    }
}

/// Owner and mode of what is made; numbers that cannot be read count as not given, as in the reference.
fn owner(cx: &Ctx, new: &New) -> FileOwner {
    let id = |name: &str| cx.header(name).and_then(|text| text.parse().ok()).unwrap_or(0);
    let mode = if *new == New::Directory { 0o750 } else { 0o644 };
    let given = cx.header("x-lxd-mode").and_then(|text| u32::from_str_radix(text, 8).ok());
    FileOwner { uid: id("x-lxd-uid"), gid: id("x-lxd-gid"), mode: given.unwrap_or(mode) & 0o7777 }
}

fn described(reply: Reply, stat: &FileStat) -> Result<Reply> {
    let kind = match stat.kind {
        PathKind::Directory => "directory",
        PathKind::Symlink => "symlink",
        PathKind::File | PathKind::Other => "file",
    };
    let time = DateTime::from_timestamp(stat.modified, 0).unwrap_or_default();
    [
        ("x-lxd-uid", stat.owner.uid.to_string()),
        ("x-lxd-gid", stat.owner.gid.to_string()),
        ("x-lxd-mode", format!("{:04o}", stat.owner.mode & 0o777)),
        ("x-lxd-modified", time.format("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()),
        ("x-lxd-type", kind.to_owned()),
    ]
    .into_iter()
    .try_fold(reply, |reply, (name, value)| reply.header(HeaderName::from_static(name), &value))
}
