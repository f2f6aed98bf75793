//! What a limited client may do: rights by project.

use std::collections::BTreeMap;

use crate::Level;

/// A set of levels: what may be done with the objects of one project.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rights(u16);

impl Rights {
    /// All that a client certificate has in the projects that it is limited to (manual 3.4.5): everything but changing
    /// the project itself.
    pub const CERTIFICATE: Self = Self(!(1 << Level::Project as u16));

    /// Adds a level.
    #[must_use]
    pub fn with(self, level: Level) -> Self {
        Self(self.0 | 1 << level as u16)
    }

    /// Is the level among them?
    pub fn has(self, level: Level) -> bool {
        self.0 & 1 << level as u16 != 0
    }

    /// Does `other` have all of these?
    fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The rights that permissions of the RBAC service stand for; unknown ones give nothing.
    pub fn from_permissions<'a>(permissions: impl IntoIterator<Item = &'a str>) -> Self {
        permissions.into_iter().filter_map(level_of).fold(Self::default(), Self::with)
    }
}

/// The level of a permission of the RBAC service.
fn level_of(permission: &str) -> Option<Level> {
    Some(match permission {
        "view" => Level::View,
        "operate-containers" => Level::Operate,
        "manage-containers" => Level::Manage,
        "manage-images" => Level::Images,
        "manage-networks" => Level::Networks,
        "manage-profiles" => Level::Profiles,
        "manage-storage-volumes" => Level::Volumes,
        "manage-projects" => Level::Project,
        _ => return None,
    })
}

/// The projects of a limited client, with its rights in each.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Limits(BTreeMap<String, Rights>);

impl Limits {
    /// Those of a restricted certificate.
    pub fn of_certificate(projects: Vec<String>) -> Self {
        projects.into_iter().map(|name| (name, Rights::CERTIFICATE)).collect()
    }

    /// The rights in a project; none where it is not among them.
    pub fn rights(&self, project: &str) -> Rights {
        self.0.get(project).copied().unwrap_or_default()
    }

    /// Does `other` allow all that these do?
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.iter().all(|(project, rights)| rights.is_within(other.rights(project)))
    }
}

impl FromIterator<(String, Rights)> for Limits {
    fn from_iter<T: IntoIterator<Item = (String, Rights)>>(all: T) -> Self {
        Self(all.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_levels() {
        let rights = Rights::from_permissions(["view", "operate-containers", "nonsense"]);
        assert!(rights.has(Level::View) && rights.has(Level::Operate) && !rights.has(Level::Manage));
        assert!(!Rights::CERTIFICATE.has(Level::Project) && Rights::CERTIFICATE.has(Level::Volumes));
    }

    #[test]
    fn less_is_within_more() {
        let of = |rights| Limits::from_iter([("p".to_owned(), rights)]);
        let view = of(Rights::from_permissions(["view"]));
        let full = Limits::of_certificate(vec!["p".into()]);
        assert!(view.is_within(&full) && !full.is_within(&view) && Limits::default().is_within(&view));
        assert!(!view.is_within(&Limits::of_certificate(vec!["q".into()])));
    }
}
