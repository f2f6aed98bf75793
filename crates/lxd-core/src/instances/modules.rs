//! `linux.kernel_modules`: modules of the host's kernel that an instance relies on.

use std::path::Path;

use lxd_host::Cmd;
use lxd_instance::keys::LINUX_KERNEL_MODULES;
use lxd_types::{Config, Error, Kind, Result};

use crate::SharedCore;

/// Loads what is neither loaded nor built in.
///
/// # Errors
/// `modprobe` says why.
pub async fn load(core: &SharedCore, config: &Config) -> Result<()> {
    let wanted = LINUX_KERNEL_MODULES.read(config)?.unwrap_or_default();
    for name in wanted.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let loaded = Path::new("/sys/module").join(name.replace('-', "_"));
        if tokio::fs::try_exists(loaded).await.unwrap_or(false) {
            continue;
        }
        core.runner.run(command(name)).await.map_err(|error| {
            Error::with_source(Kind::Internal, format!("Failed to load kernel module '{name}'"), error)
        })?;
    }
    Ok(())
}

fn command(name: &str) -> Cmd {
    Cmd::new("modprobe").args(["-b", "--", name])
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_no_options() {
        assert!(super::command("-r").line().ends_with("-b -- -r"));
    }
}
