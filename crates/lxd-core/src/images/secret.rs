//! One-time secrets: with one a stranger may fetch a private image (`POST …/secret`), with another send one here
//! (`POST /1.0/images` with `source.mode=push`).

use std::sync::Arc;

use lxd_api::image::ImagesPost;
use lxd_auth::{Caller, Permit, denied};
use lxd_task::OperationSpec;
use lxd_task::operation::{Class, Operation};
use lxd_types::names::ProjectName;
use lxd_types::{Error, Result};
use rand::RngCore;
use serde_json::{Value, json};

use super::create::UploadOptions;
use super::get::{View, find};
use super::url_of;
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// What the reference calls both kinds of tokens.
const DESCRIPTION: &str = "Image download token";

/// Member of the metadata that only tokens for sending an image have.
const FOR_SENDING: &str = "public";

/// Digits of a fingerprint that a stranger must know.
const LEAST_DIGITS: usize = 12;

/// A new secret.
pub(super) fn random() -> String {
    let mut secret = [0; 32];
    rand::rng().fill_bytes(&mut secret);
    hex::encode(secret)
}

/// Makes the token for fetching an image; its secret is shown to its creator only.
///
/// # Errors
/// "Image not found".
pub async fn create_secret(core: &SharedCore, permit: &Permit, prefix: &str) -> Result<Arc<Operation>> {
    let view = View { project: permit.project().clone(), public_only: false };
    let row = find(core, view, prefix).await?;
    let spec = OperationSpec::task(DESCRIPTION, permit.project().as_str())
        .class(Class::Token)
        .on("images", url_of(&row.fingerprint))
        .secret(random())
        .by(permit.caller().requestor());
    let operation = core.operations.issue(spec);
    let event = Lifecycle::new("image-secret-created", url_of(&row.fingerprint)).in_project(permit.project());
    core.tell(permit.caller(), event);
    Ok(operation)
}

/// Makes the token for sending an image here; what the image shall be stands in its metadata.
///
/// # Errors
/// The announced fingerprint is none.
pub(super) fn expect_push(core: &SharedCore, permit: &Permit, post: ImagesPost) -> Result<Arc<Operation>> {
    let fingerprint: lxd_types::names::Fingerprint = post.source.fingerprint.parse()?;
    let mut spec = OperationSpec::task(DESCRIPTION, permit.project().as_str())
        .class(Class::Token)
        .on("images", url_of(fingerprint.as_str()))
        .with("aliases", json!(post.aliases))
        .with("expires_at", json!(post.expires_at))
        .with("properties", json!(post.properties))
        .with(FOR_SENDING, post.public)
        .secret(random())
        .by(permit.caller().requestor());
    if !post.profiles.is_empty() {
        spec = spec.with("profiles", json!(post.profiles));
    }
    Ok(core.operations.issue(spec))
}

/// Takes the token of an image that another server sends: its secret opens nothing any more afterwards. What the image
/// shall be, as the token's creator said.
///
/// # Errors
/// Forbidden: no such token. The answer is the same whatever is wrong.
pub fn accept_push(
    core: &SharedCore,
    project: &ProjectName,
    fingerprint: &str,
    secret: &str,
) -> Result<UploadOptions> {
    let token = token(core, project, fingerprint, secret, true).ok_or_else(denied)?;
    if !core.operations.spend(&token) {
        return Err(denied());
    }
    let metadata: serde_json::Map<String, Value> = token.view(false).metadata.into_iter().collect();
    let post: ImagesPost = serde_json::from_value(Value::Object(metadata))
        .map_err(|error| Error::internal(format!("Damaged token: {error}")))?;
    Ok(UploadOptions { fingerprint: fingerprint.to_owned(), ..UploadOptions::from_post(post) })
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
    let Some(token) = token(core, project, prefix, secret, false) else { return view };
    // Of several that come at once, one wins.
    if spend && !core.operations.spend(&token) {
        return view;
    }
    View { public_only: false, ..view }
}

/// The token of this secret for the image whose fingerprint begins so.
fn token(
    core: &SharedCore,
    project: &ProjectName,
    prefix: &str,
    secret: &str,
    for_sending: bool,
) -> Option<Arc<Operation>> {
    let fits = |operation: &Operation| {
        operation.class() == Class::Token
            && !operation.status().is_final()
            && operation.project() == project.as_str()
            && prefix.len() >= LEAST_DIGITS
            && operation.resources("images").iter().any(|url| url.starts_with(&url_of(prefix)))
            && operation.view(false).metadata.contains_key(FOR_SENDING) == for_sending
            && operation.opens_with(secret)
    };
    core.operations.list(fits).into_iter().next()
}
