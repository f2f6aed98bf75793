//! `lxc config trust`: clients that the server trusts.

use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lxd_api::Timestamp;
use lxd_api::certificate::{Certificate, CertificateAddToken, CertificatePut};
use lxd_api::operation::Operation;
use lxd_client::encode;
use serde::Serialize;
use serde_json::{Value, json};

use crate::certificate;
use crate::cli::{FORMAT, Matches, Spec, switch, value};
use crate::commands::entity::Entity;
use crate::cx::Cx;
use crate::output::{Listing, units};
use crate::stdin;

/// The group.
pub static SPEC: Spec = Spec {
    name: "trust",
    about: "Manage trusted clients",
    subs: &[&ADD, &EDIT, &LIST, &LIST_TOKENS, &REMOVE, &REVOKE_TOKEN, &SHOW],
    ..Spec::NEW
};

static ADD: Spec = Spec {
    name: "add",
    args: "[<remote>:] [<cert>]",
    about: "Trust a client certificate, or make a token for one client",
    long: "With a certificate file that client is trusted; without one a token is printed that a client
can use once with \"lxc remote add\".",
    flags: &[
        value("name", "Name of the certificate"),
        value("projects", "Projects that the certificate is limited to"),
        switch("restricted", "Limit the certificate to projects"),
        value("type", "Type of certificate: client or metrics").or("client"),
    ],
    count: (0, 2),
    run: Some(|cx, m| Box::pin(add(cx, m))),
    ..Spec::NEW
};

async fn add(cx: &Cx, matches: &Matches) -> Result<()> {
    let (remote, file) = match &matches.args[..] {
        [] => ("", ""),
        [one] if one.ends_with(':') => (one.as_str(), ""),
        [one] => ("", one.as_str()),
        [remote, file, ..] => (remote.as_str(), file.as_str()),
    };
    let target = cx.target(remote)?;
    let kind = matches.value("type");
    if kind != "client" && kind != "metrics" {
        bail!("Unknown certificate type {kind:?}");
    }
    let projects: Vec<&str> = matches.value("projects").split(',').filter(|name| !name.is_empty()).collect();
    let mut body = json!({
        "name": matches.value("name"),
        "type": kind,
        "restricted": matches.is("restricted"),
        "projects": projects,
        "certificate": "",
        "password": "",
        "token": file.is_empty(),
    });
    if !file.is_empty() {
        let pem = std::fs::read_to_string(file)
            .map_err(|_| anyhow::anyhow!("open {file}: no such file or directory"))?;
        let der = lxd_client::pem_to_der(&pem)?;
        body["certificate"] = json!(STANDARD.encode(der));
        if matches.value("name").is_empty() {
            body["name"] = json!(Path::new(file).file_name().map(|name| name.to_string_lossy()));
        }
        target.client.send("POST", "/1.0/certificates", Some(&body)).await?;
        return Ok(());
    }
    if matches.value("name").is_empty() {
        body["name"] = json!(stdin::ask("Please provide client name: ")?);
    }
    let operation = target.client.start("POST", "/1.0/certificates", Some(&body)).await?;
    let token =
        token_of(&operation.state).context("Failed converting token operation to certificate add token")?;
    if !cx.quiet {
        println!("Client {} certificate add token:", token.0);
    }
    println!("{}", token.1);
    Ok(())
}

/// Client name, token and expiry of a token operation.
fn token_of(operation: &Operation) -> Option<(String, String, Timestamp)> {
    let text = |name: &str| operation.metadata.get(name).and_then(Value::as_str).map(str::to_owned);
    let addresses = operation.metadata.get("addresses")?.as_array()?;
    let request = operation.metadata.get("request")?;
    let expires = operation.metadata.get("expiresAt").and_then(Value::as_str);
    let expires: Timestamp = expires.and_then(|text| text.parse().ok()).unwrap_or_default();
    let token = CertificateAddToken {
        client_name: request.get("name")?.as_str()?.to_owned(),
        fingerprint: text("fingerprint")?,
        addresses: addresses.iter().filter_map(|a| a.as_str().map(str::to_owned)).collect(),
        secret: text("secret")?,
    };
    let mut json = serde_json::to_value(&token).ok()?;
    json["expires_at"] = json!(expires);
    Some((token.client_name, STANDARD.encode(json.to_string()), expires))
}

static EDIT: Spec = Spec {
    name: "edit",
    args: "[<remote>:]<fingerprint>",
    about: "Change a trusted client as YAML, in the editor or from standard input",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(async { entity(cx, m)?.edit::<Certificate, CertificatePut>(cx, HINT).await })),
    ..Spec::NEW
};

const HINT: &str = "A trusted client as YAML. Lines that begin with a # are ignored.
The fingerprint is shown but cannot be changed.";

static SHOW: Spec = Spec {
    name: "show",
    args: "[<remote>:]<fingerprint>",
    about: "Print a trusted client as YAML",
    count: (1, 1),
    run: Some(|cx, m| Box::pin(async { entity(cx, m)?.show::<Certificate>().await })),
    ..Spec::NEW
};

fn entity(cx: &Cx, matches: &Matches) -> Result<Entity> {
    let target = cx.named(matches.arg(0), "Missing certificate fingerprint")?;
    Ok(Entity::new(&target.client, format!("/1.0/certificates/{}", target.segment())))
}

static REMOVE: Spec = Spec {
    name: "remove",
    aliases: &["rm"],
    args: "[<remote>:]<fingerprint>",
    about: "Stop trusting a client",
    count: (1, 2),
    run: Some(|cx, m| Box::pin(remove(cx, m))),
    ..Spec::NEW
};

async fn remove(cx: &Cx, matches: &Matches) -> Result<()> {
    let (remote, fingerprint) = match &matches.args[..] {
        [remote, fingerprint] => (remote.as_str(), fingerprint.clone()),
        _ => {
            let (remote, fingerprint) = cx.split(matches.arg(0))?;
            let client = cx.client(&remote)?;
            client
                .send::<Value>("DELETE", &format!("/1.0/certificates/{}", encode(&fingerprint)), None)
                .await?;
            return Ok(());
        }
    };
    let target = cx.target(remote)?;
    target
        .client
        .send::<Value>("DELETE", &format!("/1.0/certificates/{}", encode(&fingerprint)), None)
        .await?;
    Ok(())
}

static LIST: Spec = Spec {
    name: "list",
    aliases: &["ls"],
    args: "[<remote>:]",
    about: "Print a table of every trusted client",
    flags: &[FORMAT],
    count: (0, 1),
    run: Some(|cx, m| Box::pin(list(cx, m))),
    ..Spec::NEW
};

async fn list(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.target(matches.arg(0))?;
    let raw = target.client.send::<Value>("GET", "/1.0/certificates?recursion=1", None).await?;
    let certificates: Vec<Certificate> = lxd_api::from_value(raw.clone())?;
    let mut listing =
        Listing::new(["TYPE", "NAME", "COMMON NAME", "FINGERPRINT", "ISSUE DATE", "EXPIRY DATE"]);
    for certificate in &certificates {
        let facts = certificate::facts(&certificate.certificate)?;
        listing.row([
            certificate.kind.clone(),
            certificate.name.clone(),
            facts.common_name,
            certificate.fingerprint.chars().take(12).collect(),
            units::long_utc(&facts.from),
            units::long_utc(&facts.to),
        ]);
    }
    listing.sort();
    listing.print(matches.value("format"), &raw, &certificates)
}

static LIST_TOKENS: Spec = Spec {
    name: "list-tokens",
    args: "[<remote>:]",
    about: "List client tokens not used yet",
    flags: &[FORMAT],
    count: (0, 1),
    run: Some(|cx, m| Box::pin(list_tokens(cx, m))),
    ..Spec::NEW
};

#[derive(Serialize)]
struct Token {
    #[serde(rename = "ClientName")]
    client_name: String,
    #[serde(rename = "Token")]
    token: String,
    #[serde(rename = "ExpiresAt")]
    expires_at: Timestamp,
}

async fn tokens(client: &lxd_client::Client) -> Result<Vec<(Operation, Token)>> {
    let groups: std::collections::BTreeMap<String, Vec<Operation>> =
        client.get("/1.0/operations?recursion=1").await?;
    let all = groups.into_values().flatten();
    let pending = all.filter(|operation| operation.class == "token" && operation.status_code.0 == 103);
    Ok(pending
        .filter_map(|operation| {
            let (client_name, token, expires_at) = token_of(&operation)?;
            Some((operation, Token { client_name, token, expires_at }))
        })
        .collect())
}

async fn list_tokens(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.target(matches.arg(0))?;
    let tokens: Vec<Token> = tokens(&target.client).await?.into_iter().map(|(_, token)| token).collect();
    let mut listing = Listing::new(["NAME", "TOKEN", "EXPIRES AT"]);
    for token in &tokens {
        let expires =
            if token.expires_at.is_never() { String::new() } else { units::minute_local(&token.expires_at) };
        listing.row([token.client_name.clone(), token.token.clone(), expires]);
    }
    listing.sort();
    listing.print(matches.value("format"), &serde_json::to_value(&tokens)?, &tokens)
}

static REVOKE_TOKEN: Spec = Spec {
    name: "revoke-token",
    args: "[<remote>:] <name>",
    about: "Cancel a client token",
    count: (1, 2),
    run: Some(|cx, m| Box::pin(revoke_token(cx, m))),
    ..Spec::NEW
};

async fn revoke_token(cx: &Cx, matches: &Matches) -> Result<()> {
    let (remote, name) = match &matches.args[..] {
        [remote, name] => (cx.split(remote)?.0, name.clone()),
        _ => cx.split(matches.arg(0))?,
    };
    let client = cx.client(&remote)?;
    let Some((operation, _)) =
        tokens(&client).await?.into_iter().find(|(_, token)| token.client_name == name)
    else {
        bail!("No certificate add token for member {name} on remote: {remote}");
    };
    client.send::<Value>("DELETE", &format!("/1.0/operations/{}", operation.id), None).await?;
    if !cx.quiet {
        println!("Certificate add token for {name} deleted");
    }
    Ok(())
}
