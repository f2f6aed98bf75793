//! Permission as a value: what changes state asks for a [`Permit`].

use lxd_types::names::ProjectName;
use lxd_types::{Error, Result};

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

    /// The same right in the project that owns what is inherited there.
    #[must_use]
    pub fn in_project(&self, project: ProjectName) -> Self {
        Self { project, caller: self.caller.clone() }
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

/// What may be done with the objects of a project.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// Look at them.
    View,
    /// Start, stop, enter, snapshot instances.
    Operate,
    /// Create, change and delete instances. In the route table: the things that the path is about.
    Manage,
    /// The same for images.
    Images,
    /// The same for networks.
    Networks,
    /// The same for profiles.
    Profiles,
    /// The same for storage volumes.
    Volumes,
    /// Change the project itself.
    Project,
}

/// Proves that the caller may do this in the project. The answer is the same whether the project exists or
/// not.
///
/// # Errors
/// Forbidden.
pub fn authorize(caller: &Caller, project: &ProjectName, level: Level) -> Result<Permit> {
    if !caller.may(project.as_str(), level) {
        return Err(denied());
    }
    Ok(Permit::granted(project.clone(), caller.clone()))
}

/// Proves that the caller may configure the server.
///
/// # Errors
/// Forbidden.
pub fn authorize_server(caller: &Caller) -> Result<Permit> {
    if !caller.is_admin() {
        return Err(denied());
    }
    Ok(Permit::granted(ProjectName::default_project(), caller.clone()))
}

/// What every refused caller reads.
pub fn denied() -> Error {
    Error::forbidden("not authorized")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Peer, Rights};

    fn tls(trusted: bool, projects: Option<Limits>) -> Caller {
        let address = "127.0.0.1:1".parse().unwrap();
        let peer = Peer::Tls { fingerprint: Some("f".into()), certificate: None, address };
        Caller { peer, trusted, projects }
    }

    #[test]
    fn a_limited_client_stays_in_its_projects() {
        let limited = tls(true, Some(Limits::of_certificate(vec!["p1".to_owned()])));
        assert!(authorize(&limited, &"p1".parse().unwrap(), Level::Manage).is_ok());
        assert!(authorize(&limited, &"default".parse().unwrap(), Level::View).is_err());
        assert!(authorize(&limited, &"p1".parse().unwrap(), Level::Project).is_err());
        assert!(authorize_server(&limited).is_err());
    }

    #[test]
    fn roles_are_told_apart() {
        let rights = Rights::from_permissions(["view", "operate-containers", "manage-profiles"]);
        let caller = tls(true, Some(Limits::from_iter([("p1".to_owned(), rights)])));
        let may = |level| authorize(&caller, &"p1".parse().unwrap(), level).is_ok();
        assert!(may(Level::View) && may(Level::Operate) && may(Level::Profiles));
        assert!(!may(Level::Manage) && !may(Level::Images) && !may(Level::Project));
    }

    #[test]
    fn strangers_get_nothing_and_the_socket_everything() {
        let stranger = tls(false, None);
        assert!(authorize(&stranger, &"default".parse().unwrap(), Level::View).is_err());
        assert!(authorize_server(&stranger).is_err());
        let local = Caller::local(1000, 1000, 1);
        assert!(authorize_server(&local).is_ok() && !local.is_root());
    }
}
