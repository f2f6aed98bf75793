//! `lxc remote add`: look at the certificate, authenticate, remember.

use std::os::unix::fs::DirBuilderExt;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lxd_api::certificate::CertificateAddToken;
use lxd_api::project::Project;
use lxd_api::server::Server;
use lxd_client::{Address, Client, Egress, Identity, TlsSettings, encode};
use serde_json::json;

use crate::cli::{Matches, Spec, switch, value};
use crate::conf::Remote;
use crate::cx::Cx;
use crate::{login, stdin};

/// Port of servers when the URL has none.
const DEFAULT_PORT: u16 = 8443;

/// The command.
pub static SPEC: Spec = Spec {
    name: "add",
    args: "[<remote>] <IP|FQDN|URL|token>",
    about: "Add a server to the list",
    flags: &[
        switch("accept-certificate", "Accept the server certificate without asking"),
        value("auth-type", "Authentication: tls or candid"),
        value("domain", "Candid domain"),
        value("password", "Trust password"),
        value("project", "Project for the remote"),
        value("protocol", "Protocol: lxd or simplestreams"),
        switch("public", "Public image server"),
    ],
    count: (1, 2),
    run: Some(|cx, m| Box::pin(run(cx, m))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let (name, address) = match &matches.args[..] {
        [address] => (address.as_str(), address.as_str()),
        [name, address, ..] => (name.as_str(), address.as_str()),
        [] => return Ok(()),
    };
    let token = decode_token(address);
    if name.contains(':') && token.is_none() {
        bail!("Remote names may not contain colons");
    }
    if let Some(remote) = cx.conf().remotes.get(name) {
        bail!("Remote {name} exists as <{}>", remote.addr);
    }
    if let Some(token) = &token {
        let name = if matches.args.len() == 2 { name.to_owned() } else { ask_name(cx)? };
        return add_with_token(cx, matches, &name, token, address).await;
    }
    match matches.value("protocol") {
        "simplestreams" => return add_image_server(cx, matches, name, address),
        "" | "lxd" => {}
        other => bail!("Invalid protocol: {other}"),
    }
    match matches.value("auth-type") {
        "" | "tls" | "candid" => {}
        other => bail!("Invalid authentication type: {other}"),
    }
    let url = url_of(address);
    if let Some((scheme, _)) =
        url.split_once("://").filter(|(scheme, _)| !matches!(*scheme, "unix" | "https"))
    {
        bail!("Invalid URL scheme {scheme:?} in {url:?}");
    }
    if matches.is("public") {
        return add_public(cx, matches, name, &url).await;
    }
    match Address::parse(&url)? {
        address @ Address::Unix(_) => {
            let client = Client::new(address, None);
            client.get::<Server>("/1.0").await?;
            let project = project(matches, &client).await?;
            remember(cx, matches, name, &url, project)
        }
        Address::Https { host, port } => {
            let client = connect(cx, matches, name, &host, port, Some(identity(cx)?), None).await?;
            authenticate(matches, name, &client).await?;
            let project = project(matches, &client).await?;
            remember(cx, matches, name, &url, project)
        }
    }
}

fn ask_name(cx: &Cx) -> Result<String> {
    let name = stdin::ask("Enter a name for this remote: ")?;
    if name.is_empty() || name.contains(':') || cx.conf().remotes.contains_key(&name) {
        bail!("Invalid remote name: {name:?}");
    }
    Ok(name)
}

/// The URL of what the user typed: a path is a socket, a host gets a scheme and a port.
fn url_of(text: &str) -> String {
    if let Some(path) = text.strip_prefix("unix:") {
        return format!("unix:{path}");
    }
    if text.starts_with('/') {
        return format!("unix://{text}");
    }
    if text.contains("://") && !text.starts_with("https://") {
        return text.to_owned();
    }
    let authority = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
    let has_port = match authority.rsplit_once(':') {
        Some((before, port)) => {
            (before.ends_with(']') || !before.contains(':')) && port.parse::<u16>().is_ok()
        }
        None => false,
    };
    if has_port || text.starts_with("https://") && authority.contains('/') {
        return format!("https://{authority}");
    }
    let bare_v6 = authority.contains(':') && !authority.starts_with('[');
    let host = if bare_v6 { format!("[{authority}]") } else { authority.to_owned() };
    format!("https://{host}:{DEFAULT_PORT}")
}

fn decode_token(text: &str) -> Option<CertificateAddToken> {
    let json = STANDARD.decode(text).ok()?;
    let token: CertificateAddToken = serde_json::from_slice(&json).ok()?;
    (!token.secret.is_empty() && !token.addresses.is_empty()).then_some(token)
}

async fn add_with_token(
    cx: &Cx,
    matches: &Matches,
    name: &str,
    token: &CertificateAddToken,
    text: &str,
) -> Result<()> {
    let mut last = None;
    for address in &token.addresses {
        let url = url_of(address);
        let Address::Https { host, port } = Address::parse(&url)? else { continue };
        let own = Some(identity(cx)?);
        let client = match connect(cx, matches, name, &host, port, own, Some(&token.fingerprint)).await {
            Ok(client) => client,
            Err(error) => {
                last = Some(error);
                continue;
            }
        };
        let body = json!({"type": "client", "password": text});
        client
            .send("POST", "/1.0/certificates", Some(&body))
            .await
            .context("Failed to create certificate")?;
        let project = project(matches, &client).await?;
        return remember(cx, matches, name, &url, project);
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("The token names no address")))
}

/// The own certificate; made when there is none.
fn identity(cx: &Cx) -> Result<Identity> {
    let dir = cx.conf().dir.clone();
    if let Some(identity) = Identity::load(&dir)? {
        return Ok(identity);
    }
    eprintln!("Generating a client certificate. This may take a minute...");
    Ok(Identity::generate(&dir)?)
}

/// A server of public images: nobody has to trust us.
async fn add_public(cx: &Cx, matches: &Matches, name: &str, url: &str) -> Result<()> {
    match Address::parse(url)? {
        address @ Address::Unix(_) => drop(Client::new(address, None).get::<Server>("/1.0").await?),
        Address::Https { host, port } => {
            let client = connect(cx, matches, name, &host, port, None, None).await?;
            client.get::<Server>("/1.0").await?;
        }
    }
    let mut conf = cx.conf_mut();
    conf.remotes.insert(name.to_owned(), Remote { addr: url.to_owned(), public: true, ..Remote::default() });
    conf.save()
}

/// Looks at the server's certificate, lets the user check it, and keeps it.
async fn connect(
    cx: &Cx,
    matches: &Matches,
    name: &str,
    host: &str,
    port: u16,
    identity: Option<Identity>,
    expected: Option<&str>,
) -> Result<Client> {
    let settings = tls(cx, matches, name, host, port, identity, expected).await?;
    let candid = matches.value("auth-type") == "candid";
    let user = candid.then(|| login::user(cx.conf().jar(name), host, matches.value("domain")));
    let address = Address::Https { host: host.to_owned(), port };
    Ok(Client::of_user(Egress::from_env(), address, Some(settings), user))
}

async fn tls(
    cx: &Cx,
    matches: &Matches,
    name: &str,
    host: &str,
    port: u16,
    identity: Option<Identity>,
    expected: Option<&str>,
) -> Result<TlsSettings> {
    let dir = cx.conf().dir.clone();
    let address = Address::Https { host: host.to_owned(), port };
    let pin = cx.conf().server_certificate(name);
    let known = std::fs::read_to_string(&pin).ok().and_then(|pem| lxd_client::pem_to_der(&pem).ok());
    let authority = Some(dir.join("client.ca")).filter(|path| path.exists());
    let mut tls = TlsSettings { pinned: known, identity, authority, accept_any: false };
    if tls.pinned.is_none() {
        // A certificate of a known authority needs no question.
        let trial = Client::new(address, Some(tls.clone()));
        match trial.get::<Server>("/1.0").await {
            Ok(_) if expected.is_none() => return Ok(tls),
            Ok(_) => {}
            Err(error) if error.to_string().contains("x509") => {}
            Err(error) => return Err(anyhow::anyhow!(error.to_string().replace("/1.0\"", "\""))),
        }
        let der = lxd_client::fetch_certificate(host, port).await?;
        confirm(matches, &lxd_client::fingerprint(&der), expected)?;
        save_certificate(&pin, &der)?;
        tls.pinned = Some(der);
    }
    Ok(tls)
}

fn confirm(matches: &Matches, fingerprint: &str, expected: Option<&str>) -> Result<()> {
    if let Some(expected) = expected {
        if expected != fingerprint {
            bail!("Certificate fingerprint mismatch between certificate token and server");
        }
        return Ok(());
    }
    if matches.is("accept-certificate") {
        return Ok(());
    }
    println!("Certificate fingerprint: {fingerprint}");
    let answer = stdin::ask("ok (y/n/[fingerprint])? ")?;
    match answer.to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        "n" | "no" | "" => bail!("Server certificate NACKed by user"),
        text if text == fingerprint => Ok(()),
        text if text.len() >= 12 => {
            bail!("The provided fingerprint does not match the server certificate fingerprint")
        }
        _ => bail!("Please type 'y', 'n' or the fingerprint:"),
    }
}

fn save_certificate(path: &std::path::Path, der: &[u8]) -> Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(dir)
            .context("Could not create server cert dir")?;
    }
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).map(|at| &text[at..(at + 64).min(text.len())]).collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    std::fs::write(path, pem).with_context(|| path.display().to_string())
}

/// Gives the password (or a token) to a server that does not trust us yet.
async fn authenticate(matches: &Matches, name: &str, client: &Client) -> Result<()> {
    let server: Server = client.get("/1.0").await?;
    if server.auth == "trusted" || server.public || matches.is("public") {
        return Ok(());
    }
    if matches.value("auth-type") == "candid" {
        bail!("The server does not know its users by Candid");
    }
    let password = if matches.given("password") {
        matches.value("password").to_owned()
    } else {
        stdin::ask_secret(&format!("Admin password (or token) for {name}: "))?
    };
    let body = json!({"type": "client", "password": password});
    client.send("POST", "/1.0/certificates", Some(&body)).await?;
    let server: Server = client.get("/1.0").await?;
    if server.auth != "trusted" {
        bail!("Server doesn't trust us after authentication");
    }
    println!("Client certificate now trusted by server: {name}");
    Ok(())
}

/// The project of the remote: the given one, or what the user chooses among several.
async fn project(matches: &Matches, client: &Client) -> Result<String> {
    if matches.given("project") {
        let name = matches.value("project");
        client.get::<Project>(&format!("/1.0/projects/{}", encode(name))).await?;
        return Ok(name.to_owned());
    }
    let projects: Vec<Project> = client.get("/1.0/projects?recursion=1").await.unwrap_or_default();
    let mut names: Vec<String> = projects.into_iter().map(|project| project.name).collect();
    if names.len() <= 1 {
        return Ok(names.pop().unwrap_or_else(|| "default".to_owned()));
    }
    if names.iter().any(|name| name == "default") && !stdin::is_terminal() {
        return Ok("default".to_owned());
    }
    println!("Available projects:");
    names.iter().for_each(|name| println!(" - {name}"));
    let answer = stdin::ask("Name of the project to use for this remote: [default=default] ")?;
    Ok(if answer.is_empty() { "default".to_owned() } else { answer })
}

fn remember(cx: &Cx, matches: &Matches, name: &str, url: &str, project: String) -> Result<()> {
    let remote = Remote {
        addr: url.to_owned(),
        auth_type: if matches.value("auth-type") == "candid" { "candid" } else { "tls" }.into(),
        domain: matches.value("domain").to_owned(),
        project,
        protocol: "lxd".into(),
        ..Remote::default()
    };
    let mut conf = cx.conf_mut();
    conf.remotes.insert(name.to_owned(), remote);
    conf.save()
}

fn add_image_server(cx: &Cx, matches: &Matches, name: &str, address: &str) -> Result<()> {
    if matches.given("password") {
        bail!("Image servers need no password");
    }
    if !address.starts_with("https://") {
        bail!("Only https URLs are supported for simplestreams");
    }
    let remote = Remote {
        addr: address.trim_end_matches('/').to_owned(),
        protocol: "simplestreams".into(),
        public: true,
        ..Remote::default()
    };
    let mut conf = cx.conf_mut();
    conf.remotes.insert(name.to_owned(), remote);
    conf.save()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (typed, url) in [
            ("127.0.0.1:9443", "https://127.0.0.1:9443"),
            ("host", "https://host:8443"),
            ("https://host", "https://host:8443"),
            ("[::1]:1", "https://[::1]:1"),
            ("::1", "https://[::1]:8443"),
            ("/run/x.sock", "unix:///run/x.sock"),
            ("unix:///run/x.sock", "unix:///run/x.sock"),
            ("http://host", "http://host"),
        ] {
            assert_eq!(url_of(typed), url);
        }
    }
}
