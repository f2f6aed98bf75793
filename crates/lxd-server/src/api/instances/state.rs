//! `/1.0/instances/{name}/state`.

use lxd_core::instances::state;
use lxd_types::Result;

use crate::{Ctx, Reply};

/// The run-time state.
pub async fn get(cx: Ctx) -> Result<Reply> {
    let state = state::get(&cx.core, &cx.permit()?, &cx.parse("name")?).await?;
    Reply::json(&state)
}

/// Changes it: start, stop, restart, freeze, unfreeze.
pub async fn put(mut cx: Ctx) -> Result<Reply> {
    let put = cx.json().await?;
    let operation = state::put(&cx.core, &cx.permit()?, &cx.parse("name")?, put).await?;
    Reply::operation(&operation)
}
