//! `lxc image export`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use lxd_client::simplestreams::StreamImage;
use lxd_client::{Call, Reply};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::streams;
use crate::cli::{Matches, Spec, switch};
use crate::commands::init::find_image;
use crate::cx::Cx;
use crate::multipart;
use crate::upload::{self, Meter};

/// The command.
pub static SPEC: Spec = Spec {
    name: "export",
    args: "[<remote>:]<image> [<target>]",
    about: "Fetch the files of an image",
    long: "The target is a directory or a file name; without one the files go to the current directory.
An image of one file becomes TARGET.EXTENSION, one of two files TARGET and TARGET.root.",
    flags: &[switch("vm", "Virtual machine image")],
    count: (1, 2),
    run: Some(|cx, m| Box::pin(run(cx, m))),
    ..Spec::NEW
};

/// Before the progress.
const LABEL: &str = "Exporting the image";

/// What a given target name gets behind it, for each file.
const SUFFIXES: [&str; 2] = ["", ".root"];

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = if matches.args.len() > 1 { matches.arg(1) } else { "." };
    if target.ends_with('/') && !Path::new(target).is_dir() {
        bail!("open {target}: is a directory");
    }
    let (remote, name) = cx.split(matches.arg(0))?;
    if cx.remote(&remote)?.is_image_server() {
        let image = streams::find(cx, &remote, &name, matches.is("vm")).await?;
        web_files(cx, &remote, &image, target).await?;
    } else {
        let (client, name) = super::readable(cx, matches.arg(0))?;
        let image = find_image(&client, &name).await?;
        let call = Call::new("GET", &format!("{}/export", super::path(&image.fingerprint)));
        let reply = client.stream(call).await?;
        let meter = Meter::new(cx, LABEL, u64::try_from(image.size).unwrap_or(0));
        let kind = reply.header("content-type").to_owned();
        if kind.starts_with("multipart/form-data") {
            two_files(reply, &kind, target, meter).await?;
        } else {
            one_file(reply, target, meter).await?;
        }
    }
    if !cx.quiet {
        println!("Image exported successfully!");
    }
    Ok(())
}

/// `FINGERPRINT.tar.gz` of the header `Content-Disposition`.
fn file_name(disposition: &str) -> String {
    let name = disposition.split("filename=").nth(1).unwrap_or_default();
    let name = name.split(';').next().unwrap_or_default().trim().trim_matches('"');
    // Only the last part: the server must not choose the directory.
    Path::new(name)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_else(|| "image".into())
}

/// Where a file goes: into the directory, or under the given name with a suffix (else the file's extension).
fn place(target: &str, file: &str, suffix: Option<&str>) -> PathBuf {
    let path = Path::new(target);
    if path.is_dir() {
        return path.join(file);
    }
    if let Some(suffix) = suffix {
        return PathBuf::from(format!("{target}{suffix}"));
    }
    let extension = file.split_once('.').map_or(String::new(), |(_, rest)| format!(".{rest}"));
    PathBuf::from(format!("{target}{extension}"))
}

async fn create(path: &Path) -> Result<tokio::fs::File> {
    let file = tokio::fs::File::create(path).await;
    file.map_err(|error| anyhow::anyhow!("open {}: {}", path.display(), upload::reason(&error)))
}

async fn one_file(mut reply: Reply, target: &str, mut meter: Meter) -> Result<()> {
    let path = place(target, &file_name(reply.header("content-disposition")), None);
    let mut file = create(&path).await?;
    while let Some(piece) = reply.chunk().await? {
        meter.pass(piece.len());
        file.write_all(&piece).await.with_context(|| path.display().to_string())?;
    }
    file.flush().await?;
    Ok(())
}

async fn two_files(reply: Reply, kind: &str, target: &str, mut meter: Meter) -> Result<()> {
    let boundary = kind.split("boundary=").nth(1).unwrap_or_default().trim_matches('"').to_owned();
    let mut parts = multipart::Parts::new(reply, &boundary);
    let mut index = 0;
    while let Some(headers) = parts.next_part().await? {
        let path = place(target, &file_name(&headers), Some(SUFFIXES.get(index).context("Too many files")?));
        let mut file = create(&path).await?;
        while let Some(piece) = parts.chunk().await? {
            meter.pass(piece.len());
            file.write_all(&piece).await.with_context(|| path.display().to_string())?;
        }
        file.flush().await?;
        index += 1;
    }
    Ok(())
}

/// The files of an image of a simplestreams server; their hashes are looked at.
async fn web_files(cx: &Cx, remote: &str, image: &StreamImage, target: &str) -> Result<()> {
    let mut meter = Meter::new(cx, LABEL, image.size());
    let mut hash = Sha256::new();
    for (file, suffix) in image.files.iter().zip(SUFFIXES) {
        let mut reply = streams::open(cx, remote, file).await?;
        let path = place(target, streams::name_of(file), Some(suffix));
        let mut out = create(&path).await?;
        while let Some(piece) = reply.chunk().await? {
            meter.pass(piece.len());
            hash.update(&piece);
            out.write_all(&piece).await.with_context(|| path.display().to_string())?;
        }
        out.flush().await?;
    }
    let got = hex::encode(hash.finalize());
    if got != image.fingerprint {
        bail!("The files have fingerprint {got} instead of {}", image.fingerprint);
    }
    Ok(())
}
