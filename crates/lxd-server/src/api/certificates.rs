//! `/1.0/certificates`: whom the server trusts.

use http::Method;
use lxd_api::certificate::{CertificatePut, CertificatesPost};
use lxd_core::certificates::{Added, fields, url};
use lxd_types::Result;

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    const ONE: &str = "/1.0/certificates/{fingerprint}";
    vec![
        route(Method::GET, "/1.0/certificates", Access::Trusted, "1.0", list),
        route(Method::POST, "/1.0/certificates", Access::Anyone, "1.0", add),
        route(Method::GET, ONE, Access::Trusted, "1.0", get),
        route(Method::PUT, ONE, Access::Trusted, "certificate_update", put),
        route(Method::PATCH, ONE, Access::Trusted, "certificate_update", patch),
        route(Method::DELETE, ONE, Access::Server, "1.0", remove),
    ]
}

async fn list(cx: Ctx) -> Result<Reply> {
    let all = cx.core.certificates(&cx.caller).await?;
    if cx.recursion() > 0 {
        return Reply::json(&all);
    }
    let urls: Vec<String> = all.iter().map(|certificate| url(&certificate.fingerprint)).collect();
    Reply::json(&urls)
}

async fn add(mut cx: Ctx) -> Result<Reply> {
    let request = cx.json::<CertificatesPost>().await?;
    match cx.core.add_certificate(&cx.caller, request).await? {
        Added::Certificate(url) => Reply::created(&url),
        Added::Token(operation) => Reply::operation(&operation),
    }
}

async fn get(cx: Ctx) -> Result<Reply> {
    let certificate = cx.core.certificate(&cx.caller, cx.param("fingerprint")).await?;
    Reply::json(&certificate)?.etag(&fields(&certificate))
}

async fn put(mut cx: Ctx) -> Result<Reply> {
    let certificate = cx.core.certificate(&cx.caller, cx.param("fingerprint")).await?;
    cx.if_match(&fields(&certificate))?;
    let wanted = cx.json::<CertificatePut>().await?;
    cx.core.update_certificate(&cx.caller, &certificate, wanted).await?;
    Ok(Reply::empty())
}

async fn patch(mut cx: Ctx) -> Result<Reply> {
    let certificate = cx.core.certificate(&cx.caller, cx.param("fingerprint")).await?;
    let present = fields(&certificate);
    cx.if_match(&present)?;
    let wanted = cx.patch(&present).await?;
    cx.core.update_certificate(&cx.caller, &certificate, wanted).await?;
    Ok(Reply::empty())
}

async fn remove(cx: Ctx) -> Result<Reply> {
    cx.core.remove_certificate(&cx.server_permit()?, cx.param("fingerprint")).await?;
    Ok(Reply::empty())
}
