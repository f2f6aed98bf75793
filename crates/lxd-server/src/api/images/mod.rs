//! `/1.0/images`.

mod aliases;
pub(crate) mod export;
mod upload;

use http::Method;
use lxd_api::image::{Image, ImagePut};
use lxd_auth::Level;
use lxd_core::images::{self, View};
use lxd_types::Result;

use crate::filter::Filter;
use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply, body};

const ALL: &str = "/1.0/images";
const ONE: &str = "/1.0/images/{fingerprint}";

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    let manage = Access::Project(Level::Manage);
    let mut rows = vec![
        route(Method::GET, ALL, Access::Anyone, "1.0", list),
        route(Method::POST, ALL, Access::Anyone, "1.0", upload::create),
        route(Method::GET, ONE, Access::Anyone, "1.0", get),
        route(Method::PUT, ONE, manage, "1.0", put),
        route(Method::PATCH, ONE, manage, "patch", patch),
        route(Method::DELETE, ONE, manage, "1.0", delete),
        route(Method::GET, "/1.0/images/{fingerprint}/export", Access::Anyone, "1.0", export::get),
        route(Method::POST, "/1.0/images/{fingerprint}/export", manage, "images_push_relay", export::push),
        route(Method::POST, "/1.0/images/{fingerprint}/refresh", manage, "image_force_refresh", refresh),
        route(Method::POST, "/1.0/images/{fingerprint}/secret", manage, "1.0", secret),
    ];
    rows.extend(aliases::routes());
    rows
}

async fn list(cx: Ctx) -> Result<Reply> {
    let filter = Filter::parse(cx.query("filter").unwrap_or_default())?;
    let mut listed = Vec::new();
    for each in images::list(&cx.core, View::of(&cx.caller, &cx.project)).await? {
        if filter.matches(&each.image)? {
            listed.push(each);
        }
    }
    if cx.recursion() > 0 {
        return Reply::json(&listed.into_iter().map(|each| each.image).collect::<Vec<_>>());
    }
    Reply::json(&listed.into_iter().map(|each| each.url).collect::<Vec<_>>())
}

/// What the caller may see of the image: with its secret as much as its owner.
fn view(cx: &Ctx, spend: bool) -> View {
    let (name, secret) = (cx.param("fingerprint"), cx.query("secret"));
    images::view_with_secret(&cx.core, &cx.caller, &cx.project, name, secret, spend)
}

async fn get(cx: Ctx) -> Result<Reply> {
    let image = images::get(&cx.core, view(&cx, false), cx.param("fingerprint")).await?;
    Reply::json(&image)?.etag(&version(&image))
}

async fn put(mut cx: Ctx) -> Result<Reply> {
    let present = images::get(&cx.core, view(&cx, false), cx.param("fingerprint")).await?;
    cx.if_match(&version(&present))?;
    let text = cx.bytes(body::JSON_LIMIT).await?;
    let put: ImagePut = body::json(&text)?;
    // No list of profiles keeps the present one, an empty list removes all.
    let given: serde_json::Value = body::json(&text)?;
    let profiles = given.get("profiles").is_some_and(|list| list.is_array()).then(|| put.profiles.clone());
    images::update(&cx.core, &cx.permit()?, &present.fingerprint, put, profiles).await?;
    Ok(Reply::empty())
}

async fn patch(mut cx: Ctx) -> Result<Reply> {
    let present = images::get(&cx.core, view(&cx, false), cx.param("fingerprint")).await?;
    cx.if_match(&version(&present))?;
    let put = cx.patch(&fields(&present)).await?;
    let profiles = Some(put.profiles.clone());
    images::update(&cx.core, &cx.permit()?, &present.fingerprint, put, profiles).await?;
    Ok(Reply::empty())
}

async fn delete(cx: Ctx) -> Result<Reply> {
    Reply::operation(&*images::delete(&cx.core, &cx.permit()?, cx.param("fingerprint")).await?)
}

async fn secret(cx: Ctx) -> Result<Reply> {
    Reply::operation(&*images::create_secret(&cx.core, &cx.permit()?, cx.param("fingerprint")).await?)
}

async fn refresh(cx: Ctx) -> Result<Reply> {
    Reply::operation(&*images::refresh(&cx.core, &cx.permit()?, cx.param("fingerprint")).await?)
}

fn fields(image: &Image) -> ImagePut {
    ImagePut {
        auto_update: image.auto_update,
        properties: image.properties.clone(),
        public: image.public,
        expires_at: image.expires_at,
        profiles: image.profiles.clone(),
    }
}

/// What a version of an image is made of.
fn version(image: &Image) -> impl serde::Serialize + use<> {
    fields(image)
}
