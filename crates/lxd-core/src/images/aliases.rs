//! `/1.0/images/aliases`: names of images.

use lxd_api::image::{ImageAliasesEntry, ImageAliasesEntryPut, ImageAliasesPost};
use lxd_auth::Permit;
use lxd_db::{Tx, image_aliases, images};
use lxd_types::names::AliasName;
use lxd_types::{Error, Kind, Result};

use super::{View, owner};
use crate::lifecycle::Lifecycle;
use crate::{Core, SharedCore};

/// All aliases of a view, sorted by name.
///
/// # Errors
/// A failure of the database; strangers get an empty list for projects that do not exist.
pub async fn list_aliases(core: &Core, view: View) -> Result<Vec<ImageAliasesEntry>> {
    core.db
        .read(move |tx| {
            let project_id = match owner(tx, &view.project) {
                Err(_) if view.public_only => return Ok(Vec::new()),
                other => other?,
            };
            let aliases = image_aliases::list(tx, project_id, view.public_only)?;
            aliases.into_iter().map(|alias| wire(tx, alias)).collect()
        })
        .await
}

/// One alias.
///
/// # Errors
/// "Image alias not found".
pub async fn get_alias(core: &Core, view: View, name: &str) -> Result<ImageAliasesEntry> {
    let name = name.to_owned();
    core.db
        .read(move |tx| {
            let unknown = || Error::not_found("Image alias not found");
            let project_id = match owner(tx, &view.project) {
                Err(_) if view.public_only => return Err(unknown()),
                other => other?,
            };
            let alias = image_aliases::get(tx, project_id, &name)?;
            if view.public_only && !images::by_id(tx, alias.image_id)?.public {
                return Err(unknown());
            }
            wire(tx, alias)
        })
        .await
}

/// Makes an alias.
///
/// # Errors
/// The name is taken, or the image does not exist.
pub async fn create_alias(core: &SharedCore, permit: &Permit, post: ImageAliasesPost) -> Result<AliasName> {
    if post.name.is_empty() || post.target.is_empty() {
        return Err(Error::bad_request("name and target are required"));
    }
    let name: AliasName = post.name.parse()?;
    let (project, alias) = (permit.project().clone(), name.clone());
    let target = core
        .db
        .write(move |tx| {
            let project_id = owner(tx, &project)?;
            if image_aliases::find(tx, project_id, alias.as_str())?.is_some() {
                return Err(taken(alias.as_str()));
            }
            let image = images::get(tx, project_id, &post.target, false)?;
            image_aliases::insert(tx, project_id, image.id, alias.as_str(), &post.description)?;
            Ok(image.fingerprint)
        })
        .await?;
    tell(core, permit, "image-alias-created", name.as_str(), ("target", target));
    Ok(name)
}

/// Changes image and description of an alias.
///
/// # Errors
/// "Image alias not found", "Image not found".
pub async fn update_alias(
    core: &SharedCore,
    permit: &Permit,
    name: &str,
    put: ImageAliasesEntryPut,
) -> Result<()> {
    if put.target.is_empty() {
        return Err(Error::bad_request("The target field is required"));
    }
    let (project, alias) = (permit.project().clone(), name.to_owned());
    let target = core
        .db
        .write(move |tx| {
            let project_id = owner(tx, &project)?;
            let alias = image_aliases::get(tx, project_id, &alias)?;
            let image = images::get(tx, project_id, &put.target, false)?;
            image_aliases::update(tx, alias.id, image.id, &put.description)?;
            Ok(image.fingerprint)
        })
        .await?;
    tell(core, permit, "image-alias-updated", name, ("target", target));
    Ok(())
}

/// Gives an alias another name.
///
/// # Errors
/// "Image alias not found", the name is taken.
pub async fn rename_alias(core: &SharedCore, permit: &Permit, old: &str, new: &str) -> Result<AliasName> {
    let name: AliasName = new.parse()?;
    let (project, from, to) = (permit.project().clone(), old.to_owned(), name.clone());
    core.db
        .write(move |tx| {
            let project_id = owner(tx, &project)?;
            if image_aliases::find(tx, project_id, to.as_str())?.is_some() {
                return Err(taken(to.as_str()));
            }
            let alias = image_aliases::get(tx, project_id, &from)?;
            image_aliases::rename(tx, alias.id, to.as_str())
        })
        .await?;
    tell(core, permit, "image-alias-renamed", name.as_str(), ("old_name", old.to_owned()));
    Ok(name)
}

/// Removes an alias; the image stays.
///
/// # Errors
/// "Image alias not found".
pub async fn delete_alias(core: &SharedCore, permit: &Permit, name: &str) -> Result<()> {
    let (project, alias) = (permit.project().clone(), name.to_owned());
    core.db
        .write(move |tx| {
            let alias = image_aliases::get(tx, owner(tx, &project)?, &alias)?;
            image_aliases::delete(tx, alias.id)
        })
        .await?;
    core.tell(permit.caller(), Lifecycle::new("image-alias-deleted", url(name)).in_project(permit.project()));
    Ok(())
}

fn tell(core: &Core, permit: &Permit, action: &'static str, name: &str, fact: (&str, String)) {
    let event = Lifecycle::new(action, url(name)).in_project(permit.project());
    core.tell(permit.caller(), event.with(fact.0, fact.1));
}

fn url(name: &str) -> String {
    format!("/1.0/images/aliases/{name}")
}

fn taken(name: &str) -> Error {
    Error::new(Kind::Conflict, format!("Alias \"{name}\" already exists"))
}

fn wire(tx: &Tx<'_>, alias: image_aliases::Alias) -> Result<ImageAliasesEntry> {
    let image = images::by_id(tx, alias.image_id)?;
    let kind = if image.kind == images::VIRTUAL_MACHINE { "virtual-machine" } else { "container" };
    Ok(ImageAliasesEntry {
        description: alias.description,
        target: image.fingerprint,
        name: alias.name,
        kind: kind.to_owned(),
    })
}
