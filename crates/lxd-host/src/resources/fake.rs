//! A small `/sys` and `/proc` in a temporary directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// The tree.
pub struct Fake(pub tempfile::TempDir);

impl Fake {
    /// An empty tree.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary tree can be written"))
    }

    /// The root.
    pub fn root(&self) -> &Path {
        self.0.path()
    }

    /// Adds files below a directory.
    pub fn files(&self, dir: &str, files: &[(&str, &str)]) -> &Self {
        for (name, text) in files {
            let path = self.root().join(dir).join(name);
            fs::create_dir_all(path.parent().expect("a temporary tree can be written")).unwrap();
            fs::write(path, format!("{text}\n")).expect("a temporary tree can be written");
        }
        self
    }

    /// Adds a link to another place of the tree.
    pub fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("a temporary tree can be written")).unwrap();
        symlink(self.root().join(target), path).expect("a temporary tree can be written");
        self
    }
}
