//! The RBAC service: it is told the projects, tells the rights of users in them, and says when something changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

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
const PATIENCE: Duration = Duration::from_secs(300);
/// Until it is asked again after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// Between two questions for changes.
const PAUSE: Duration = Duration::from_millis(200);
/// Users whose rights are kept at most.
const MOST: usize = 4096;
/// How old rights may be when a message of a change may have been lost: older ones are asked for anew.
const FRESH: Duration = Duration::from_secs(10);
/// How old rights may be that cannot be asked for.
const LONGEST: Duration = Duration::from_secs(600);
/// How often in a row is asked for rights that change meanwhile.
const TRIES: usize = 5;

/// The service, and what it told.
pub(super) struct Rbac {
    settings: RbacSettings,
    /// `None` when the agent has no usable key.
    bakery: Option<Bakery>,
    /// Held for a look-up or an insertion.
    users: Mutex<Users>,
    projects: Notify,
}

/// The users who are known.
#[derive(Default)]
struct Users {
    known: HashMap<String, Known>,
    /// Counts the changes that were heard of: an answer that was asked for before one is not kept.
    changes: u64,
}

/// What the service said of a user.
#[derive(Clone, Debug)]
struct Known {
    /// `None` for an administrator.
    limits: Option<Limits>,
    at: Instant,
}

impl Users {
    /// Keeps what was asked for when so many changes had been heard of; false when there were more since.
    fn keep(&mut self, user: &str, limits: Option<Limits>, changes: u64) -> bool {
        if self.changes != changes {
            return false;
        }
        if self.known.len() >= MOST && !self.known.contains_key(user) {
            // One for one: the others do not lose their connections.
            let oldest = self.known.iter().min_by_key(|(_, known)| known.at).map(|(user, _)| user.clone());
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
        self.known.insert(user.to_owned(), Known { limits, at: Instant::now() });
        true
    }
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
        self.users().known.get(user).map(|known| known.limits.clone())
    }

    fn users(&self) -> std::sync::MutexGuard<'_, Users> {
        self.users.lock().expect("no panic happens while the lock is held")
    }

    /// Asks for the rights of a user that nothing is known of.
    pub(super) async fn learn(&self, db: &Db, user: &str) -> Result<()> {
        match self.known(user) {
            Some(_) => Ok(()),
            None => self.ask(db, user).await.map(drop),
        }
    }

    /// Asks for the rights of a user and keeps them; those that change while they are asked for are asked for again.
    async fn ask(&self, db: &Db, user: &str) -> Result<Option<Limits>> {
        for _ in 0..TRIES {
            let changes = self.users().changes;
            let limits = self.limits(db, user).await?;
            if self.users().keep(user, limits.clone(), changes) {
                return Ok(limits);
            }
        }
        Err(Error::unavailable(format!("The rights of {user:?} change all the time")))
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

    /// Asks anew for the rights of users. Something changed: of all, and who cannot be asked for loses them. Something may
    /// have changed: of those that were not asked for just now, who lose them when they are too old. Returns who has
    /// others than before.
    async fn refresh(&self, db: &Db, heard: Heard) -> Vec<String> {
        let (mut changed, mut away) = (Vec::new(), false);
        for (user, before) in self.outdated(heard) {
            // One question is enough to know that the service is away.
            let now = if away { None } else { self.ask(db, &user).await.map_err(warn_of(&user)).ok() };
            match now {
                Some(limits) if limits == before.limits => {}
                Some(_) => changed.push(user),
                None => {
                    away = true;
                    if heard == Heard::Change || before.at.elapsed() > LONGEST {
                        self.users().known.remove(&user);
                        changed.push(user);
                    }
                }
            }
        }
        changed
    }

    /// The users to ask for; from now on no answer counts that was asked for before.
    fn outdated(&self, heard: Heard) -> Vec<(String, Known)> {
        let mut users = self.users();
        users.changes += 1;
        let old = |known: &Known| heard == Heard::Change || known.at.elapsed() > FRESH;
        let old = users.known.iter().filter(|(_, known)| old(known));
        old.map(|(user, known)| (user.clone(), known.clone())).collect()
    }
}

fn warn_of(user: &str) -> impl FnOnce(Error) + '_ {
    move |error| tracing::warn!(user, error = error.chain(), "The rights of a user are unknown")
}

/// What the service said of changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Heard {
    /// There was one.
    Change,
    /// It broke off: there may have been one.
    Nothing,
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
        let changed = rbac.projects.notified();
        let changed = match rbac.tell_projects(&db, &mut told).await {
            Ok(()) => {
                changed.await;
                true
            }
            Err(error) => {
                tracing::warn!(error = error.chain(), "The RBAC service does not know the projects");
                tokio::time::timeout(RETRY, changed).await.is_ok()
            }
        };
        if changed {
            // Rights are kept by the names of projects.
            renew(&rbac, &core, Heard::Change).await;
        }
    }
}

/// Asks anew for rights; who lost some loses its connections.
async fn renew(rbac: &Rbac, core: &Weak<Core>, heard: Heard) {
    let Some(core) = core.upgrade() else { return };
    let changed = rbac.refresh(&core.db, heard).await;
    core.distrust("candid", |user| changed.iter().any(|one| one == user));
}

async fn hear(rbac: Arc<Rbac>, core: Weak<Core>) {
    let mut heard = Heard::Nothing;
    while core.strong_count() > 0 {
        // Rights are asked for while the next change is waited for already: none falls between the two.
        let next = rbac.call("GET", "changes", Bytes::new(), PATIENCE);
        let (next, ()) = tokio::join!(next, renew(&rbac, &core, heard));
        heard = match next {
            Ok(_) => {
                tokio::time::sleep(PAUSE).await;
                Heard::Change
            }
            Err(error) => {
                tracing::debug!(error = error.chain(), "The RBAC service tells no changes");
                tokio::time::sleep(RETRY).await;
                Heard::Nothing
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_from_before_a_change_is_not_kept() {
        let mut users = Users::default();
        assert!(users.keep("bob", None, 0));
        users.changes += 1;
        assert!(!users.keep("eve", None, 0));
        assert!(users.keep("eve", None, 1));
        assert_eq!(users.known.len(), 2);
    }

    #[test]
    fn one_more_user_costs_one() {
        let mut users = Users::default();
        for number in 0..=MOST {
            users.keep(&number.to_string(), None, 0);
        }
        assert_eq!(users.known.len(), MOST);
        assert!(users.known.contains_key(&MOST.to_string()) && !users.known.contains_key("0"));
    }

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
