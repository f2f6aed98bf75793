//! What exists: everything that a failed action could leave behind.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use lxd_testkit::Daemon;

/// Rows, files, mounts, interfaces, cgroups and processes that belong to a daemon.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct World(BTreeSet<String>);

impl World {
    /// Looks at everything.
    pub fn of(daemon: &Daemon) -> Self {
        let mut found = BTreeSet::new();
        let lists = [
            "instances?all-projects=true",
            "images",
            "images/aliases",
            "networks",
            "storage-pools",
            "profiles",
            "projects",
        ];
        for list in lists {
            for url in daemon.get(&format!("/1.0/{list}")).metadata().as_array().into_iter().flatten() {
                found.insert(format!("row {url}"));
            }
        }
        let root = daemon.lxd_dir();
        for folder in [
            "backups",
            "containers",
            "devices",
            "disks",
            "images",
            "logs",
            "networks",
            "security",
            "shmounts",
            "snapshots",
        ] {
            files(&root.join(folder), &mut found);
        }
        for pool in children(&root.join("storage-pools")) {
            for kind in children(&pool) {
                found.extend(children(&kind).iter().map(|path| format!("volume {}", path.display())));
            }
        }
        let text = root.display().to_string();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        found.extend(mounts.lines().filter(|line| line.contains(&text)).map(|line| format!("mount {line}")));
        found.extend(links(&daemon.netns.name));
        found.extend(processes(&text));
        Self(found)
    }

    /// What is in one and not in the other.
    pub fn difference(&self, other: &Self) -> Vec<String> {
        let gone = self.0.difference(&other.0).map(|what| format!("- {what}"));
        gone.chain(other.0.difference(&self.0).map(|what| format!("+ {what}"))).collect()
    }
}

/// Files below a folder, but for logs of what ran (they may stay) and of dnsmasq.
fn files(path: &Path, found: &mut BTreeSet<String>) {
    for child in children(path) {
        found.insert(format!("file {}", child.display()));
        if child.is_dir() && !child.is_symlink() && !path.ends_with("logs") {
            files(&child, found);
        }
    }
}

fn children(path: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn links(netns: &str) -> Vec<String> {
    let output = Command::new("ip").args(["-n", netns, "-o", "link"]).output().expect("iproute2 is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.split(": ").nth(1)).map(|name| format!("link {name}")).collect()
}

/// Processes that name the folder in their arguments, without their pids.
fn processes(folder: &str) -> Vec<String> {
    let all = children(Path::new("/proc"));
    all.iter()
        .filter_map(|process| std::fs::read(process.join("cmdline")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .filter(|arguments| arguments.contains(folder))
        .map(|arguments| format!("process {arguments}"))
        .collect()
}
