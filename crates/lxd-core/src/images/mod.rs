//! Images: one file per action (`/1.0/images`).

mod aliases;
mod create;
mod delete;
mod delta;
mod downloads;
mod export;
mod fetch;
mod get;
mod meter;
mod publish;
mod push;
mod refresh;
pub(crate) mod remote;
mod resolve;
mod secret;
mod unpack;
mod update;
mod url;

use lxd_api::Timestamp;
use lxd_db::{Tx, profiles, projects};
use lxd_image::Upload;
use lxd_types::names::ProjectName;
use lxd_types::{Error, Kind, Result};

use crate::Core;
use crate::projects::image_room;

pub use aliases::{create_alias, delete_alias, get_alias, list_aliases, rename_alias, update_alias};
pub use create::{ImageUpload, UploadOptions, create_from_upload};
pub use delete::{delete, undo_create};
pub use downloads::{Downloads, Known};
pub use export::{Export, export, form};
pub use get::{Listed, View, find, get, list};
pub use lxd_image::{Part, multipart};
pub use publish::publish;
pub use push::push;
pub use refresh::{Updates, refresh};
pub(crate) use refresh::{expire_cached, expire_cached_ahead, update_all, update_all_ahead};
pub use resolve::resolve;
pub use secret::{accept_push, create_secret, view_with_secret};
pub use unpack::unpack;
pub use update::update;
pub use url::create_from_request;

/// The URL of an image.
pub(crate) fn url_of(fingerprint: &str) -> String {
    format!("/1.0/images/{fingerprint}")
}

/// The id of the project that has the images of a project.
fn owner(tx: &Tx<'_>, project: &ProjectName) -> Result<i64> {
    projects::owner_of(tx, project.as_str(), "images")
}

/// Space on the disk that no image takes; an eighth of what is free where that is less.
const KEPT_FREE: u64 = 64 << 20;

/// Begins to receive an image of a project: not more than fits into its `limits.disk` and on the disk (security.md E5).
///
/// # Errors
/// There is no such project; the store cannot be looked at.
async fn receive(core: &Core, project: &ProjectName) -> Result<Upload> {
    let (name, store) = (project.clone(), core.image_store.clone());
    let left = core.db.read(move |tx| image_room(tx, name.as_str())).await?;
    let free = tokio::task::spawn_blocking(move || store.free()).await;
    let free =
        free.map_err(|panic| Error::with_source(Kind::Internal, "Looking at the store panicked", panic))??;
    let on_disk = (free - KEPT_FREE.min(free / 8), "There is no space left for the image".to_owned());
    let (most, full) = left.into_iter().chain([on_disk]).min().unwrap_or_default();
    Ok(Upload::new(&core.image_store).with_room(most, full))
}

/// The ids of the profiles that an image names; none given: the profile `default`.
fn profile_ids(tx: &Tx<'_>, project: &ProjectName, names: Option<&[String]>) -> Result<Vec<i64>> {
    let owner = projects::owner_of(tx, project.as_str(), "profiles")?;
    let default = [profiles::DEFAULT_NAME.to_owned()];
    let names = names.unwrap_or(&default);
    names
        .iter()
        .map(|name| {
            profiles::find(tx, owner, name)?
                .ok_or_else(|| Error::bad_request(format!("Profile '{name}' doesn't exist")))
        })
        .collect()
}

/// A stored time on the wire; one that never comes is 1970, as the reference answers.
fn wire_time(time: Option<chrono::DateTime<chrono::Utc>>) -> Timestamp {
    time.map_or_else(|| Timestamp::from_unix(0), Timestamp::from)
}
