//! `lxc network attach`, `attach-profile`, `detach` and `detach-profile`

use std::collections::BTreeMap;

use anyhow::Result;
use lxd_api::network::Network;
use serde_json::json;

use crate::cli::{Matches, Spec};
use crate::commands::attach::User;
use crate::cx::Cx;

macro_rules! spec {
    ($(#[$doc:meta])* $id:ident, $name:literal, $args:literal, $about:literal, $count:expr, $run:ident, $user:ident) => {
        $(#[$doc])*
        pub static $id: Spec = Spec {
            name: $name,
            args: $args,
            about: $about,
            count: $count,
            run: Some(|cx, m| Box::pin($run(cx, m, User::$user(m.arg(1))))),
            ..Spec::NEW
        };
    };
}

spec!(
    /// `lxc network attach`
    ATTACH, "attach", "[<remote>:]<network> <instance> [<device name>] [<interface name>]",
    "Give an instance a device that uses the network", (2, 4), attach, Instance
);
spec!(
    /// `lxc network attach-profile`
    ATTACH_PROFILE, "attach-profile", "[<remote>:]<network> <profile> [<device name>] [<interface name>]",
    "Add a device that uses the network to a profile", (2, 4), attach, Profile
);
spec!(
    /// `lxc network detach`
    DETACH, "detach", "[<remote>:]<network> <instance> [<device name>]",
    "Take the device that uses the network off an instance", (2, 3), detach, Instance
);
spec!(
    /// `lxc network detach-profile`
    DETACH_PROFILE, "detach-profile", "[<remote>:]<network> <profile> [<device name>]",
    "Take the device that uses the network out of a profile", (2, 3), detach, Profile
);

async fn attach(cx: &Cx, matches: &Matches, user: User<'_>) -> Result<()> {
    let target = super::target(cx, matches)?;
    let network: Network = target.client.get(&super::path(&target)).await?;
    let name = if matches.args.len() > 2 { matches.arg(2) } else { &target.name };
    let mut device = json!({"type": "nic"});
    if network.managed {
        device["network"] = json!(target.name);
    } else {
        device["nictype"] = json!(if network.kind == "bridge" { "bridged" } else { "macvlan" });
        device["parent"] = json!(target.name);
    }
    if matches.args.len() > 3 {
        device["name"] = json!(matches.arg(3));
    }
    user.attach(cx, &target.client, name, device).await
}

async fn detach(cx: &Cx, matches: &Matches, user: User<'_>) -> Result<()> {
    let target = super::target(cx, matches)?;
    let name = (matches.args.len() > 2).then(|| matches.arg(2));
    let uses = |device: &BTreeMap<String, String>| {
        device.get("type").is_some_and(|kind| kind == "nic")
            && ["network", "parent"].iter().any(|key| device.get(*key) == Some(&target.name))
    };
    user.detach(cx, &target.client, name, "network", uses).await
}
