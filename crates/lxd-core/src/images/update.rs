//! `PUT` and `PATCH /1.0/images/{fingerprint}`.

use lxd_api::image::ImagePut;
use lxd_auth::Permit;
use lxd_db::images;
use lxd_types::Result;

use super::create::check_properties;
use super::{owner, profile_ids, url_of};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// Changes what can be changed of an image. A time or list of profiles that is not given stays.
///
/// # Errors
/// "Image not found", a profile that does not exist.
pub async fn update(
    core: &SharedCore,
    permit: &Permit,
    prefix: &str,
    put: ImagePut,
    profiles: Option<Vec<String>>,
) -> Result<()> {
    check_properties(&put.properties)?;
    let (project, prefix) = (permit.project().clone(), prefix.to_owned());
    let fingerprint = core
        .db
        .write(move |tx| {
            let image = images::get(tx, owner(tx, &project)?, &prefix, false)?;
            let names = profiles.clone().unwrap_or_else(|| image.profiles.clone());
            let ids = profile_ids(tx, &project, Some(&names))?;
            let expiry = if put.expires_at.is_zero() { image.expiry } else { given(&put) };
            images::update(tx, image.id, put.public, put.auto_update, expiry, &put.properties, &ids)?;
            Ok(image.fingerprint)
        })
        .await?;
    let event = Lifecycle::new("image-updated", url_of(&fingerprint)).in_project(permit.project());
    core.tell(permit.caller(), event);
    Ok(())
}

fn given(put: &ImagePut) -> Option<chrono::DateTime<chrono::Utc>> {
    (!put.expires_at.is_never()).then(|| put.expires_at.0.to_utc())
}
