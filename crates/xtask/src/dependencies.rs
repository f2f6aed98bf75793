//! Who may use whom: the table of the architecture against the real dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Crate and the crates of ours that it may use, besides what those may use themselves.
const MAY_USE: &[(&str, &[&str])] = &[
    ("lxd-types", &[]),
    ("lxd-api", &["lxd-types"]),
    ("lxd-config", &["lxd-types"]),
    ("lxd-macaroon", &[]),
    ("liblxc-sys", &[]),
    ("liblxc", &["liblxc-sys"]),
    ("lxd-sys", &["lxd-types"]),
    ("lxd-host", &["lxd-sys", "lxd-api"]),
    ("lxd-client", &["lxd-api", "lxd-macaroon"]),
    ("lxd-db", &["lxd-types", "lxd-config"]),
    ("lxd-task", &["lxd-api"]),
    ("lxd-storage", &["lxd-host", "lxd-config", "lxd-task"]),
    ("lxd-network", &["lxd-host", "lxd-config", "lxd-task"]),
    ("lxd-device", &["lxd-network", "lxd-storage", "lxd-host"]),
    ("lxd-instance", &["lxd-device", "lxd-config"]),
    ("lxd-container", &["lxd-instance", "liblxc", "lxd-host"]),
    ("lxd-image", &["lxd-host", "lxd-client"]),
    ("lxd-auth", &["lxd-api", "lxd-db", "lxd-macaroon"]),
    ("lxd-core", &["lxd-auth", "lxd-container", "lxd-image", "lxd-db"]),
    ("lxc", &["lxd-client"]),
];

/// Crates that may use exactly these of ours: what lies below them is not theirs to touch.
const MAY_USE_ONLY: &[(&str, &[&str])] = &[
    ("lxd-server", &["lxd-api", "lxd-auth", "lxd-core", "lxd-sys", "lxd-task", "lxd-types"]),
    (
        "lxd",
        &[
            // For its YAML writer.
            "lxc",
            "lxd-api",
            "lxd-auth",
            "lxd-client",
            "lxd-core",
            "lxd-db",
            "lxd-host",
            "lxd-server",
            "lxd-sys",
            "lxd-task",
            "lxd-types",
        ],
    ),
    ("lxd-helper", &["liblxc", "lxd-sys", "lxd-types"]),
];

/// Crates for development only, which may use everything and which nothing may use.
const TOOLS: &[&str] = &["lxd-testkit", "xtask", "e2e"];

/// Foreign crates that only one place may use.
const KEPT: &[(&str, &[&str])] = &[("rusqlite", &["lxd-db"]), ("libloading", &["liblxc-sys"])];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

/// What breaks the table.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let packages = metadata(root)?;
    let mut found = Vec::new();
    for package in &packages {
        let name = package.name.as_str();
        let Some(allowed) = allowed(name) else {
            if !TOOLS.contains(&name) {
                found.push(format!("{name}: not in the table of crates/xtask/src/dependencies.rs"));
            }
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| d.kind.as_deref() != Some("dev")) {
            if dependency.path.is_some() && !allowed.contains(dependency.name.as_str()) {
                found.push(format!("{name}: must not use {}", dependency.name));
            }
            let kept = KEPT.iter().find(|(kept, _)| *kept == dependency.name);
            if kept.is_some_and(|(_, places)| !places.contains(&name)) {
                found.push(format!("{name}: must not use {}", dependency.name));
            }
        }
    }
    Ok(found)
}

fn allowed(name: &str) -> Option<BTreeSet<&'static str>> {
    if let Some((_, only)) = MAY_USE_ONLY.iter().find(|(own, _)| *own == name) {
        return Some(only.iter().copied().collect());
    }
    let table: BTreeMap<&str, &[&'static str]> = MAY_USE.iter().copied().collect();
    let mut open: Vec<&'static str> = table.get(name)?.to_vec();
    // Everybody may use the words.
    let mut all = BTreeSet::from(["lxd-types"]);
    while let Some(next) = open.pop() {
        if all.insert(next) {
            open.extend(table.get(next).copied().unwrap_or_default());
        }
    }
    Some(all)
}

fn metadata(root: &Path) -> Result<Vec<Package>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .context("running cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("reading cargo metadata")?;
    Ok(metadata.packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_go_down_only() {
        let device = allowed("lxd-device").unwrap();
        assert!(device.contains("lxd-task") && device.contains("lxd-sys"));
        assert!(!device.contains("lxd-db") && !device.contains("lxd-core") && !device.contains("lxd-device"));
        assert!(!allowed("lxd-server").unwrap().contains("lxd-db"));
        assert!(allowed("nobody").is_none());
    }
}
