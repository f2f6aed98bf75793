//! Backups: an instance has none as long as this server cannot make them.

use lxd_core::instances;
use lxd_types::{Error, Result};

use crate::{Ctx, Reply};

/// The empty list, of an instance that exists.
pub async fn none(cx: Ctx) -> Result<Reply> {
    instances::get(&cx.core, &cx.permit()?, &cx.parse("name")?).await?;
    Reply::json(&[(); 0])
}

/// A backup cannot be made.
pub async fn no_backup(cx: Ctx) -> Result<Reply> {
    instances::get(&cx.core, &cx.permit()?, &cx.parse("name")?).await?;
    Err(Error::not_implemented("Backups of instances are not supported yet"))
}
