//! `lxc image info` and `lxc image show`

use anyhow::Result;
use lxd_api::Timestamp;
use lxd_api::image::{Image, ImagePut};

use crate::cli::{Matches, Spec, switch};
use crate::cx::Cx;
use crate::output::{print, print_yaml, units};

/// `lxc image info`
pub static INFO: Spec = Spec {
    name: "info",
    args: super::IMAGE,
    about: "Print facts about an image",
    flags: &[switch("vm", "Virtual machine image")],
    count: (1, 1),
    run: Some(|cx, m| Box::pin(info(cx, m))),
    ..Spec::NEW
};

/// `lxc image show`
pub static SHOW: Spec = Spec {
    name: "show",
    args: super::IMAGE,
    about: "Print an image as YAML",
    flags: &[switch("vm", "Virtual machine image")],
    count: (1, 1),
    run: Some(|cx, m| Box::pin(show(cx, m))),
    ..Spec::NEW
};

async fn show(cx: &Cx, matches: &Matches) -> Result<()> {
    let image = super::look_at(cx, matches).await?;
    print_yaml(&ImagePut {
        auto_update: image.auto_update,
        properties: image.properties,
        public: image.public,
        expires_at: image.expires_at,
        profiles: image.profiles,
    })
}

async fn info(cx: &Cx, matches: &Matches) -> Result<()> {
    print(&describe(&super::look_at(cx, matches).await?));
    Ok(())
}

fn describe(image: &Image) -> String {
    let yes = |value: bool| if value { "yes" } else { "no" };
    let kind = if image.kind.is_empty() { "container" } else { &image.kind };
    let mut out = format!("Fingerprint: {}\nSize: {}\n", image.fingerprint, units::image_size(image.size));
    out += &format!("Architecture: {}\nType: {kind}\nPublic: {}\n", image.architecture, yes(image.public));
    out += "Timestamps:\n";
    if !image.created_at.is_never() {
        out += &format!("    Created: {}\n", units::minute_utc(&image.created_at));
    }
    out += &format!("    Uploaded: {}\n", units::minute_utc(&image.uploaded_at));
    out += &format!("    Expires: {}\n", or_never(&image.expires_at));
    out += &format!("    Last used: {}\n", or_never(&image.last_used_at));
    out += "Properties:\n";
    for (key, value) in &image.properties {
        out += &format!("    {key}: {value}\n");
    }
    out += "Aliases:\n";
    for alias in &image.aliases {
        out += &if alias.description.is_empty() {
            format!("    - {}\n", alias.name)
        } else {
            format!("    - {} ({})\n", alias.name, alias.description)
        };
    }
    out += &format!("Cached: {}\n", yes(image.cached));
    out += &format!("Auto update: {}\n", if image.auto_update { "enabled" } else { "disabled" });
    if let Some(source) = &image.update_source {
        out += "Source:\n";
        out += &format!(
            "    Server: {}\n    Protocol: {}\n    Alias: {}\n",
            source.server, source.protocol, source.alias
        );
    }
    if image.profiles.is_empty() {
        return out + "Profiles: []\n";
    }
    out += "Profiles:\n";
    for profile in &image.profiles {
        out += &format!("    - {profile}\n");
    }
    out
}

fn or_never(time: &Timestamp) -> String {
    if time.is_never() { "never".to_owned() } else { units::minute_utc(time) }
}
