//! `/1.0/instances/{name}/logs`: what the last runs of an instance wrote.

use std::fs::File;
use std::io;

use lxd_auth::Permit;
use lxd_sys::Dir;
use lxd_types::names::{FileName, InstanceName};
use lxd_types::{Error, Result};

use super::{InstanceKey, load};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// Names of the log files, sorted.
///
/// # Errors
/// There is no such instance.
pub async fn list(core: &SharedCore, permit: &Permit, name: &InstanceName) -> Result<Vec<String>> {
    let found = below(core, permit, name, |dir| {
        let names = dir.read_dir(".")?.into_iter().filter_map(|entry| entry.name.into_string().ok());
        Ok(names.filter(|name| is_log(name)).collect::<Vec<_>>())
    })
    .await;
    let mut names = match found {
        Err(error) if error.kind() == lxd_types::Kind::NotFound && error.chain() != "Instance not found" => {
            Vec::new()
        }
        other => other?,
    };
    names.sort();
    Ok(names)
}

/// One log file, open for reading, and its size.
///
/// # Errors
/// There is no such instance or file, or the name is not that of a log.
pub async fn get(core: &SharedCore, permit: &Permit, name: &InstanceName, file: &str) -> Result<(File, u64)> {
    let wanted = checked(file)?;
    let opened = below(core, permit, name, move |dir| {
        let file = dir.open_file(wanted.as_str())?;
        let size = file.metadata()?.len();
        Ok((file, size))
    })
    .await?;
    let key = InstanceKey::new(permit.project(), name);
    let event = Lifecycle::new("instance-log-retrieved", format!("{}/logs/{file}", key.url()));
    core.tell(permit.caller(), event.in_project(&key.project));
    Ok(opened)
}

/// Removes a log file.
///
/// # Errors
/// As [`get`], and the running container's own logs stay.
pub async fn delete(core: &SharedCore, permit: &Permit, name: &InstanceName, file: &str) -> Result<()> {
    let wanted = checked(file)?;
    if matches!(file, "lxc.log" | "lxc.conf") {
        return Err(Error::bad_request("lxc.log and lxc.conf may not be deleted"));
    }
    below(core, permit, name, move |dir| dir.remove_file(wanted.as_str())).await?;
    let key = InstanceKey::new(permit.project(), name);
    let event = Lifecycle::new("instance-log-deleted", format!("{}/logs/{file}", key.url()));
    core.tell(permit.caller(), event.in_project(&key.project));
    Ok(())
}

/// A name that can only be one of our logs (rule R2; the client may send `..%2f`).
fn checked(file: &str) -> Result<FileName> {
    let refused = || Error::bad_request(format!("log file name {file} not valid"));
    let name: FileName = file.parse().map_err(|_| refused())?;
    if is_log(file) { Ok(name) } else { Err(refused()) }
}

fn is_log(name: &str) -> bool {
    matches!(name, "lxc.log" | "lxc.conf")
        || name.starts_with("exec_") && (name.ends_with(".stdout") || name.ends_with(".stderr"))
}

async fn below<T: Send + 'static>(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    work: impl FnOnce(&Dir) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let key = InstanceKey::new(permit.project(), name);
    let (wanted, storage_name, logs) = (key.clone(), key.storage_name(), core.paths.logs());
    core.db.read(move |tx| load(tx, &wanted)).await?;
    tokio::task::spawn_blocking(move || work(&Dir::open(logs)?.open_dir(storage_name)?))
        .await
        .map_err(|panic| Error::internal(panic.to_string()))?
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::not_found("Log file not found"),
            _ => Error::internal(format!("Failed to read the logs: {error}")),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_logs_are_files() {
        for good in ["lxc.log", "lxc.conf", "exec_6f1c.stdout"] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in
            ["", "..", "../lxc.log", "console.log", "exec_../../x.stdout", "passwd", "lxc.log\n", "exec_"]
        {
            assert!(checked(bad).is_err(), "{bad:?}");
        }
    }
}
