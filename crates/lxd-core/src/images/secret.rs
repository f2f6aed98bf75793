//! `POST /1.0/images/{fingerprint}/secret`: a token with which a stranger may fetch a private image once.

use std::sync::Arc;

use lxd_auth::{Caller, Permit};
use lxd_task::OperationSpec;
use lxd_task::operation::{Class, Operation};
use lxd_types::Result;
use lxd_types::names::ProjectName;
use rand::RngCore;

use super::get::{View, find};
use super::url_of;
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// Makes the token; it is the metadata `secret` of the operation, shown to its creator only.
///
/// # Errors
/// "Image not found".
pub async fn create_secret(core: &SharedCore, permit: &Permit, prefix: &str) -> Result<Arc<Operation>> {
    let view = View { project: permit.project().clone(), public_only: false };
    let row = find(core, view, prefix).await?;
    let mut secret = [0; 32];
    rand::rng().fill_bytes(&mut secret);
    let spec = OperationSpec::task("Image download token", permit.project().as_str())
        .class(Class::Token)
        .on("images", url_of(&row.fingerprint))
        .with("secret", hex::encode(secret))
        .by(permit.caller().requestor());
    let operation = core.operations.issue(spec);
    let event = Lifecycle::new("image-secret-created", url_of(&row.fingerprint)).in_project(permit.project());
    core.tell(permit.caller(), event);
    Ok(operation)
}

/// What a caller may see of an image: a stranger with its secret as much as its owner. `spend`: the secret opens
/// nothing any more afterwards.
pub fn view_with_secret(
    core: &SharedCore,
    caller: &Caller,
    project: &ProjectName,
    prefix: &str,
    secret: Option<&str>,
    spend: bool,
) -> View {
    let view = View::of(caller, project);
    let Some(secret) = secret.filter(|secret| view.public_only && !secret.is_empty()) else { return view };
    let fits = |operation: &Operation| {
        let shown = operation.view(true);
        let image = shown.resources.get("images").and_then(|urls| urls.first());
        operation.class() == Class::Token
            && !operation.status().is_final()
            && operation.project() == project.as_str()
            && prefix.len() >= 12
            && image.is_some_and(|url| url.starts_with(&url_of(prefix)))
            && shown
                .metadata
                .get("secret")
                .and_then(|value| value.as_str())
                .is_some_and(|text| same(text, secret))
    };
    let Some(operation) = core.operations.list(fits).into_iter().next() else { return view };
    // Of several that come at once, one wins.
    if spend && !core.operations.spend(&operation) {
        return view;
    }
    View { public_only: false, ..view }
}

/// Compares in a time that does not depend on where the texts differ.
fn same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}
