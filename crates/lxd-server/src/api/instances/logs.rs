//! `/1.0/instances/{name}/logs`.

use lxd_core::instances::logs;
use lxd_core::with_project;
use lxd_types::Result;

use crate::{Ctx, Reply};

/// URLs of the log files.
pub async fn list(cx: Ctx) -> Result<Reply> {
    let permit = cx.permit()?;
    let names = logs::list(&cx.core, &permit, &cx.parse("name")?).await?;
    let (collection, name) = (cx.collection.as_str(), cx.param("name"));
    let url =
        |file: &String| with_project(&format!("/1.0/{collection}/{name}/logs/{file}"), permit.project());
    Reply::json(&names.iter().map(url).collect::<Vec<_>>())
}

/// One log file.
pub async fn get(cx: Ctx) -> Result<Reply> {
    let file = cx.param("file");
    let (opened, size) = logs::get(&cx.core, &cx.permit()?, &cx.parse("name")?, file).await?;
    Reply::file(opened, size, file)
}

/// Removes it.
pub async fn delete(cx: Ctx) -> Result<Reply> {
    logs::delete(&cx.core, &cx.permit()?, &cx.parse("name")?, cx.param("file")).await?;
    Ok(Reply::empty())
}
