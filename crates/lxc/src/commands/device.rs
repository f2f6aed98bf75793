//! Devices of instances and profiles: what `lxc config device` and `lxc profile device` have in common.

use anyhow::{Context, Result, bail};
use lxd_api::DeviceMap;
use lxd_api::instance::InstancePut;
use lxd_api::profile::ProfilePut;
use serde_json::{Value, json};

use super::entity::Entity;
use crate::cli::Matches;
use crate::cx::{Cx, Target};
use crate::{keyvalue, output};

/// What holds the devices.
#[derive(Clone, Copy, PartialEq)]
pub enum Holder {
    /// An instance.
    Instance,
    /// A profile.
    Profile,
}

impl Holder {
    fn target(self, cx: &Cx, text: &str) -> Result<Target> {
        cx.named(text, if self == Self::Instance { "Missing instance name" } else { "Missing profile name" })
    }

    fn path(self, target: &Target) -> String {
        let entity = if self == Self::Instance { "instances" } else { "profiles" };
        format!("/1.0/{entity}/{}", target.segment())
    }

    async fn devices(self, target: &Target) -> Result<DeviceMap> {
        let value: Value = target.client.get(&self.path(target)).await?;
        Ok(lxd_api::from_value(value.get("devices").cloned().unwrap_or_else(|| json!({})))?)
    }

    async fn change(
        self,
        cx: &Cx,
        target: &Target,
        change: impl FnOnce(&mut Value) -> Result<()>,
    ) -> Result<()> {
        let entity = Entity::new(&target.client, self.path(target));
        let change = |object: &mut Value| {
            if object["devices"].is_null() {
                object["devices"] = json!({});
            }
            change(&mut object["devices"])
        };
        match self {
            Self::Instance => entity.change::<InstancePut>(cx, change).await,
            Self::Profile => entity.change::<ProfilePut>(cx, change).await,
        }
    }
}

/// `add HOLDER NAME TYPE [key=value...]`
///
/// # Errors
/// The device exists; the server's error.
pub async fn add(cx: &Cx, matches: &Matches, holder: Holder) -> Result<()> {
    let target = holder.target(cx, matches.arg(0))?;
    let name = matches.arg(1);
    let mut device = json!({});
    for word in matches.rest(3) {
        let (key, value) = keyvalue::pair(word).map_err(|_| anyhow::anyhow!("No value found in {word:?}"))?;
        device[key] = json!(value);
    }
    device["type"] = json!(matches.arg(2));
    holder
        .change(cx, &target, |devices| {
            if devices.get(name).is_some() {
                bail!("The device already exists");
            }
            devices[name] = device;
            Ok(())
        })
        .await?;
    say(cx, &format!("Device {name} added to {}", target.name));
    Ok(())
}

/// `get HOLDER NAME KEY`
///
/// # Errors
/// There is no such device.
pub async fn get(cx: &Cx, matches: &Matches, holder: Holder) -> Result<()> {
    let target = holder.target(cx, matches.arg(0))?;
    let value: Value = target.client.get(&holder.path(&target)).await?;
    let name = matches.arg(1);
    let devices: DeviceMap = lxd_api::from_value(value.get("devices").cloned().unwrap_or_else(|| json!({})))?;
    let Some(device) = devices.get(name) else {
        if value.get("expanded_devices").is_some_and(|devices| devices.get(name).is_some()) {
            bail!("Device from profile(s) cannot be retrieved for individual instance");
        }
        bail!("Device doesn't exist");
    };
    println!("{}", device.get(matches.arg(2)).map_or("", String::as_str));
    Ok(())
}

/// `list HOLDER`
///
/// # Errors
/// The server's.
pub async fn list(cx: &Cx, matches: &Matches, holder: Holder) -> Result<()> {
    let target = holder.target(cx, matches.arg(0))?;
    let names: Vec<String> = holder.devices(&target).await?.into_keys().collect();
    println!("{}", names.join("\n"));
    Ok(())
}

/// `remove HOLDER NAME...`
///
/// # Errors
/// There is no such device.
pub async fn remove(cx: &Cx, matches: &Matches, holder: Holder) -> Result<()> {
    let target = holder.target(cx, matches.arg(0))?;
    let inherited = |name: &str| holder == Holder::Instance && !name.is_empty();
    let value: Value = target.client.get(&holder.path(&target)).await?;
    let expanded = value.get("expanded_devices").cloned().unwrap_or(Value::Null);
    holder
        .change(cx, &target, |devices| {
            for name in matches.rest(1) {
                let removed = devices.as_object_mut().and_then(|map| map.shift_remove(name));
                if removed.is_none() {
                    if inherited(name) && expanded.get(name).is_some() {
                        bail!("Device from profile(s) cannot be removed from individual instance. Override device or modify profile instead");
                    }
                    bail!("Device doesn't exist");
                }
            }
            Ok(())
        })
        .await?;
    say(cx, &format!("Device {} removed from {}", matches.rest(1).join(", "), target.name));
    Ok(())
}

/// `set HOLDER NAME key=value...` or `set HOLDER NAME key value`
///
/// # Errors
/// There is no such device.
pub async fn set(cx: &Cx, matches: &Matches, holder: Holder) -> Result<()> {
    let target = holder.target(cx, matches.arg(0))?;
    let settings = keyvalue::settings(matches.rest(2))?;
    change_device(cx, &target, holder, matches.arg(1), |device| {
        for (key, value) in settings {
            device[&key] = json!(value);
        }
    })
    .await
}

/// `unset HOLDER NAME KEY`
///
/// # Errors
/// There is no such device.
pub async fn unset(cx: &Cx, matches: &Matches, holder: Holder) -> Result<()> {
    let target = holder.target(cx, matches.arg(0))?;
    change_device(cx, &target, holder, matches.arg(1), |device| {
        if let Some(map) = device.as_object_mut() {
            map.shift_remove(matches.arg(2));
        }
    })
    .await
}

async fn change_device(
    cx: &Cx,
    target: &Target,
    holder: Holder,
    name: &str,
    change: impl FnOnce(&mut Value),
) -> Result<()> {
    let value: Value = target.client.get(&holder.path(target)).await?;
    let inherited = value.get("expanded_devices").is_some_and(|devices| devices.get(name).is_some());
    holder
        .change(cx, target, |devices| {
            let Some(device) = devices.get_mut(name) else {
                if inherited {
                    bail!("Device from profile(s) cannot be modified for individual instance. Override device or modify profile instead");
                }
                bail!("Device doesn't exist");
            };
            change(device);
            Ok(())
        })
        .await
}

/// `show HOLDER`
///
/// # Errors
/// The server's.
pub async fn show(cx: &Cx, matches: &Matches, holder: Holder) -> Result<()> {
    let target = holder.target(cx, matches.arg(0))?;
    output::print_yaml(&holder.devices(&target).await?)
}

/// `override INSTANCE NAME [key=value...]`: a profile's device becomes the instance's own.
///
/// # Errors
/// The device exists already, or no profile has it.
pub async fn override_device(cx: &Cx, matches: &Matches) -> Result<()> {
    let holder = Holder::Instance;
    let target = holder.target(cx, matches.arg(0))?;
    let name = matches.arg(1);
    let value: Value = target.client.get(&holder.path(&target)).await?;
    if value.get("devices").is_some_and(|devices| devices.get(name).is_some()) {
        bail!("The device already exists");
    }
    let expanded = value.get("expanded_devices").and_then(|devices| devices.get(name));
    let mut device = expanded.cloned().context("The profile device doesn't exist")?;
    for word in matches.rest(2) {
        let (key, value) = keyvalue::pair(word).map_err(|_| anyhow::anyhow!("No value found in {word:?}"))?;
        device[key] = json!(value);
    }
    holder
        .change(cx, &target, |devices| {
            devices[name] = device;
            Ok(())
        })
        .await?;
    say(cx, &format!("Device {name} overridden for {}", target.name));
    Ok(())
}

fn say(cx: &Cx, text: &str) {
    if !cx.quiet {
        println!("{text}");
    }
}
