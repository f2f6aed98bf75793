//! `/1.0/instances/{name}/console`.

use lxd_core::instances::console;
use lxd_types::Result;

use crate::{Ctx, Reply};

/// Connects the client with the console.
pub async fn post(mut cx: Ctx) -> Result<Reply> {
    let request = cx.json().await?;
    let operation = console::attach(&cx.core, &cx.permit()?, &cx.parse("name")?, request).await?;
    Reply::operation(&operation)
}

/// The console's log.
pub async fn get(cx: Ctx) -> Result<Reply> {
    let log = console::log(&cx.core, &cx.permit()?, &cx.parse("name")?).await?;
    Ok(Reply::raw("application/octet-stream", log))
}

/// Empties the console's log.
pub async fn delete(cx: Ctx) -> Result<Reply> {
    console::clear(&cx.core, &cx.permit()?, &cx.parse("name")?).await?;
    Ok(Reply::empty())
}
