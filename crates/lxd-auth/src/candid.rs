//! Users that an identity server (Candid, manual 3.4.5) vouches for: asking for that in a macaroon, and checking what
//! comes back.

use chrono::{DateTime, Duration, Utc};
use lxd_macaroon::{
    Challenge, ChallengeInfo, DISCHARGE_REQUIRED, KeyPair, Macaroon, MacaroonError, PublicKey, Secret,
    TIME_BEFORE, Verified,
};
use lxd_types::{Error, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What the identity server is asked: to name the user.
const QUESTION: &str = "need-declared username is-authenticated-user";
/// How its answer begins.
const ANSWER: &str = "declared username ";
/// Length of what a macaroon is known by.
const ID: usize = 16;
/// The longest cookie that is looked at, in bytes.
const LONGEST: usize = 32 * 1024;
/// Macaroons in one cookie that are looked at.
const MOST: usize = 8;

/// A user that the identity server named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The name, with its domain where it has one.
    pub user: String,
    /// When the macaroon ends; `None` for never.
    pub until: Option<DateTime<Utc>>,
}

/// Issues macaroons that an identity server must answer for, and checks them.
#[derive(Debug)]
pub struct Candid {
    location: String,
    server: PublicKey,
    own: KeyPair,
    /// Root keys are made of it. A restart makes a new one: users then ask the identity server again.
    secret: [u8; 32],
    expiry: Duration,
    /// The domains whose users are let in; empty for all.
    domains: Vec<String>,
}

impl Candid {
    /// For the identity server at `location` with this key. Macaroons are good for `expiry` seconds.
    pub fn new(location: &str, server: PublicKey, expiry: i64, domains: &str) -> Self {
        let domains = domains.split(',').map(str::trim).filter(|domain| !domain.is_empty());
        Self {
            location: location.to_owned(),
            server,
            own: KeyPair::random(),
            secret: rand::random(),
            expiry: Duration::try_seconds(expiry).unwrap_or(Duration::MAX),
            domains: domains.map(str::to_owned).collect(),
        }
    }

    /// What a client without a good macaroon is answered.
    ///
    /// # Errors
    /// The macaroon cannot be made.
    pub fn challenge(&self, now: DateTime<Utc>) -> Result<Challenge> {
        let failed = |error: MacaroonError| Error::internal(format!("Failed to make a macaroon: {error}"));
        let id: [u8; ID] = rand::random();
        let mut macaroon = Macaroon::new(&self.root_key(&id), id.to_vec(), &self.location);
        let secret = Secret { root_key: rand::random::<[u8; 24]>().to_vec(), condition: QUESTION.to_owned() };
        let sealed = lxd_macaroon::seal(&self.own, self.server, &secret).map_err(failed)?;
        macaroon.require_answer(&secret.root_key, sealed, &self.location).map_err(failed)?;
        let end = now.checked_add_signed(self.expiry).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let end = end.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        macaroon.require(&format!("{TIME_BEFORE} {end}"));
        Ok(Challenge {
            code: DISCHARGE_REQUIRED.to_owned(),
            message: format!("{DISCHARGE_REQUIRED}: authentication required"),
            info: Some(ChallengeInfo {
                macaroon: macaroon.to_envelope(),
                macaroon_path: "/".to_owned(),
                cookie_name_suffix: "auth".to_owned(),
                ..ChallengeInfo::default()
            }),
        })
    }

    /// The user of a cookie (base64 of a list of macaroons); `None` when it proves nothing, or not any more.
    ///
    /// # Errors
    /// Forbidden: the user is of a domain that is not let in.
    pub fn verify(&self, cookie: &str, now: DateTime<Utc>) -> Result<Option<Identity>> {
        let Some((first, rest)) = parse(cookie) else { return Ok(None) };
        if first.id.len() != ID {
            return Ok(None);
        }
        let verified = match first.verify(&self.root_key(&first.id), &rest) {
            Ok(verified) => verified,
            Err(error) => {
                tracing::debug!(%error, "A macaroon was refused");
                return Ok(None);
            }
        };
        let Some(identity) = read(&verified, now) else { return Ok(None) };
        self.check_domain(&identity.user)?;
        Ok(Some(identity))
    }

    fn check_domain(&self, user: &str) -> Result<()> {
        if self.domains.is_empty() {
            return Ok(());
        }
        let Some((_, domain)) = user.split_once('@') else {
            return Err(Error::forbidden("could not determine identity: Missing domain in candid reply"));
        };
        if self.domains.iter().any(|known| known == domain) {
            return Ok(());
        }
        Err(Error::forbidden("could not determine identity: Untrusted candid domain"))
    }

    fn root_key(&self, id: &[u8]) -> [u8; 32] {
        // The length of `id` is fixed, so nobody can go on where the hash ended.
        Sha256::new().chain_update(self.secret).chain_update(id).finalize().into()
    }
}

fn parse(cookie: &str) -> Option<(Macaroon, Vec<Macaroon>)> {
    if cookie.len() > LONGEST {
        return None;
    }
    let json = lxd_macaroon::from_base64(cookie).ok()?;
    let list: Vec<Value> = serde_json::from_slice(&json).ok()?;
    if list.len() > MOST {
        return None;
    }
    let mut all = list.iter().map(Macaroon::from_json).collect::<Result<Vec<_>, _>>().ok()?.into_iter();
    Some((all.next()?, all.collect()))
}

/// Who is named, if all conditions hold.
fn read(verified: &Verified, now: DateTime<Utc>) -> Option<Identity> {
    let mut until: Option<DateTime<Utc>> = None;
    let mut named = verified.discharges.iter().filter_map(|condition| condition.strip_prefix(ANSWER));
    let user = named.next()?;
    for condition in verified.own.iter().chain(&verified.discharges) {
        if let Some(time) = condition.strip_prefix(TIME_BEFORE) {
            let end = DateTime::parse_from_rfc3339(time.trim()).ok()?.to_utc();
            until = Some(until.map_or(end, |until| until.min(end)));
        } else if condition.strip_prefix(ANSWER) != Some(user) {
            // Another name, or a condition that we do not know: it does not hold.
            return None;
        }
    }
    let valid = until.is_none_or(|end| now < end) && is_name(user);
    valid.then(|| Identity { user: user.to_owned(), until })
}

/// Names go into the log and into events.
fn is_name(user: &str) -> bool {
    (1..=255).contains(&user.len()) && user.chars().all(|c| !c.is_control() && !c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An identity server that names this user; the cookie of a client that asked it.
    fn cookie(candid: &Candid, server: &KeyPair, challenge: &Challenge, conditions: &[&str]) -> String {
        let info = challenge.info.as_ref().unwrap();
        let root = Macaroon::from_json(&info.macaroon).unwrap();
        let question = &root.caveats[0];
        assert_eq!(question.location, candid.location);
        let secret = lxd_macaroon::unseal(server, &question.id).unwrap();
        assert_eq!(secret.condition, QUESTION);
        let mut answer = Macaroon::new(&secret.root_key, question.id.clone(), "");
        conditions.iter().for_each(|condition| answer.require(condition));
        answer.bind(&root.signature);
        let list = serde_json::json!([root.to_json(), answer.to_json()]);
        lxd_macaroon::to_base64(list.to_string().as_bytes())
    }

    #[test]
    fn users_are_named_for_a_while() {
        let server = KeyPair::random();
        let candid = Candid::new("https://id", server.public(), 60, "");
        let now = Utc::now();
        let challenge = candid.challenge(now).unwrap();
        let good = cookie(&candid, &server, &challenge, &["declared username bob"]);
        let identity = candid.verify(&good, now).unwrap().unwrap();
        assert_eq!(identity.user, "bob");
        assert!(candid.verify(&good, now + Duration::seconds(61)).unwrap().is_none());
        let restarted = Candid::new("https://id", server.public(), 60, "");
        assert!(restarted.verify(&good, now).unwrap().is_none());
        for bad in [
            &[][..],
            &["declared username bob", "declared username eve"],
            &["declared username bob", "time-before 2020-01-01T00:00:00Z"],
            &["declared username bob", "time-before tomorrow"],
            &["declared username bob", "allow nothing"],
            &["declared username b\nob"],
            &["declared uid bob"],
        ] {
            let cookie = cookie(&candid, &server, &challenge, bad);
            assert!(candid.verify(&cookie, now).unwrap().is_none(), "{bad:?}");
        }
        for bad in ["", "e30=", "W10=", "!!", "W3t9XQ=="] {
            assert!(candid.verify(bad, now).unwrap().is_none(), "{bad}");
        }
    }

    #[test]
    fn domains_are_a_list() {
        let server = KeyPair::random();
        let candid = Candid::new("https://id", server.public(), 60, "d1, d2");
        let now = Utc::now();
        let challenge = candid.challenge(now).unwrap();
        let check = |user: &str| {
            let name = format!("declared username {user}");
            candid.verify(&cookie(&candid, &server, &challenge, &[&name]), now).map(|found| found.is_some())
        };
        assert!(check("bob@d2").unwrap());
        for other in ["bob", "bob@d3", "bob@d1@d3"] {
            assert!(check(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_name_that_the_client_adds_itself_is_none() {
        let server = KeyPair::random();
        let candid = Candid::new("https://id", server.public(), 60, "");
        let now = Utc::now();
        let challenge = candid.challenge(now).unwrap();
        let mut root = Macaroon::from_json(&challenge.info.as_ref().unwrap().macaroon).unwrap();
        root.require("declared username eve");
        let info = ChallengeInfo { macaroon: root.to_json(), ..ChallengeInfo::default() };
        let forged = Challenge { info: Some(info), ..Challenge::default() };
        for conditions in [&["declared username bob"][..], &[]] {
            let cookie = cookie(&candid, &server, &forged, conditions);
            assert!(candid.verify(&cookie, now).unwrap().is_none(), "{conditions:?}");
        }
    }
}
