//! `lxc project edit`

use lxd_api::project::{Project, ProjectPut};

use crate::cli::Spec;

/// The command.
pub static SPEC: Spec = Spec {
    name: "edit",
    args: super::PROJECT,
    about: "Change a project as YAML, in the editor or from standard input",
    examples: "  lxc project edit <project> < project.yaml\n      With the content of project.yaml.",
    count: (1, 1),
    run: Some(|cx, m| {
        Box::pin(async {
            super::entity(&super::target(cx, m.arg(0))?).edit::<Project, ProjectPut>(cx, HINT).await
        })
    }),
    ..Spec::NEW
};

const HINT: &str = "A project as YAML. Lines that begin with a # are ignored.
It holds features and other configuration keys; name and used_by are shown but cannot be changed.
An example:

config:
  features.images: \"true\"
  features.networks: \"true\"
  features.profiles: \"true\"
  features.storage.volumes: \"true\"
description: My own project
name: my-project";
