//! Which sets of things a project has of its own.

use lxd_config::project::{FEATURES, FEATURES_PROFILES};
use lxd_db::{Tx, profiles, projects};
use lxd_types::{Config, ConfigExt, Devices, Error, Result, words};

/// Refuses a change of features that would make things of the project disappear.
///
/// # Errors
/// The project is `default`, or has things.
pub fn check_change(old: &projects::Project, new: &Config, empty: bool) -> Result<()> {
    for key in FEATURES {
        let key = key.meta().name;
        let (before, after) = (words::is_true(old.config.value(key)), words::is_true(new.value(key)));
        if before == after {
            continue;
        }
        if old.id == projects::DEFAULT {
            return Err(Error::bad_request("You can't change the features of the default project"));
        }
        if !empty {
            let word = if after { "enabled" } else { "disabled" };
            return Err(Error::bad_request(format!(
                "Project feature \"{key}\" cannot be {word} on non-empty projects"
            )));
        }
    }
    Ok(())
}

/// A project with its own profiles always has one named `default`; one without has none.
///
/// # Errors
/// A failure of the database.
pub fn follow_profiles(tx: &Tx<'_>, id: i64, name: &str, before: bool, config: &Config) -> Result<()> {
    let after = FEATURES_PROFILES.is_on(config);
    if before == after {
        return Ok(());
    }
    if after {
        let description = format!("Default LXD profile for project {name}");
        let (config, devices) = (Config::new(), Devices::new());
        return profiles::insert(tx, id, profiles::DEFAULT_NAME, &description, &config, &devices).map(drop);
    }
    match profiles::find(tx, id, profiles::DEFAULT_NAME)? {
        Some(profile) => profiles::delete(tx, profile),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_of_a_project_in_use_stay() {
        let on: Config = [("features.images".to_owned(), "true".to_owned())].into();
        let project =
            projects::Project { id: 2, name: "p".into(), description: String::new(), config: on.clone() };
        assert!(check_change(&project, &on, false).is_ok());
        assert!(check_change(&project, &Config::new(), true).is_ok());
        let refused = check_change(&project, &Config::new(), false).unwrap_err();
        assert_eq!(
            refused.chain(),
            "Project feature \"features.images\" cannot be disabled on non-empty projects"
        );
        let default = projects::Project { id: projects::DEFAULT, ..project };
        assert!(check_change(&default, &Config::new(), true).is_err());
    }
}
