//! What the image of an instance requires of the host (manual 3.2.7, "Special image properties"). Pure.

use lxd_types::{Config, ConfigExt, Error, Result};

/// Refuses an instance that would not work here.
///
/// # Errors
/// Its image says so.
pub fn check(config: &Config, cgroup2_only: bool) -> Result<()> {
    if cgroup2_only && config.value("image.requirements.cgroup") == "v1" {
        return Err(Error::bad_request("The image used by this instance requires a CGroupV1 host system"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_images_want_old_cgroups() {
        let image = |wants: &str| Config::from([("image.requirements.cgroup".to_owned(), wants.to_owned())]);
        assert!(check(&image("v1"), true).is_err());
        assert!(check(&image("v1"), false).is_ok());
        assert!(check(&image("v2"), true).is_ok() && check(&Config::new(), true).is_ok());
    }
}
