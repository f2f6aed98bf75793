//! `POST /1.0/projects`.

use lxd_api::project::ProjectsPost;
use lxd_auth::Permit;
use lxd_db::{Tx, projects};
use lxd_types::names::ProjectName;
use lxd_types::{Config, Error, Kind, Result};

use super::{features, url};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// Makes a project; answers its URL.
///
/// # Errors
/// The name is taken or not allowed, or a key is refused.
pub async fn create(core: &SharedCore, permit: &Permit, post: ProjectsPost) -> Result<String> {
    let name: ProjectName = post.name.parse()?;
    let config = with_features(post.config);
    lxd_config::project::check(&config)?;
    let (recorded, description) = (name.clone(), post.description);
    let insert = move |tx: &Tx<'_>| {
        let id = projects::insert(tx, recorded.as_str(), &description, &config).map_err(taken)?;
        features::follow_profiles(tx, id, recorded.as_str(), false, &config)
    };
    core.db
        .write(insert)
        .await
        .map_err(|error| error.context(format!("Failed creating project {:?}", name.as_str())))?;
    core.tell(permit.caller(), Lifecycle::new("project-created", url(name.as_str())).about_project(&name));
    Ok(url(name.as_str()))
}

/// The keys of a new project: features that the request does not mention are on.
fn with_features(given: Config) -> Config {
    let mut config: Config = given.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    for feature in lxd_config::project::NEW {
        config.entry(feature.to_owned()).or_insert_with(|| "true".to_owned());
    }
    config
}

fn taken(error: Error) -> Error {
    match error.kind() {
        Kind::Conflict => {
            Error::conflict("This \"projects\" entry already exists").context("Failed adding database record")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_on_unless_given() {
        let config = with_features([("features.images".to_owned(), "false".to_owned())].into());
        let expected = [
            ("features.images", "false"),
            ("features.profiles", "true"),
            ("features.storage.volumes", "true"),
        ];
        assert_eq!(config, expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
    }
}
