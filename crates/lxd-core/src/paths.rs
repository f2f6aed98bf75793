//! The layout of `LXD_DIR` (manual 3.1.2, "Data directory"; the rest as the reference makes it).

use std::path::{Path, PathBuf};

/// Paths below the data directory.
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
}

macro_rules! paths {
    ($($(#[$doc:meta])* $name:ident = $sub:literal;)*) => {
        impl Paths {
            $($(#[$doc])* pub fn $name(&self) -> PathBuf {
                self.root.join($sub)
            })*
        }
    };
}

paths! {
    /// The socket of the API.
    unix_socket = "unix.socket";
    /// Socket to which monitors send intercepted system calls.
    seccomp_socket = "seccomp.socket";
    /// Both databases.
    database = "database";
    /// Image files.
    images = "images";
    /// Logs of instances.
    logs = "logs";
    /// State of managed networks.
    networks = "networks";
    /// Storage pools, each mounted below its name.
    storage_pools = "storage-pools";
    /// Links to the volumes of containers.
    containers = "containers";
    /// Links to the snapshots of containers.
    snapshots = "snapshots";
    /// Device nodes and mounts of instances.
    devices = "devices";
    /// Mounts that are passed into running containers.
    shmounts = "shmounts";
    /// Sockets of `/dev/lxd`.
    devlxd = "devlxd";
    /// Generated seccomp profiles.
    security_seccomp = "security/seccomp";
    /// Backups that wait for their download. With the point: it may be a symbolic link to a volume.
    backups = "backups/.";
    /// The certificate that TLS clients see.
    server_crt = "server.crt";
    /// Its key.
    server_key = "server.key";
}

impl Paths {
    /// The layout below a data directory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The data directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
}
