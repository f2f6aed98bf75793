//! `attach` and `detach` of networks and volumes: a device of an instance or profile that uses an object.

use anyhow::{Result, bail};
use lxd_api::DeviceMap;
use lxd_api::instance::InstancePut;
use lxd_api::profile::ProfilePut;
use lxd_client::{Client, encode};
use serde_json::{Value, json};

use super::entity::Entity;
use crate::cx::Cx;

/// What gets the device.
#[derive(Clone, Copy)]
pub enum User<'a> {
    /// An instance by name.
    Instance(&'a str),
    /// A profile by name.
    Profile(&'a str),
}

impl User<'_> {
    async fn change(
        self,
        cx: &Cx,
        client: &Client,
        change: impl FnOnce(&mut Value) -> Result<()>,
    ) -> Result<()> {
        let change = |object: &mut Value| {
            if object["devices"].is_null() {
                object["devices"] = json!({});
            }
            change(&mut object["devices"])
        };
        match self {
            Self::Instance(name) => {
                let entity = Entity::new(client, format!("/1.0/instances/{}", encode(name)));
                entity.change::<InstancePut>(cx, change).await
            }
            Self::Profile(name) => {
                let entity = Entity::new(client, format!("/1.0/profiles/{}", encode(name)));
                entity.change::<ProfilePut>(cx, change).await
            }
        }
    }

    /// Adds a device.
    ///
    /// # Errors
    /// A device of that name exists.
    pub async fn attach(self, cx: &Cx, client: &Client, name: &str, device: Value) -> Result<()> {
        self.change(cx, client, |devices| {
            if devices.get(name).is_some() {
                bail!("Device already exists: {name}");
            }
            devices[name] = device;
            Ok(())
        })
        .await
    }

    /// Removes the device that `uses` finds, or the named one. `what` is `network` or `storage volume`.
    ///
    /// # Errors
    /// No device or several are found, or the named one is another kind of device.
    pub async fn detach(
        self,
        cx: &Cx,
        client: &Client,
        name: Option<&str>,
        what: &str,
        uses: impl Fn(&std::collections::BTreeMap<String, String>) -> bool,
    ) -> Result<()> {
        self.change(cx, client, |devices| {
            let all: DeviceMap = serde_json::from_value(devices.clone())?;
            let name = match name {
                Some(name) => name.to_owned(),
                None => {
                    let mut found = all.iter().filter(|(_, device)| uses(device)).map(|(name, _)| name);
                    match (found.next(), found.next()) {
                        (None, _) => bail!("No device found for this {what}"),
                        (Some(_), Some(_)) => bail!("More than one device matches, specify the device name"),
                        (Some(name), None) => name.clone(),
                    }
                }
            };
            match all.get(&name) {
                None => bail!("The specified device doesn't exist"),
                Some(device) if !uses(device) => bail!("The specified device doesn't match the {what}"),
                Some(_) => {}
            }
            if let Some(map) = devices.as_object_mut() {
                map.shift_remove(&name);
            }
            Ok(())
        })
        .await
    }
}
