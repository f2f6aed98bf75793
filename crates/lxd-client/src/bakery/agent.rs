//! Logins of programs: an agent proves that it has its private key.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lxd_macaroon::{KeyPair, Macaroon, Wire, to_binary};
use serde_json::Value;

use super::{Login, Token, headers, read, refused};
use crate::{Egress, Error, Result, encode, web};

/// A program that an identity server knows.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The identity server: its key is given to no other.
    pub url: String,
    /// The name of the agent there.
    pub username: String,
    /// Its key.
    pub key: KeyPair,
}

impl Login for Agent {
    fn login<'a>(
        &'a self,
        location: &'a str,
        methods: &'a Value,
        egress: &'a Egress,
    ) -> BoxFuture<'a, Result<Token>> {
        Box::pin(self.enter(location, methods, egress))
    }
}

impl Agent {
    async fn enter(&self, location: &str, methods: &Value, egress: &Egress) -> Result<Token> {
        if location.trim_end_matches('/') != self.url.trim_end_matches('/') {
            return Err(Error::Protocol(format!("no agent is known for {location:?}")));
        }
        let path = methods["agent"]["login-url"].as_str().filter(|path| !path.is_empty());
        let path = path.ok_or_else(|| Error::Protocol("the server has no login for agents".to_owned()))?;
        let url = format!(
            "{}?username={}&public-key={}",
            join(location, path),
            encode(&self.username),
            encode(&self.key.public().to_string())
        );
        let reply = web::send("GET", &url, &headers(), Bytes::new(), egress).await?;
        let status = reply.status;
        let answer = read(reply, egress.patience).await?;
        if status != 200 {
            return Err(refused(&url, status, &answer));
        }
        let answer: Value = serde_json::from_slice(&answer).map_err(Error::protocol)?;
        let wire = Wire::parse(&answer["macaroon"]).map_err(Error::protocol)?;
        Ok(Token { kind: "agent".to_owned(), value: to_binary(&self.prove(&wire)?) })
    }

    /// The macaroon with the answers that only the key can give.
    fn prove(&self, wire: &Wire) -> Result<Vec<Macaroon>> {
        let primary = wire.macaroon.signature;
        let mut all = vec![wire.macaroon.clone()];
        for caveat in wire.macaroon.caveats.iter().filter(|caveat| !caveat.verification.is_empty()) {
            let condition = wire.condition(caveat).map_err(Error::protocol)?;
            let secret = lxd_macaroon::unseal(&self.key, &condition).map_err(Error::protocol)?;
            let mut answer = Macaroon::new(&secret.root_key, caveat.id.clone(), "local");
            answer.bind(&primary);
            all.push(answer);
        }
        Ok(all)
    }
}

/// The URL that a server names in an answer: whole, from the root, or beside `location`.
pub(crate) fn join(location: &str, path: &str) -> String {
    if path.contains("://") {
        return path.to_owned();
    }
    if path.starts_with('/') {
        return format!("{}{path}", super::origin(location));
    }
    format!("{}/{path}", location.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_joined() {
        assert_eq!(join("http://a:1/auth", "/login"), "http://a:1/login");
        assert_eq!(join("http://a:1/auth/", "login"), "http://a:1/auth/login");
        assert_eq!(join("http://a", "https://b/c"), "https://b/c");
    }

    #[tokio::test]
    async fn the_key_is_for_one_server() {
        let agent = Agent { url: "http://a".into(), username: "me".into(), key: KeyPair::random() };
        let offered = serde_json::json!({"agent": {"login-url": "/x"}});
        let error = agent.login("http://b", &offered, &Egress::default()).await.unwrap_err();
        assert_eq!(error.to_string(), "no agent is known for \"http://b\"");
    }
}
