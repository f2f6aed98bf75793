//! `lxc project info`

use anyhow::Result;
use lxd_api::project::{ProjectState, ProjectStateResource};
use serde_json::Value;

use crate::cli::{FORMAT, Matches, Spec};
use crate::cx::Cx;
use crate::output::{Listing, units};

/// The command.
pub static SPEC: Spec = Spec {
    name: "info",
    args: super::PROJECT,
    about: "Print the use of a project against its limits",
    flags: &[FORMAT],
    count: (1, 1),
    run: Some(|cx, m| Box::pin(run(cx, m))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = super::target(cx, matches.arg(0))?;
    let raw = target.client.send::<Value>("GET", &format!("{}/state", super::path(&target)), None).await?;
    let state: ProjectState = lxd_api::from_value(raw.clone())?;
    let mut listing = Listing::new(["RESOURCE", "LIMIT", "USAGE"]);
    for (name, resource) in &state.resources {
        let (limit, usage) = shown(name, resource);
        listing.row([name.to_uppercase(), limit, usage]);
    }
    listing.sort();
    listing.print(matches.value("format"), &raw, &state)
}

/// Limit and usage as texts.
fn shown(name: &str, resource: &ProjectStateResource) -> (String, String) {
    let text = |number: i64| match name {
        "disk" | "memory" => units::bytes(number, 2),
        _ => number.to_string(),
    };
    let limit = if resource.limit < 0 { "UNLIMITED".to_owned() } else { text(resource.limit) };
    (limit, text(resource.usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let memory = ProjectStateResource { limit: 100 << 20, usage: 0 };
        assert_eq!(shown("memory", &memory), ("100.00MiB".to_owned(), "0B".to_owned()));
        let cpu = ProjectStateResource { limit: -1, usage: 2 };
        assert_eq!(shown("cpu", &cpu), ("UNLIMITED".to_owned(), "2".to_owned()));
    }
}
