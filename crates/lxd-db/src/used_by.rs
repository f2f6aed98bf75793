//! Who uses a profile, a pool, a volume, a network, a project: found by queries, never stored.

/// Something that uses something else.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum User {
    /// An instance.
    Instance {
        /// Its project.
        project: String,
        /// Its name.
        name: String,
    },
    /// A snapshot of an instance.
    InstanceSnapshot {
        /// The project of the instance.
        project: String,
        /// The instance.
        instance: String,
        /// The snapshot.
        name: String,
    },
    /// A profile.
    Profile {
        /// Its project.
        project: String,
        /// Its name.
        name: String,
    },
    /// An image.
    Image {
        /// Its project.
        project: String,
        /// Its fingerprint.
        fingerprint: String,
    },
    /// A custom volume.
    Volume {
        /// Its project.
        project: String,
        /// Its pool.
        pool: String,
        /// Its name.
        name: String,
    },
    /// A snapshot of a custom volume.
    VolumeSnapshot {
        /// The volume's project.
        project: String,
        /// The volume's pool.
        pool: String,
        /// The volume.
        volume: String,
        /// The snapshot.
        name: String,
    },
    /// A managed network.
    Network {
        /// Its project.
        project: String,
        /// Its name.
        name: String,
    },
    /// A network ACL.
    NetworkAcl {
        /// Its project.
        project: String,
        /// Its name.
        name: String,
    },
}

impl User {
    /// The project of the user.
    pub fn project(&self) -> &str {
        match self {
            Self::Instance { project, .. }
            | Self::InstanceSnapshot { project, .. }
            | Self::Profile { project, .. }
            | Self::Image { project, .. }
            | Self::Volume { project, .. }
            | Self::VolumeSnapshot { project, .. }
            | Self::Network { project, .. }
            | Self::NetworkAcl { project, .. } => project,
        }
    }

    /// The URL in a `used_by` list. Names were checked when they were made: they need no escaping except those of
    /// profiles and volumes.
    pub fn url(&self) -> String {
        let (path, project) = match self {
            Self::Instance { project, name } => (format!("instances/{}", escape(name)), project),
            Self::InstanceSnapshot { project, instance, name } => {
                (format!("instances/{}/snapshots/{}", escape(instance), escape(name)), project)
            }
            Self::Profile { project, name } => (format!("profiles/{}", escape(name)), project),
            Self::Image { project, fingerprint } => (format!("images/{fingerprint}"), project),
            Self::Volume { project, pool, name } => {
                (format!("storage-pools/{}/volumes/custom/{}", escape(pool), escape(name)), project)
            }
            Self::VolumeSnapshot { project, pool, volume, name } => {
                let volume = escape(volume);
                (
                    format!(
                        "storage-pools/{}/volumes/custom/{volume}/snapshots/{}",
                        escape(pool),
                        escape(name)
                    ),
                    project,
                )
            }
            Self::Network { project, name } => (format!("networks/{}", escape(name)), project),
            Self::NetworkAcl { project, name } => (format!("network-acls/{}", escape(name)), project),
        };
        if project == crate::projects::DEFAULT_NAME {
            format!("/1.0/{path}")
        } else {
            format!("/1.0/{path}?project={}", escape(project))
        }
    }
}

/// Percent-encodes what may not stand in a path segment.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~$&+=:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_users() {
        let project = |name: &str| User::Profile { project: name.to_owned(), name: "a b".to_owned() }.url();
        assert_eq!(project("default"), "/1.0/profiles/a%20b");
        assert_eq!(project("p1"), "/1.0/profiles/a%20b?project=p1");
        let snapshot = User::VolumeSnapshot {
            project: "default".into(),
            pool: "p".into(),
            volume: "v".into(),
            name: "s".into(),
        };
        assert_eq!(snapshot.url(), "/1.0/storage-pools/p/volumes/custom/v/snapshots/s");
    }
}
