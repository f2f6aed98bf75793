//! `PUT` and `PATCH /1.0`: checking, storing and applying the server's configuration (manual 3.2.7).

use std::collections::BTreeMap;
use std::sync::Arc;

use lxd_auth::Permit;
use lxd_config::server::{self, SERVER};
use lxd_config::{Scope, changed};
use lxd_types::names::ProjectName;
use lxd_types::{Config, Error, Result};
use serde_json::Value;

use super::stores;
use crate::warnings::WarningType;
use crate::{Core, Lifecycle};

/// What a request wants of the configuration.
#[derive(Clone, Debug)]
pub enum Change {
    /// These keys and no others (PUT).
    Replace(BTreeMap<String, Value>),
    /// These keys, the others stay (PATCH).
    Merge(BTreeMap<String, Value>),
}

/// Hashes a trust password; slow on purpose.
///
/// # Errors
/// The hash cannot be made.
pub async fn hash_password(password: String) -> Result<String> {
    tokio::task::spawn_blocking(move || lxd_auth::password::hash(&password))
        .await
        .map_err(|_| Error::internal("Hashing the password panicked"))?
}

/// The change as texts: `true` for a secret means that it stays, nothing at all removes a key.
fn texts(current: &Config, change: &Change) -> Result<Config> {
    let (wanted, mut texts) = match change {
        Change::Replace(wanted) => {
            let all_gone = current.keys().map(|key| (key.clone(), String::new())).collect();
            (wanted, all_gone)
        }
        Change::Merge(wanted) => (wanted, Config::new()),
    };
    for (key, value) in wanted {
        let secret = SERVER.find(key).is_some_and(|known| known.meta().secret);
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            Value::Bool(true) if secret => current.get(key).cloned().unwrap_or_default(),
            Value::Bool(_) => return Err(wrong_type(key, "bool")),
            Value::Number(_) => return Err(wrong_type(key, "float64")),
            Value::Array(_) => return Err(wrong_type(key, "slice")),
            Value::Object(_) => return Err(wrong_type(key, "map")),
        };
        texts.insert(key.clone(), text);
    }
    Ok(texts)
}

fn wrong_type(key: &str, kind: &str) -> Error {
    Error::bad_request(format!("cannot set '{key}': invalid type {kind}"))
}

impl Core {
    /// Changes the server's configuration: checked, applied, stored, told.
    ///
    /// # Errors
    /// A key or value is refused, or an address cannot be listened on; then nothing has changed.
    pub async fn configure(self: &Arc<Self>, permit: &Permit, change: Change) -> Result<()> {
        let _one_at_a_time = self.server.changing.lock().await;
        let old = self.server.config();
        let mut texts = texts(&old, &change)?;
        resolve_addresses(&texts).await?;
        let mut new = server::apply(&old, &texts)?;
        if let Some(password) = texts.remove("core.trust_password")
            && !password.is_empty()
            && old.get("core.trust_password") != Some(&password)
        {
            new.insert("core.trust_password".to_owned(), hash_password(password).await?);
        }
        crate::identity::check(&new)?;
        let touched = changed(&old, &new);
        if !touched.is_empty() {
            let silent = without_effect(&touched);
            // Held to the end: until the configuration says so nobody knows that a volume is the server's.
            let moves = stores::enter(self, &old, &new).await?;
            stores::carry(self, &moves, async || self.commit(&touched, &old, &new).await).await?;
            crate::identity::apply(self);
            if !silent.is_empty() {
                self.warn(WarningType::NoEffect, &silent).await;
            }
        }
        let event = Lifecycle::new("config-updated", "/1.0").in_project(&ProjectName::default_project());
        self.tell(permit.caller(), event);
        Ok(())
    }

    /// Applies and records a changed configuration; what was applied is taken back when it cannot be recorded.
    async fn commit(&self, touched: &[(&str, &str)], old: &Config, new: &Config) -> Result<()> {
        self.apply_listeners(touched).await?;
        if let Err(error) = self.store(new).await {
            self.apply_listeners(&changed(new, old)).await?;
            return Err(error);
        }
        self.server.set_config(new.clone());
        Ok(())
    }

    async fn apply_listeners(&self, touched: &[(&str, &str)]) -> Result<()> {
        let Some(endpoints) = self.server.endpoints.get() else { return Ok(()) };
        for (key, value) in touched {
            match *key {
                "core.https_address" => endpoints.listen(value).await?,
                "core.debug_address" => endpoints.listen_debug(value).await?,
                _ => {}
            }
        }
        Ok(())
    }

    async fn store(&self, config: &Config) -> Result<()> {
        let is_local = |key: &str| SERVER.find(key).is_some_and(|key| key.meta().scope == Scope::Local);
        let (local, global): (Config, Config) =
            config.clone().into_iter().partition(|(key, _)| is_local(key));
        let old = self.server.config();
        let differs = |own: &Config, local: bool| {
            let stored: Config =
                (*old).clone().into_iter().filter(|(key, _)| is_local(key) == local).collect();
            stored != *own
        };
        if differs(&local, true) {
            self.db.local_write(move |tx| lxd_db::config::replace(tx, &local)).await?;
        }
        if differs(&global, false) {
            self.db.write(move |tx| lxd_db::config::replace(tx, &global)).await?;
        }
        Ok(())
    }
}

/// The keys of a change that are stored and do nothing, as text.
fn without_effect(touched: &[(&str, &str)]) -> String {
    let set = touched.iter().filter(|(_, value)| !value.is_empty());
    let set: Config = set.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    server::without_effect(&set).join(", ")
}

/// Host names in addresses must resolve; what an address looks like is the key table's matter.
async fn resolve_addresses(texts: &Config) -> Result<()> {
    for (key, address) in texts.iter().filter(|(key, value)| key.ends_with("_address") && !value.is_empty()) {
        let host = match address.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => host,
            _ => address,
        };
        let is_name = host.starts_with(|c: char| c.is_ascii_alphabetic()) && !host.contains(':');
        if is_name
            && tokio::net::lookup_host((host, 0)).await.map_or(true, |mut found| found.next().is_none())
        {
            return Err(Error::bad_request(format!(
                "cannot set '{key}' to '{address}': Couldn't resolve \"{host}\""
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(json: &str) -> BTreeMap<String, Value> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_secret_shown_as_true_stays() {
        let current: Config =
            [("core.trust_password".to_owned(), "hash".to_owned()), ("user.a".to_owned(), "1".to_owned())]
                .into();
        let put = texts(&current, &Change::Replace(wanted(r#"{"core.trust_password": true}"#))).unwrap();
        assert_eq!(put["core.trust_password"], "hash");
        assert_eq!(put["user.a"], "");
        let patch = texts(&current, &Change::Merge(wanted(r#"{"user.b": null}"#))).unwrap();
        assert_eq!((patch.len(), patch["user.b"].as_str()), (1, ""));
        for (json, kind) in [("5", "float64"), ("true", "bool"), ("[]", "slice"), ("{}", "map")] {
            let refused = texts(&current, &Change::Merge(wanted(&format!(r#"{{"user.n": {json}}}"#))));
            assert_eq!(refused.unwrap_err().chain(), format!("cannot set 'user.n': invalid type {kind}"));
        }
    }
}
