//! `forkstart`: starts a container and answers when it runs. liblxc forks the container's monitor from this process.

use liblxc::{Container, Lxc};
use lxd_types::helper::{ContainerRef, Started};

use crate::link::{Link, Outcome, failure, system};

/// Runs the job.
pub fn run(link: &Link) -> Outcome<()> {
    let (job, _): (ContainerRef, _) = link.job()?;
    let container = load(&job)?;
    container.start().map_err(|_| failure(format!("Failed to start container {:?}", job.name)))?;
    // It may have ended again at once: init then has no pid any more, which the caller's watch would find out too.
    let init = container.init_pid().ok_or_else(|| failure("The container ended right after its start"))?;
    let monitor = lxd_sys::process::parent_of(init).map_err(|e| system("Failed to find the monitor", &e))?;
    link.ok(&Started { init, monitor }, &[])
}

/// A handle with its configuration read.
pub fn load(job: &ContainerRef) -> Outcome<Container> {
    let lxc = Lxc::open().map_err(|error| failure(error.to_string()))?;
    let container = Container::new(lxc, &job.name, &job.lxcpath).map_err(|e| failure(e.to_string()))?;
    container
        .load_config(&job.config)
        .map_err(|_| failure(format!("Failed to load configuration {:?}", job.config)))?;
    Ok(container)
}
