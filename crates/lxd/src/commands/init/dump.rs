//! `lxd init --dump`: what the server has, as a document that `--preseed` takes.

use lxd_api::server::Server;
use lxd_client::Client;
use lxd_types::{Error, Result};

use super::preseed::{Network, Preseed, Profile, Project, StoragePool};

/// Reads the server.
///
/// # Errors
/// The server does not answer.
pub async fn read(client: &Client, server: Server) -> Result<Preseed> {
    let networks: Vec<lxd_api::network::Network> = list(client, "networks").await?;
    let pools: Vec<lxd_api::storage_pool::StoragePool> = list(client, "storage-pools").await?;
    let profiles: Vec<lxd_api::profile::Profile> = list(client, "profiles").await?;
    let projects: Vec<lxd_api::project::Project> = list(client, "projects").await?;
    Ok(Preseed {
        config: server.config,
        networks: networks
            .into_iter()
            .filter(|network| network.managed)
            .map(|network| Network {
                config: network.config,
                description: network.description,
                name: network.name,
                kind: network.kind,
                project: "default".to_owned(),
            })
            .collect(),
        storage_pools: pools
            .into_iter()
            .map(|pool| StoragePool {
                config: pool.config,
                description: pool.description,
                name: pool.name,
                driver: pool.driver,
            })
            .collect(),
        profiles: profiles
            .into_iter()
            .map(|profile| Profile {
                config: profile.config,
                description: profile.description,
                devices: profile.devices,
                name: profile.name,
            })
            .collect(),
        projects: projects
            .into_iter()
            .map(|project| Project {
                config: project.config,
                description: project.description,
                name: project.name,
            })
            .collect(),
        cluster: None,
    })
}

/// All objects of a kind; none when the server does not have the kind.
async fn list<T: serde::de::DeserializeOwned>(client: &Client, kind: &str) -> Result<Vec<T>> {
    match client.get(&format!("/1.0/{kind}?recursion=1")).await {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        other => {
            other.map_err(|error| Error::from(error).context(format!("Failed to retrieve current {kind}")))
        }
    }
}
