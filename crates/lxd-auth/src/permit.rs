//! Permission as a value: what changes state asks for a [`Permit`].

use lxd_types::names::ProjectName;

use crate::Caller;

/// Proof that a caller may act in a project. Made by the router's access check, or for the daemon itself.
#[derive(Clone, Debug)]
pub struct Permit {
    project: ProjectName,
    caller: Caller,
}

impl Permit {
    /// A permit for the daemon's own work in a project: autostart, background tasks, recovery.
    pub fn daemon(project: ProjectName) -> Self {
        Self { project, caller: Caller::daemon() }
    }

    /// A permit of a caller that the access check let through. Called by the router only.
    pub fn granted(project: ProjectName, caller: Caller) -> Self {
        Self { project, caller }
    }

    /// The project.
    pub fn project(&self) -> &ProjectName {
        &self.project
    }

    /// Who acts.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}
