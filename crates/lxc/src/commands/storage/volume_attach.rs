//! `lxc storage volume attach`, `attach-profile`, `detach` and `detach-profile`

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde_json::json;

use super::volume::volume;
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
            run: Some(|cx, m| Box::pin($run(cx, m, User::$user(m.arg(2))))),
            ..Spec::NEW
        };
    };
}

spec!(
    /// `lxc storage volume attach`
    ATTACH, "attach", "[<remote>:]<pool> <volume> <instance> [<device name>] [<path>]",
    "Give an instance a disk that uses the volume", (3, 5), attach, Instance
);
spec!(
    /// `lxc storage volume attach-profile`
    ATTACH_PROFILE, "attach-profile", "[<remote>:]<pool> <volume> <profile> [<device name>] [<path>]",
    "Add a disk that uses the volume to a profile", (3, 5), attach, Profile
);
spec!(
    /// `lxc storage volume detach`
    DETACH, "detach", "[<remote>:]<pool> <volume> <instance> [<device name>]",
    "Take the disk that uses the volume off an instance", (3, 4), detach, Instance
);
spec!(
    /// `lxc storage volume detach-profile`
    DETACH_PROFILE, "detach-profile", "[<remote>:]<pool> <volume> <profile> [<device name>]",
    "Take the disk that uses the volume out of a profile", (3, 4), detach, Profile
);

async fn attach(cx: &Cx, matches: &Matches, user: User<'_>) -> Result<()> {
    let volume = volume(cx, matches)?;
    if volume.kind != "custom" {
        bail!("Only \"custom\" volumes can be attached to instances");
    }
    if let User::Profile(_) = user {
        // It would be saved before its users find out.
        let _: serde_json::Value = volume.pool.client.get(&volume.full_path()).await?;
    }
    // The fourth word is a path when it looks like one, else the device's name.
    let (name, path) = match (matches.args.len(), matches.arg(3).contains('/')) {
        (3, _) => (volume.name.as_str(), ""),
        (4, true) => (volume.name.as_str(), matches.arg(3)),
        _ => (matches.arg(3), matches.arg(4)),
    };
    let mut device = json!({"type": "disk", "pool": volume.pool.name, "source": volume.name});
    if !path.is_empty() {
        device["path"] = json!(path);
    }
    user.attach(cx, &volume.pool.client, name, device).await
}

async fn detach(cx: &Cx, matches: &Matches, user: User<'_>) -> Result<()> {
    let volume = volume(cx, matches)?;
    let name = (matches.args.len() > 3).then(|| matches.arg(3));
    let uses = |device: &BTreeMap<String, String>| {
        device.get("type").is_some_and(|kind| kind == "disk")
            && device.get("pool") == Some(&volume.pool.name)
            && device.get("source") == Some(&volume.name)
    };
    user.detach(cx, &volume.pool.client, name, "storage volume", uses).await
}
