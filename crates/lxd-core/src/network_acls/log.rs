//! `GET /1.0/network-acls/{name}/log`.

use lxd_auth::Permit;
use lxd_types::{Error, Result};

use crate::SharedCore;

/// The log of an ACL. Only OVN keeps one: what bridges log is in the kernel's log.
///
/// # Errors
/// There is no such ACL, and otherwise always the reference's answer.
pub async fn log(core: &SharedCore, permit: &Permit, name: &str) -> Result<String> {
    super::get(core, permit, name).await?;
    Err(Error::internal("Only OVN log entries may be retrieved at this time"))
}
