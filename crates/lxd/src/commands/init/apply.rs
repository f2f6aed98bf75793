//! Carries out a document: what is missing is made, what exists is changed, and when something fails everything that
//! was done is undone, last first (manual 3.2.4).

use std::collections::BTreeMap;

use lxd_client::{Client, encode};
use lxd_types::{Error, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::preseed::{Config, Network, Preseed, Profile, Project, StoragePool};

/// One step back.
enum Undo {
    /// Removes what was made.
    Delete(Client, String),
    /// Gives back what was changed.
    Put(Client, String, Value),
    /// Gives back server keys.
    Keys(BTreeMap<String, String>),
}

struct Apply<'a> {
    client: &'a Client,
    undo: Vec<Undo>,
}

/// Carries out a document.
///
/// # Errors
/// The server refuses something; the text says what. What could not be undone is said on standard error.
pub async fn apply(client: &Client, preseed: &Preseed) -> Result<()> {
    if preseed.cluster.as_ref().is_some_and(|cluster| cluster["enabled"] == true) {
        return Err(Error::not_implemented("Failed to configure cluster: Clustering is not supported yet"));
    }
    let mut work = Apply { client, undo: Vec::new() };
    let outcome = work.all(preseed).await;
    if outcome.is_err() {
        work.roll_back().await;
    }
    outcome
}

impl Apply<'_> {
    async fn all(&mut self, preseed: &Preseed) -> Result<()> {
        if !preseed.config.is_empty() {
            self.config(&preseed.config)
                .await
                .map_err(|error| error.context("Failed to update server configuration"))?;
        }
        for pool in &preseed.storage_pools {
            self.pool(pool).await?;
        }
        let (first, later): (Vec<_>, Vec<_>) =
            preseed.networks.iter().partition(|network| network.project().eq("default"));
        for network in first {
            self.network(network).await?;
        }
        for project in &preseed.projects {
            self.project(project).await?;
        }
        for network in later {
            self.network(network).await?;
        }
        for profile in &preseed.profiles {
            self.profile(profile).await?;
        }
        Ok(())
    }

    async fn config(&mut self, wanted: &BTreeMap<String, Value>) -> Result<()> {
        let server: lxd_api::server::Server = self.client.get("/1.0").await?;
        let mut before = BTreeMap::new();
        for key in wanted.keys() {
            match server.config.get(key) {
                // A secret that is set cannot be read, so it cannot be given back.
                Some(Value::Bool(_)) => {}
                Some(Value::String(text)) => drop(before.insert(key.clone(), text.clone())),
                _ => drop(before.insert(key.clone(), String::new())),
            }
        }
        self.client.send("PATCH", "/1.0", Some(&json!({ "config": wanted }))).await?;
        self.undo.push(Undo::Keys(before));
        Ok(())
    }

    async fn pool(&mut self, wanted: &StoragePool) -> Result<()> {
        let path = format!("/1.0/storage-pools/{}", encode(&wanted.name));
        let present: Option<lxd_api::storage_pool::StoragePool> = find(self.client, &path).await?;
        let Some(present) = present else {
            let body = json!({ "name": wanted.name, "driver": wanted.driver, "description": wanted.description,
                "config": wanted.config });
            return self
                .create(self.client.clone(), "/1.0/storage-pools", &path, &body)
                .await
                .map_err(|error| error.context(format!("Failed to create storage pool {:?}", wanted.name)));
        };
        if present.driver != wanted.driver {
            return Err(Error::bad_request(format!(
                "Storage pool {:?} is of type {:?} instead of {:?}",
                wanted.name, present.driver, wanted.driver
            )));
        }
        let before = json!({ "description": present.description, "config": present.config });
        let after = json!({ "description": either(&wanted.description, present.description),
            "config": merged(present.config, &wanted.config) });
        self.change(self.client.clone(), &path, before, &after)
            .await
            .map_err(|error| error.context(format!("Failed to update storage pool {:?}", wanted.name)))
    }

    async fn network(&mut self, wanted: &Network) -> Result<()> {
        let client = self.client.with_project(wanted.project());
        let path = format!("/1.0/networks/{}", encode(&wanted.name));
        let present: Option<lxd_api::network::Network> = find(&client, &path).await?;
        let told = |what: &str| {
            format!(
                "Failed to {what} local member network {:?} in project {:?}",
                wanted.name,
                wanted.project()
            )
        };
        let Some(present) = present.filter(|network| network.managed) else {
            let body = json!({ "name": wanted.name, "type": wanted.kind, "description": wanted.description,
                "config": wanted.config });
            return self
                .create(client, "/1.0/networks", &path, &body)
                .await
                .map_err(|error| error.context(told("create")));
        };
        if !wanted.kind.is_empty() && present.kind != wanted.kind {
            return Err(Error::bad_request(format!(
                "Network {:?} is of type {:?} instead of {:?}",
                wanted.name, present.kind, wanted.kind
            )));
        }
        let before = json!({ "description": present.description, "config": present.config });
        let after = json!({ "description": either(&wanted.description, present.description),
            "config": merged(present.config, &wanted.config) });
        self.change(client, &path, before, &after).await.map_err(|error| error.context(told("update")))
    }

    async fn project(&mut self, wanted: &Project) -> Result<()> {
        let path = format!("/1.0/projects/{}", encode(&wanted.name));
        let present: Option<lxd_api::project::Project> = find(self.client, &path).await?;
        let Some(present) = present else {
            let body =
                json!({ "name": wanted.name, "description": wanted.description, "config": wanted.config });
            return self
                .create(self.client.clone(), "/1.0/projects", &path, &body)
                .await
                .map_err(|error| error.context(format!("Failed to create project {:?}", wanted.name)));
        };
        let before = json!({ "description": present.description, "config": present.config });
        let after = json!({ "description": either(&wanted.description, present.description),
            "config": merged(present.config, &wanted.config) });
        self.change(self.client.clone(), &path, before, &after)
            .await
            .map_err(|error| error.context(format!("Failed to update project {:?}", wanted.name)))
    }

    async fn profile(&mut self, wanted: &Profile) -> Result<()> {
        let path = format!("/1.0/profiles/{}", encode(&wanted.name));
        let present: Option<lxd_api::profile::Profile> = find(self.client, &path).await?;
        let Some(present) = present else {
            let body = json!({ "name": wanted.name, "description": wanted.description, "config": wanted.config,
                "devices": wanted.devices });
            return self
                .create(self.client.clone(), "/1.0/profiles", &path, &body)
                .await
                .map_err(|error| error.context(format!("Failed to create profile {:?}", wanted.name)));
        };
        let before = json!({ "description": present.description, "config": present.config,
            "devices": present.devices });
        let mut devices = present.devices;
        for (name, device) in &wanted.devices {
            let merged = merged(devices.remove(name).unwrap_or_default(), device);
            devices.insert(name.clone(), merged);
        }
        let after = json!({ "description": either(&wanted.description, present.description),
            "config": merged(present.config, &wanted.config), "devices": devices });
        self.change(self.client.clone(), &path, before, &after)
            .await
            .map_err(|error| error.context(format!("Failed to update profile {:?}", wanted.name)))
    }

    async fn create(&mut self, client: Client, list: &str, path: &str, body: &impl Serialize) -> Result<()> {
        client.start("POST", list, Some(body)).await?.wait().await?;
        self.undo.push(Undo::Delete(client, path.to_owned()));
        Ok(())
    }

    async fn change(&mut self, client: Client, path: &str, before: Value, after: &Value) -> Result<()> {
        if &before == after {
            return Ok(());
        }
        client.start("PUT", path, Some(after)).await?.wait().await?;
        self.undo.push(Undo::Put(client, path.to_owned(), before));
        Ok(())
    }

    async fn roll_back(&mut self) {
        while let Some(step) = self.undo.pop() {
            let (what, outcome) = match &step {
                Undo::Delete(client, path) => (path.as_str(), send(client, "DELETE", path, None).await),
                Undo::Put(client, path, body) => (path.as_str(), send(client, "PUT", path, Some(body)).await),
                Undo::Keys(keys) => {
                    ("/1.0", send(self.client, "PATCH", "/1.0", Some(&json!({ "config": keys }))).await)
                }
            };
            if let Err(error) = outcome {
                eprintln!("Failed to undo the change of {what}: {}", error.chain());
            }
        }
    }
}

async fn send(client: &Client, method: &str, path: &str, body: Option<&Value>) -> Result<()> {
    client.start(method, path, body).await?.wait().await?;
    Ok(())
}

/// The object, if it exists.
async fn find<T: serde::de::DeserializeOwned>(client: &Client, path: &str) -> Result<Option<T>> {
    match client.get(path).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The wanted text, unless it is empty.
fn either(wanted: &str, present: String) -> String {
    if wanted.is_empty() { present } else { wanted.to_owned() }
}

/// The present keys with the wanted ones over them.
fn merged(mut present: Config, wanted: &Config) -> Config {
    present.extend(wanted.iter().map(|(key, value)| (key.clone(), value.clone())));
    present
}

impl Network {
    /// The project that the network is for.
    fn project(&self) -> &str {
        if self.project.is_empty() { "default" } else { &self.project }
    }
}
