//! `/1.0/instances/{name}/metadata` and `…/metadata/templates`.

use lxd_api::image::ImageMetadata;
use lxd_core::instances;
use lxd_types::{Error, Result};

use crate::{Ctx, Reply};

/// Longest template that is taken, in bytes.
const TEMPLATE_LIMIT: usize = 1 << 20;

pub async fn get(cx: Ctx) -> Result<Reply> {
    let metadata = instances::metadata(&cx.core, &cx.permit()?, &cx.parse("name")?).await?;
    Reply::json(&metadata)?.etag(&metadata)
}

pub async fn put(mut cx: Ctx) -> Result<Reply> {
    let (permit, name) = (cx.permit()?, cx.parse("name")?);
    cx.if_match(&instances::present_metadata(&cx.core, &permit, &name).await?)?;
    let new: ImageMetadata = cx.json().await?;
    instances::set_metadata(&cx.core, &permit, &name, new).await?;
    Ok(Reply::empty())
}

pub async fn patch(mut cx: Ctx) -> Result<Reply> {
    let (permit, name) = (cx.permit()?, cx.parse("name")?);
    let present = instances::present_metadata(&cx.core, &permit, &name).await?;
    cx.if_match(&present)?;
    let new = cx.patch(&present).await?;
    instances::set_metadata(&cx.core, &permit, &name, new).await?;
    Ok(Reply::empty())
}

/// The list of templates, or the content of the one that `?path=` names.
pub async fn templates(cx: Ctx) -> Result<Reply> {
    let (permit, name) = (cx.permit()?, cx.parse("name")?);
    match cx.query("path").filter(|path| !path.is_empty()) {
        None => Reply::json(&instances::templates(&cx.core, &permit, &name).await?),
        Some(path) => {
            let content = instances::template(&cx.core, &permit, &name, path).await?;
            Ok(Reply::raw("application/octet-stream", content))
        }
    }
}

pub async fn set_template(mut cx: Ctx) -> Result<Reply> {
    let path = path(&cx)?;
    let content = cx.bytes(TEMPLATE_LIMIT).await?;
    instances::set_template(&cx.core, &cx.permit()?, &cx.parse("name")?, &path, content.to_vec()).await?;
    Ok(Reply::empty())
}

pub async fn delete_template(cx: Ctx) -> Result<Reply> {
    instances::delete_template(&cx.core, &cx.permit()?, &cx.parse("name")?, &path(&cx)?).await?;
    Ok(Reply::empty())
}

fn path(cx: &Ctx) -> Result<String> {
    let path = cx.query("path").filter(|path| !path.is_empty());
    path.map(str::to_owned).ok_or_else(|| Error::bad_request("missing path argument"))
}
