//! `GET /1.0/images` and `…/{fingerprint}`.

use lxd_api::Timestamp;
use lxd_api::image::{Image, ImageAlias, ImageSource};
use lxd_auth::Caller;
use lxd_db::images;
use lxd_types::arch::Architecture;
use lxd_types::names::ProjectName;
use lxd_types::{Error, Result};

use super::{owner, url_of, wire_time};
use crate::{Core, with_project};

/// Who looks at the images of which project, and whether with a secret (manual 3.3.3; `…/secret`).
#[derive(Clone, Debug)]
pub struct View {
    /// The project of the request.
    pub project: ProjectName,
    /// Only public images.
    pub public_only: bool,
}

impl View {
    /// What this caller may see of a project. Who may not see the project sees its public images, like a stranger.
    pub fn of(caller: &Caller, project: &ProjectName) -> Self {
        Self { project: project.clone(), public_only: !caller.sees(project.as_str()) }
    }
}

/// An image of a list, with its URL.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its URL, with the project where that is not `default`.
    pub url: String,
    /// The object.
    pub image: Image,
}

/// All images of the view, in the order in which they came.
///
/// # Errors
/// A failure of the database; strangers get an empty list for projects that do not exist.
pub async fn list(core: &Core, view: View) -> Result<Vec<Listed>> {
    core.db
        .read(move |tx| {
            let project_id = match owner(tx, &view.project) {
                Err(_) if view.public_only => return Ok(Vec::new()),
                other => other
                    .map_err(|error| error.context("fetch project").context("Check if project has images"))?,
            };
            let rows = images::list(tx, Some(project_id), view.public_only)?;
            rows.into_iter()
                .map(|row| {
                    let owner: ProjectName = row.project.parse()?;
                    Ok(Listed { url: with_project(&url_of(&row.fingerprint), &owner), image: wire(row) })
                })
                .collect()
        })
        .await
}

/// One image by the beginning of its fingerprint.
///
/// # Errors
/// "Image not found": also where the caller may not see it, so that nothing can be guessed (D6).
pub async fn get(core: &Core, view: View, prefix: &str) -> Result<Image> {
    find(core, view, prefix).await.map(wire)
}

/// The row of an image.
///
/// # Errors
/// As [`get`].
pub async fn find(core: &Core, view: View, prefix: &str) -> Result<images::Image> {
    let prefix = prefix.to_owned();
    core.db
        .read(move |tx| {
            let project_id = match owner(tx, &view.project) {
                Err(_) if view.public_only => return Err(Error::not_found("Image not found")),
                other => other?,
            };
            images::get(tx, project_id, &prefix, view.public_only)
        })
        .await
}

/// The object of a row.
pub(super) fn wire(row: images::Image) -> Image {
    let kind = if row.kind == images::VIRTUAL_MACHINE { "virtual-machine" } else { "container" };
    Image {
        auto_update: row.auto_update,
        properties: row.properties,
        public: row.public,
        expires_at: wire_time(row.expiry),
        profiles: row.profiles,
        aliases: row
            .aliases
            .into_iter()
            .map(|alias| ImageAlias { name: alias.name, description: alias.description })
            .collect(),
        architecture: Architecture::from_id(row.architecture).map_or_else(String::new, |a| a.to_string()),
        cached: row.cached,
        filename: row.filename,
        fingerprint: row.fingerprint,
        size: row.size,
        update_source: row.source.map(|source| ImageSource {
            alias: source.alias,
            certificate: source.certificate,
            protocol: protocol(source.protocol).to_owned(),
            server: source.server,
            image_type: kind.to_owned(),
        }),
        kind: kind.to_owned(),
        created_at: wire_time(row.created),
        last_used_at: row.last_used.map_or_else(Timestamp::zero, Timestamp::from),
        uploaded_at: Timestamp::from(row.uploaded),
    }
}

fn protocol(number: i64) -> &'static str {
    match number {
        0 => "lxd",
        1 => "direct",
        _ => "simplestreams",
    }
}
