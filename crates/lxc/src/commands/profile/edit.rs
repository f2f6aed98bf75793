//! `lxc profile edit`

use lxd_api::profile::{Profile, ProfilePut};

use crate::cli::Spec;

/// The command.
pub static SPEC: Spec = Spec {
    name: "edit",
    args: super::PROFILE,
    about: "Change a profile as YAML, in the editor or from standard input",
    examples: "  lxc profile edit <profile> < profile.yaml\n      With the content of profile.yaml.",
    count: (1, 1),
    run: Some(|cx, m| {
        Box::pin(async {
            super::entity(&super::target(cx, m.arg(0))?).edit::<Profile, ProfilePut>(cx, HINT).await
        })
    }),
    ..Spec::NEW
};

const HINT: &str = "A profile as YAML. Lines that begin with a # are ignored.
It holds configuration keys and devices; name and used_by are shown but cannot be changed.
An example:

name: onenic
config:
  raw.lxc: lxc.aa_profile=unconfined
devices:
  eth0:
    nictype: bridged
    parent: lxdbr0
    type: nic";
