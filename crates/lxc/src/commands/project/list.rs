//! `lxc project list`

use anyhow::Result;
use lxd_api::project::Project;
use serde_json::Value;

use crate::cli::{FORMAT, Matches, Spec};
use crate::cx::Cx;
use crate::output::Listing;

/// The command.
pub static SPEC: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    args: "[<remote>:]",
    about: "Print a table of every project",
    flags: &[FORMAT],
    count: (0, 1),
    run: Some(|cx, m| Box::pin(run(cx, m))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.target(matches.arg(0))?;
    let raw = target.client.send::<Value>("GET", "/1.0/projects?recursion=1", None).await?;
    let projects: Vec<Project> = lxd_api::from_value(raw.clone())?;
    let header = ["NAME", "IMAGES", "PROFILES", "STORAGE VOLUMES", "NETWORKS", "DESCRIPTION", "USED BY"];
    let mut listing = Listing::new(header);
    for project in &projects {
        let current = if project.name == target.client.project() { " (current)" } else { "" };
        let feature = |name: &str| {
            let on = project.config.get(&format!("features.{name}")).is_some_and(|value| value == "true");
            if on { "YES" } else { "NO" }.to_owned()
        };
        listing.row([
            format!("{}{current}", project.name),
            feature("images"),
            feature("profiles"),
            feature("storage.volumes"),
            feature("networks"),
            project.description.clone(),
            project.used_by.len().to_string(),
        ]);
    }
    listing.sort();
    listing.print(matches.value("format"), &raw, &projects)
}
