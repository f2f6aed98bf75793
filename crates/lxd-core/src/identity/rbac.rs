//! The RBAC service: it is told the projects, tells the rights of users in them, and says when something changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use lxd_auth::{Limits, Rights};
use lxd_client::Egress;
use lxd_client::bakery::{Agent, Bakery};
use lxd_db::{Db, projects};
use lxd_macaroon::KeyPair;
use lxd_types::{Error, Result};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::settings::RbacSettings;
use crate::{Core, SharedCore};

/// How long the service may take to answer.
const WAIT: Duration = Duration::from_secs(20);
/// How long it may wait for a change before it answers.
const PATIENCE: Duration = Duration::from_secs(600);
/// Until it is asked again after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// Between two questions for changes.
const PAUSE: Duration = Duration::from_millis(200);
/// Users whose rights are kept at most.
const MOST: usize = 4096;

/// The service, and what it told.
pub(super) struct Rbac {
    settings: RbacSettings,
    /// `None` when the agent has no usable key.
    bakery: Option<Bakery>,
    /// The limits of users; `None` inside for administrators. Held for a look-up or an insertion.
    users: Mutex<HashMap<String, Option<Limits>>>,
    projects: Notify,
}

impl Rbac {
    pub(super) fn new(settings: RbacSettings, egress: Egress) -> Self {
        let agent = KeyPair::from_private(&settings.private_key).ok().map(|key| Agent {
            url: settings.agent_url.clone(),
            username: settings.agent.clone(),
            key,
        });
        let bakery = agent.map(|agent| Bakery::new(agent, egress));
        Self { settings, bakery, users: Mutex::default(), projects: Notify::new() }
    }

    /// The projects changed.
    pub(super) fn nudge(&self) {
        self.projects.notify_one();
    }

    /// What is known of a user: `Some(None)` for an administrator.
    pub(super) fn known(&self, user: &str) -> Option<Option<Limits>> {
        self.users().get(user).cloned()
    }

    fn users(&self) -> std::sync::MutexGuard<'_, HashMap<String, Option<Limits>>> {
        self.users.lock().expect("no panic happens while the lock is held")
    }

    /// Asks for the rights of a user that nothing is known of.
    pub(super) async fn learn(&self, db: &Db, user: &str) -> Result<()> {
        if self.known(user).is_some() {
            return Ok(());
        }
        let limits = self.limits(db, user).await?;
        let mut users = self.users();
        if users.len() >= MOST {
            users.clear();
        }
        users.insert(user.to_owned(), limits);
        Ok(())
    }

    async fn limits(&self, db: &Db, user: &str) -> Result<Option<Limits>> {
        let everywhere = self.permissions("lxd", user).await?;
        if everywhere.values().any(|permissions| permissions.iter().any(|one| one == "admin")) {
            return Ok(None);
        }
        let mut inside = self.permissions("project", user).await?;
        let all = db.read(projects::list).await?.into_iter();
        let limits = all.filter_map(|project| {
            let permissions = inside.remove(&project.id.to_string())?;
            Some((project.name, Rights::from_permissions(permissions.iter().map(String::as_str))))
        });
        Ok(Some(limits.collect()))
    }

    /// The permissions of a user by the identifier of the thing.
    async fn permissions(&self, kind: &str, user: &str) -> Result<BTreeMap<String, Vec<String>>> {
        let path = format!("resources/{kind}/permissions-for-user?u={}", lxd_client::encode(user));
        let answer = self.call("GET", &path, Bytes::new(), WAIT).await?;
        let malformed =
            |error| Error::unavailable(format!("The answer of the RBAC service is malformed: {error}"));
        Ok(serde_json::from_slice::<Option<_>>(&answer).map_err(malformed)?.unwrap_or_default())
    }

    async fn call(&self, method: &str, path: &str, body: Bytes, wait: Duration) -> Result<Bytes> {
        let url = format!("{}/api/service/v1/{path}", self.settings.url);
        let failed = |why: String| Error::unavailable(format!("Failed to ask the RBAC service: {why}"));
        let bakery =
            self.bakery.as_ref().ok_or_else(|| failed("rbac.agent.private_key is not set".into()))?;
        bakery.call(method, &url, body, wait).await.map_err(|error| failed(error.to_string()))
    }

    /// Tells the projects that changed since `told`.
    async fn tell_projects(&self, db: &Db, told: &mut Told) -> Result<()> {
        let now: BTreeMap<String, String> =
            db.read(projects::list).await?.into_iter().map(|one| (one.id.to_string(), one.name)).collect();
        let Some(body) = told.changes(&now) else { return Ok(()) };
        let body = Bytes::from(body.to_string());
        let answer = self.call("POST", "resources/project", body, WAIT).await?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        *told = Told { sync: answer["sync-id"].clone(), projects: now };
        Ok(())
    }

    /// Asks anew for the rights of all users that are known; who cannot be asked for loses them. Returns who has others
    /// than before.
    async fn refresh(&self, db: &Db) -> Vec<String> {
        let mut changed = Vec::new();
        let known: Vec<String> = self.users().keys().cloned().collect();
        for user in known {
            let limits = self.limits(db, &user).await;
            let mut users = self.users();
            let before = users.remove(&user);
            match limits {
                Ok(limits) if before.as_ref() == Some(&limits) => drop(users.insert(user, limits)),
                Ok(limits) => {
                    users.insert(user.clone(), limits);
                    changed.push(user);
                }
                Err(error) => {
                    tracing::warn!(user, error = error.chain(), "The rights of a user are unknown");
                    changed.push(user);
                }
            }
        }
        changed
    }
}

/// What the service was told of the projects.
#[derive(Default)]
struct Told {
    sync: Value,
    projects: BTreeMap<String, String>,
}

impl Told {
    /// The message about what is different now; `None` when nothing is.
    fn changes(&self, now: &BTreeMap<String, String>) -> Option<Value> {
        let new = now.iter().filter(|(id, name)| self.projects.get(*id) != Some(name));
        let updates: Vec<Value> = new.map(|(id, name)| json!({"identifier": id, "name": name})).collect();
        let removals: Vec<&String> = self.projects.keys().filter(|id| !now.contains_key(*id)).collect();
        if updates.is_empty() && removals.is_empty() {
            return None;
        }
        let mut message = json!({"last-sync-id": self.sync});
        if !updates.is_empty() {
            message["updates"] = json!(updates);
        }
        if !removals.is_empty() {
            message["removals"] = json!(removals);
        }
        Some(message)
    }
}

/// Keeps the service and this server informed of each other, until `stop`.
pub(super) fn watch(rbac: Arc<Rbac>, core: &SharedCore, stop: CancellationToken) {
    tokio::spawn(stop.clone().run_until_cancelled_owned(tell(rbac.clone(), Arc::downgrade(core))));
    tokio::spawn(stop.run_until_cancelled_owned(hear(rbac, Arc::downgrade(core))));
}

async fn tell(rbac: Arc<Rbac>, core: Weak<Core>) {
    let mut told = Told::default();
    loop {
        let Some(db) = core.upgrade().map(|core| core.db.clone()) else { return };
        match rbac.tell_projects(&db, &mut told).await {
            Ok(()) => {
                rbac.projects.notified().await;
                // Rights are kept by the names of projects.
                let Some(core) = core.upgrade() else { return };
                renew(&rbac, &core).await;
            }
            Err(error) => {
                tracing::warn!(error = error.chain(), "The RBAC service does not know the projects");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Asks anew for all rights; who lost some loses its connections.
async fn renew(rbac: &Rbac, core: &Core) {
    let changed = rbac.refresh(&core.db).await;
    core.distrust("candid", |user| changed.iter().any(|one| one == user));
}

async fn hear(rbac: Arc<Rbac>, core: Weak<Core>) {
    loop {
        match rbac.call("GET", "changes", Bytes::new(), PATIENCE).await {
            Ok(_) => {
                let Some(core) = core.upgrade() else { return };
                renew(&rbac, &core).await;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                tracing::debug!(error = error.chain(), "The RBAC service tells no changes");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_told() {
        let projects = |all: &[(&str, &str)]| {
            all.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let first = projects(&[("1", "default"), ("2", "a")]);
        let told = Told { sync: json!("7"), projects: first.clone() };
        assert_eq!(told.changes(&first), None);
        let renamed = told.changes(&projects(&[("1", "default"), ("2", "b")])).unwrap();
        let update = json!({"identifier": "2", "name": "b"});
        assert_eq!(renamed, json!({"last-sync-id": "7", "updates": [update]}));
        let removed = told.changes(&projects(&[("1", "default")])).unwrap();
        assert_eq!(removed, json!({"last-sync-id": "7", "removals": ["2"]}));
        assert_eq!(Told::default().changes(&first).unwrap()["last-sync-id"], Value::Null);
    }
}
