//! `lxc image import`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use lxd_client::{Call, encode};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::cli::{Matches, Spec, list, switch};
use crate::cx::Cx;
use crate::{follow, upload};

/// The command.
pub static SPEC: Spec = Spec {
    name: "import",
    args: "<tarball>|<directory>|<URL> [<rootfs tarball>] [<remote>:] [key=value...]",
    about: "Put image files (or what a URL names) into the image store",
    long: "A directory is packed by the command; that needs root and the program tar.",
    flags: &[list("alias", "Alias for the new image"), switch("public", "Visible to untrusted clients")],
    count: (1, usize::MAX),
    run: Some(|cx, m| Box::pin(run(cx, m))),
    ..Spec::NEW
};

/// What the words of the command line mean.
struct Plan {
    file: String,
    rootfs: Option<String>,
    remote: String,
    properties: Vec<(String, String)>,
}

fn plan(cx: &Cx, words: &[String]) -> Result<Plan> {
    let mut plan =
        Plan { file: words[0].clone(), rootfs: None, remote: String::new(), properties: Vec::new() };
    for word in &words[1..] {
        if let Some((key, value)) = word.split_once('=') {
            plan.properties.push((key.to_owned(), value.to_owned()));
        } else if word.ends_with(':') && cx.split(word).is_ok() {
            plan.remote.clone_from(word);
        } else if plan.rootfs.is_none() {
            plan.rootfs = Some(word.clone());
        } else {
            bail!("Invalid number of arguments");
        }
    }
    Ok(plan)
}

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let plan = plan(cx, &matches.args)?;
    let target = cx.target(&plan.remote)?;
    let mut operation = if plan.file.contains("://") {
        let call = url_request(&plan, matches)?;
        target.client.start_call(call).await?
    } else {
        let properties = query(&plan.properties);
        let call = Call::new("POST", "/1.0/images")
            .header("x-lxd-public", if matches.is("public") { "true" } else { "false" });
        let call = if properties.is_empty() { call } else { call.header("x-lxd-properties", &properties) };
        let call = body(cx, call, &plan).await?;
        target.client.start_call(call).await?
    };
    follow::wait(cx, &mut operation, "").await?;
    let fingerprint =
        operation.state.metadata.get("fingerprint").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !cx.quiet {
        println!("Image imported with fingerprint: {fingerprint}");
    }
    for alias in matches.list("alias") {
        let body = json!({"description": "", "target": fingerprint, "name": alias, "type": "container"});
        let existing = format!("/1.0/images/aliases/{}", encode(alias));
        if target.client.send::<Value>("GET", &existing, None).await.is_ok() {
            target.client.send::<Value>("DELETE", &existing, None).await?;
        }
        target.client.send("POST", "/1.0/images/aliases", Some(&body)).await?;
    }
    Ok(())
}

pub(super) fn query(pairs: &[(String, String)]) -> String {
    pairs
        .iter()
        .map(|(key, value)| format!("{}={}", encode(key), encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}

fn url_request(plan: &Plan, matches: &Matches) -> Result<Call> {
    if !plan.file.starts_with("https://") {
        bail!("Only https:// is supported for remote image import");
    }
    let properties: serde_json::Map<String, Value> =
        plan.properties.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let body = json!({
        "source": {"type": "url", "mode": "pull", "protocol": "direct", "url": plan.file},
        "public": matches.is("public"),
        "properties": properties,
    });
    Ok(Call::new("POST", "/1.0/images").json(&body)?)
}

/// One file is sent as it is, two as a form.
async fn body(cx: &Cx, call: Call, plan: &Plan) -> Result<Call> {
    let path = PathBuf::from(&plan.file);
    if path.is_dir() {
        let packed = pack(&path).await?;
        let name = "image.tar".to_owned();
        let reader = upload::Source::open(&packed).await;
        let _ = std::fs::remove_file(&packed);
        let reader = reader?;
        return Ok(call
            .header("content-type", "application/octet-stream")
            .header("x-lxd-filename", &name)
            .stream(reader.progress(cx, "Transferring image")));
    }
    let file = upload::Source::open(&path).await?;
    let Some(rootfs) = &plan.rootfs else {
        return Ok(call
            .header("content-type", "application/octet-stream")
            .header("x-lxd-filename", &name_of(&path))
            .header("content-length", &file.length.to_string())
            .stream(file.progress(cx, "Transferring image")));
    };
    let second = upload::Source::open(Path::new(rootfs)).await?;
    let boundary = format!("lxc{:032x}", upload::random());
    let part = if is_disk(Path::new(rootfs)).await? { "rootfs.img" } else { "rootfs" };
    let head = form_head(&boundary, "metadata", &name_of(&path));
    let middle = format!("\r\n{}", form_head(&boundary, part, &name_of(Path::new(rootfs))));
    let tail = format!("\r\n--{boundary}--\r\n");
    let length = head.len() as u64 + file.length + middle.len() as u64 + second.length + tail.len() as u64;
    let stream = upload::concat(vec![
        upload::Piece::Bytes(Bytes::from(head)),
        upload::Piece::File(file),
        upload::Piece::Bytes(Bytes::from(middle)),
        upload::Piece::File(second),
        upload::Piece::Bytes(Bytes::from(tail)),
    ]);
    Ok(call
        .header("content-type", &format!("multipart/form-data; boundary={boundary}"))
        .header("content-length", &length.to_string())
        .stream(stream))
}

pub(super) fn form_head(boundary: &str, field: &str, file: &str) -> String {
    let file = file.replace(['"', '\r', '\n'], "_");
    format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{file}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// True for a disk image (qcow2).
async fn is_disk(path: &Path) -> Result<bool> {
    let mut magic = [0; 4];
    let mut file = tokio::fs::File::open(path).await.with_context(|| path.display().to_string())?;
    Ok(file.read_exact(&mut magic).await.is_ok() && &magic == b"QFI\xfb")
}

/// Packs a directory as a tarball; its owners must be kept, so this needs root.
async fn pack(dir: &Path) -> Result<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        bail!("Must run as root to import from directory");
    }
    let out = std::env::temp_dir().join(format!("lxd_image_{:016x}.tar", upload::random()));
    let tar = |mode: &str| {
        let mut command = tokio::process::Command::new("tar");
        command.arg(mode).arg("--numeric-owner").arg("--xattrs").arg("-f").arg(&out).arg("-C").arg(dir);
        command.args(["metadata.yaml", "rootfs"]);
        if dir.join("templates").is_dir() {
            command.arg("templates");
        }
        command
    };
    let status = tar("-c").status().await.context("tar")?;
    if !status.success() {
        let _ = std::fs::remove_file(&out);
        bail!("Failed to pack {}: tar: {status}", dir.display());
    }
    Ok(out)
}
