//! Logins of people: a form on the terminal, or a page in their browser.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue};
use lxd_macaroon::{Challenge, from_base64};
use serde_json::{Map, Value};

use super::agent::join;
use super::{Jar, Login, Token, VERSION, VERSION_HEADER, discharge, headers, headers_in, read, refused};
use crate::request::Call;
use crate::{Egress, Error, Result, web};

/// The header with which a client asks to be let in as somebody, and not as a stranger.
const AUTHENTICATED: &str = "x-lxd-authenticated";
/// How long a person may take in the browser.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a login asks its user. It is called on threads where it may block.
pub trait Ask: Send + Sync {
    /// A line of text.
    ///
    /// # Errors
    /// There is nobody to ask.
    fn line(&self, question: &str, secret: bool) -> Result<String>;

    /// Something to read.
    fn tell(&self, text: &str);
}

/// A user of one server that wants macaroons.
pub struct User {
    jar: Jar,
    /// The host of the server: cookies are for it alone.
    host: String,
    form: Form,
}

impl User {
    /// A user who is asked when a login is needed; cookies are kept in the jar.
    pub fn new(jar: Jar, host: &str, domain: &str, ask: Arc<dyn Ask>) -> Self {
        Self { jar, host: host.to_owned(), form: Form { domain: domain.to_owned(), ask } }
    }

    /// The headers that prove who the user is.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(VERSION_HEADER, HeaderValue::from_static(VERSION));
        headers.insert(AUTHENTICATED, HeaderValue::from_static("true"));
        let cookies = self.jar.header(&self.host);
        if let Some(value) = HeaderValue::from_str(&cookies).ok().filter(|value| !value.is_empty()) {
            headers.insert(COOKIE, value);
        }
        headers
    }

    /// The request with these headers.
    pub(crate) fn on(&self, mut call: Call) -> Call {
        call.headers.extend(self.headers());
        call
    }

    /// Gets what the server asks for, and keeps it.
    pub(crate) async fn answer(&self, challenge: &Challenge) -> Result<()> {
        let cookie = discharge(challenge, &self.form, &Egress::from_env()).await?;
        self.jar.keep(&self.host, &cookie)
    }
}

/// Logging in by a form or in a browser.
struct Form {
    domain: String,
    ask: Arc<dyn Ask>,
}

impl Login for Form {
    fn login<'a>(
        &'a self,
        location: &'a str,
        methods: &'a Value,
        egress: &'a Egress,
    ) -> BoxFuture<'a, Result<Token>> {
        Box::pin(async move {
            if let Some(url) = methods["form"]["url"].as_str() {
                return self.fill(location, &join(location, url), egress).await;
            }
            let browser = &methods["browser-window"];
            match (browser["VisitURL"].as_str(), browser["WaitTokenURL"].as_str()) {
                (Some(visit), Some(wait)) => {
                    self.browse(&join(location, visit), &join(location, wait), egress).await
                }
                _ => Err(Error::Protocol("no login method of the server is known".to_owned())),
            }
        })
    }

    fn domain(&self) -> &str {
        &self.domain
    }
}

impl Form {
    /// Asks for what the form wants, and sends it.
    async fn fill(&self, location: &str, url: &str, egress: &Egress) -> Result<Token> {
        let schema = self.request("GET", url, Bytes::new(), egress).await?;
        let fields = schema["schema"].as_object().cloned().unwrap_or_default();
        let place = location.split_once("://").map_or(location, |(_, place)| place);
        let (ask, place) = (self.ask.clone(), place.to_owned());
        let filled = tokio::task::spawn_blocking(move || ask_fields(&*ask, &place, &fields));
        let filled = filled.await.map_err(Error::protocol)??;
        let body = serde_json::json!({"form": filled}).to_string();
        let answer = self.request("POST", url, body.into(), egress).await?;
        token(&answer["token"])
    }

    /// Sends the user to a page, and waits until the login there is done.
    async fn browse(&self, visit: &str, wait: &str, egress: &Egress) -> Result<Token> {
        self.ask.tell(&format!("Opening an authorization web page in your browser.\nIf it does not open, please open this URL:\n{visit}\n"));
        let patient = Egress { patience: PATIENCE, ..egress.clone() };
        let reply = web::send("GET", wait, &headers(), Bytes::new(), &patient).await?;
        let status = reply.status;
        let answer = read(reply, egress.patience).await?;
        if status != 200 {
            return Err(refused(wait, status, &answer));
        }
        token(&serde_json::from_slice(&answer).map_err(Error::protocol)?)
    }

    async fn request(&self, method: &str, url: &str, body: Bytes, egress: &Egress) -> Result<Value> {
        let mut headers = headers_in(&self.domain);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let reply = web::send(method, url, &headers, body, egress).await?;
        let status = reply.status;
        let answer = read(reply, egress.patience).await?;
        if status != 200 {
            return Err(refused(url, status, &answer));
        }
        serde_json::from_slice(&answer).map_err(Error::protocol)
    }
}

/// The fields of a form, asked in the order of their names as the original does.
fn ask_fields(ask: &dyn Ask, place: &str, fields: &Map<String, Value>) -> Result<Map<String, Value>> {
    let mut names: Vec<&String> = fields.keys().collect();
    names.sort();
    ask.tell(&format!("Log in to {place}"));
    let mut filled = Map::new();
    for name in names {
        let secret = fields[name]["secret"].as_bool().unwrap_or(false);
        let answer = ask.line(&format!("{name}: "), secret)?;
        filled.insert(name.clone(), Value::String(answer));
    }
    Ok(filled)
}

/// `{"kind": …, "value": base64}` of a form, `{"kind": …, "token" or "token64": …}` of a browser.
fn token(value: &Value) -> Result<Token> {
    let text = |name: &str| value[name].as_str();
    let kind = text("kind").unwrap_or_default().to_owned();
    let bytes = match (text("value").or_else(|| text("token64")), text("token")) {
        (Some(encoded), _) => from_base64(encoded).map_err(Error::protocol)?,
        (None, Some(plain)) => plain.as_bytes().to_vec(),
        (None, None) => return Err(Error::Protocol("the login gave no token".to_owned())),
    };
    Ok(Token { kind, value: bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tokens_of_forms_and_browsers() {
        let of = |value: Value| token(&value).map(|token| (token.kind, token.value)).ok();
        assert_eq!(of(json!({"kind": "form", "value": "YWI="})), Some(("form".into(), b"ab".to_vec())));
        assert_eq!(of(json!({"kind": "x", "token": "ab"})), Some(("x".into(), b"ab".to_vec())));
        assert_eq!(of(json!({"kind": "x"})), None);
    }

    #[test]
    fn fields_are_asked_by_name() {
        struct Echo;
        impl Ask for Echo {
            fn line(&self, question: &str, secret: bool) -> Result<String> {
                Ok(format!("{question}{secret}"))
            }
            fn tell(&self, _text: &str) {}
        }
        let fields = json!({"username": {}, "password": {"secret": true}}).as_object().cloned().unwrap();
        let filled = ask_fields(&Echo, "x", &fields).unwrap();
        assert_eq!(
            Value::Object(filled),
            json!({"password": "password: true", "username": "username: false"})
        );
    }
}
