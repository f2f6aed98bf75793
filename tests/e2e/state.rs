//! Everything that a request could change: all rows of both databases, all files, links and processes.

use lxd_testkit::Daemon;

use crate::world::World;

/// What there is at one moment.
#[derive(PartialEq)]
pub struct State {
    rows: Vec<String>,
    files: Vec<String>,
    world: World,
}

impl State {
    /// Looks at everything.
    pub fn of(daemon: &Daemon) -> Self {
        let dump = |database: &str| {
            let answer = daemon.get(&format!("/internal/sql?database={database}")).metadata();
            let text = answer["text"].as_str().unwrap_or_default().to_owned();
            assert!(text.contains("CREATE TABLE"), "no dump of the {database} database: {answer}");
            text
        };
        let text = dump("global") + &dump("local");
        // Numbers that every insertion moves, what is only told, and work of the background.
        let told = ["sqlite_sequence", "INTO warnings", "INTO instances_stale"];
        let is_ours = |line: &&str| told.iter().all(|word| !line.contains(word));
        let rows = text.lines().filter(is_ours).map(str::to_owned).collect();
        Self { rows, files: files(daemon), world: World::of(daemon) }
    }

    /// Whether something is to be undone or finished.
    pub fn has_journal(&self) -> bool {
        self.rows.iter().any(|row| row.contains("INTO journal"))
    }

    /// What is in one and not in the other.
    pub fn difference(&self, other: &Self) -> Vec<String> {
        let mut found = self.world.difference(&other.world);
        for (sign, one, two) in [("-", self, other), ("+", other, self)] {
            let one = one
                .rows
                .iter()
                .chain(&one.files)
                .filter(|line| !two.rows.contains(line) && !two.files.contains(line));
            found.extend(one.map(|line| format!("{sign} {line}")));
        }
        found
    }
}

/// Names and sizes of the files in the root file systems of the instances, besides those of the image.
fn files(daemon: &Daemon) -> Vec<String> {
    let containers = daemon.lxd_dir().join("storage-pools/default/containers");
    let mut found = Vec::new();
    for volume in std::fs::read_dir(containers).into_iter().flatten().flatten() {
        for folder in ["rootfs", "templates"] {
            for entry in std::fs::read_dir(volume.path().join(folder)).into_iter().flatten().flatten() {
                let size = entry.metadata().map_or(0, |meta| if meta.is_file() { meta.len() } else { 0 });
                found.push(format!("file {} of {size} bytes", entry.path().display()));
            }
        }
        if let Ok(text) = std::fs::read_to_string(volume.path().join("metadata.yaml")) {
            found.push(format!("metadata.yaml of {}: {text}", volume.path().display()));
        }
    }
    found.sort();
    found
}
