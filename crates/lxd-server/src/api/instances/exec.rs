//! `/1.0/instances/{name}/exec`.

use lxd_core::instances;
use lxd_types::Result;

use crate::{Ctx, Reply};

/// Runs a command.
pub async fn post(mut cx: Ctx) -> Result<Reply> {
    let request = cx.json().await?;
    let operation = instances::exec(&cx.core, &cx.permit()?, &cx.parse("name")?, request).await?;
    Reply::operation(&operation)
}
