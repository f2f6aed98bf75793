//! The chain of signatures: each condition is signed with the signature before it, so that anybody may add one and
//! nobody may take one away.

use crypto_secretbox::aead::Aead;
use crypto_secretbox::{KeyInit, XSalsa20Poly1305};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::MacaroonError;

/// Length of the nonce before an encrypted root key.
const NONCE: usize = 24;
/// How deep discharges may have discharges of their own.
const DEEPEST: usize = 5;
/// Conditions that are looked at in one set of macaroons.
const MOST: usize = 100;

/// A condition.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Caveat {
    /// The condition; what another server must answer for is encrypted.
    pub id: Vec<u8>,
    /// The root key of the answer, encrypted with the signature; empty for conditions that are ours.
    pub verification: Vec<u8>,
    /// Where the other server is.
    pub location: String,
}

/// A token with conditions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Macaroon {
    /// A hint where it is valid.
    pub location: String,
    /// What the issuer finds its root key by.
    pub id: Vec<u8>,
    /// The conditions, in the order of the signatures.
    pub caveats: Vec<Caveat>,
    /// The last signature.
    pub signature: [u8; 32],
}

/// The conditions of macaroons whose signatures are right. Whether they hold is for the reader to say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Verified {
    /// What anybody may have added to the issuer's macaroon, and what the issuer itself asked for.
    pub own: Vec<String>,
    /// The same of the answers of other servers.
    pub discharges: Vec<String>,
}

impl Macaroon {
    /// A fresh one without conditions.
    pub fn new(root_key: &[u8], id: Vec<u8>, location: &str) -> Self {
        let signature = keyed(&derived(root_key), &[&id]);
        Self { location: location.to_owned(), id, caveats: Vec::new(), signature }
    }

    /// Adds a condition that the verifier checks itself.
    pub fn require(&mut self, condition: &str) {
        let id = condition.as_bytes().to_vec();
        self.signature = keyed(&self.signature, &[&id]);
        self.caveats.push(Caveat { id, ..Caveat::default() });
    }

    /// Adds a condition that the server at `location` answers for: `id` tells it what is asked, and the answer is made
    /// with `root_key`.
    ///
    /// # Errors
    /// The root key cannot be encrypted.
    pub fn require_answer(
        &mut self,
        root_key: &[u8],
        id: Vec<u8>,
        location: &str,
    ) -> Result<(), MacaroonError> {
        let nonce: [u8; NONCE] = rand::random();
        let cipher = XSalsa20Poly1305::new(&self.signature.into());
        let boxed = cipher.encrypt(&nonce.into(), &derived(root_key)[..]);
        let boxed = boxed.map_err(|_| MacaroonError::Malformed("a root key cannot be encrypted"))?;
        let verification = [&nonce[..], &boxed].concat();
        self.signature = both(&self.signature, &verification, &id);
        self.caveats.push(Caveat { id, verification, location: location.to_owned() });
        Ok(())
    }

    /// Ties an answer to the macaroon that it was asked for: it is good for no other.
    pub fn bind(&mut self, primary: &[u8; 32]) {
        self.signature = bound(primary, &self.signature);
    }

    /// Checks the signatures of this macaroon and of the answers to its conditions.
    ///
    /// # Errors
    /// A signature is wrong, an answer is missing, superfluous, or used twice.
    pub fn verify(&self, root_key: &[u8], discharges: &[Self]) -> Result<Verified, MacaroonError> {
        let mut walk = Walk {
            primary: &self.signature,
            discharges,
            used: vec![false; discharges.len()],
            left: MOST,
            found: Verified::default(),
        };
        walk.visit(self, &derived(root_key), 0)?;
        if walk.used.contains(&false) {
            return Err(MacaroonError::Malformed("a discharge belongs to no condition"));
        }
        Ok(walk.found)
    }
}

/// A walk through macaroons that belong together.
struct Walk<'a> {
    primary: &'a [u8; 32],
    discharges: &'a [Macaroon],
    used: Vec<bool>,
    left: usize,
    found: Verified,
}

impl Walk<'_> {
    fn visit(&mut self, one: &Macaroon, key: &[u8], depth: usize) -> Result<(), MacaroonError> {
        if depth > DEEPEST {
            return Err(MacaroonError::Malformed("discharges are nested too deeply"));
        }
        let mut signature = keyed(key, &[&one.id]);
        for caveat in &one.caveats {
            self.left = self.left.checked_sub(1).ok_or(MacaroonError::Malformed("too many conditions"))?;
            if caveat.verification.is_empty() {
                let condition = String::from_utf8_lossy(&caveat.id).into_owned();
                let list = if depth == 0 { &mut self.found.own } else { &mut self.found.discharges };
                list.push(condition);
                signature = keyed(&signature, &[&caveat.id]);
            } else {
                self.answer(caveat, &signature, depth)?;
                signature = both(&signature, &caveat.verification, &caveat.id);
            }
        }
        let expected = if depth == 0 { signature } else { bound(self.primary, &signature) };
        if bool::from(expected.ct_eq(&one.signature)) { Ok(()) } else { Err(MacaroonError::Signature) }
    }

    /// The answer to a condition of another server.
    fn answer(&mut self, caveat: &Caveat, signature: &[u8; 32], depth: usize) -> Result<(), MacaroonError> {
        let (nonce, boxed) = caveat.verification.split_at_checked(NONCE).ok_or(MacaroonError::Signature)?;
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| MacaroonError::Signature)?;
        let cipher = XSalsa20Poly1305::new(&(*signature).into());
        let key = cipher.decrypt(&nonce.into(), boxed).map_err(|_| MacaroonError::Signature)?;
        let free = |at: &usize| !self.used[*at] && self.discharges[*at].id == caveat.id;
        let at = (0..self.discharges.len()).find(free).ok_or(MacaroonError::NotDischarged)?;
        self.used[at] = true;
        let discharges = self.discharges;
        self.visit(&discharges[at], &key, depth + 1)
    }
}

fn keyed(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("a key may have any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// The key that the first signature is made with.
fn derived(root_key: &[u8]) -> [u8; 32] {
    keyed(b"macaroons-key-generator", &[root_key])
}

fn both(signature: &[u8; 32], verification: &[u8], id: &[u8]) -> [u8; 32] {
    keyed(signature, &[&keyed(signature, &[verification]), &keyed(signature, &[id])])
}

fn bound(primary: &[u8; 32], discharge: &[u8; 32]) -> [u8; 32] {
    let zero = [0; 32];
    keyed(&zero, &[&keyed(&zero, &[primary]), &keyed(&zero, &[discharge])])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A macaroon with one condition of another server, and its answer.
    fn pair() -> (Macaroon, Macaroon) {
        let mut root = Macaroon::new(b"root", b"id".to_vec(), "here");
        root.require("time-before x");
        root.require_answer(b"other", b"question".to_vec(), "there").unwrap();
        let mut answer = Macaroon::new(b"other", b"question".to_vec(), "there");
        answer.require("declared username bob");
        answer.bind(&root.signature);
        (root, answer)
    }

    #[test]
    fn a_published_signature() {
        // The first example of libmacaroons.
        let secret = b"this is our super secret key; only we should know it";
        let mut one = Macaroon::new(secret, b"we used our secret key".to_vec(), "http://mybank/");
        let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(one.signature), "e3d9e02908526c4c0039ae15114115d97fdd68bf2ba379b342aaf0f617d0552f");
        one.require("account = 3735928559");
        assert_eq!(hex(one.signature), "1efe4763f290dbce0c1d08477367e11f4eee456a64933cf662d79772dbb82128");
    }

    #[test]
    fn an_answered_macaroon_is_right() {
        let (root, answer) = pair();
        let verified = root.verify(b"root", &[answer]).unwrap();
        assert_eq!(verified.own, ["time-before x"]);
        assert_eq!(verified.discharges, ["declared username bob"]);
    }

    #[test]
    fn changes_are_seen() {
        let (root, answer) = pair();
        let fails = |root: &Macaroon, discharges: &[Macaroon]| root.verify(b"root", discharges).unwrap_err();
        assert_eq!(fails(&root, &[]), MacaroonError::NotDischarged);
        assert_eq!(root.verify(b"toor", std::slice::from_ref(&answer)), Err(MacaroonError::Signature));
        let mut shorter = root.clone();
        shorter.caveats.remove(0);
        assert_eq!(fails(&shorter, std::slice::from_ref(&answer)), MacaroonError::Signature);
        let mut other_name = answer.clone();
        other_name.caveats[0].id = b"declared username eve".to_vec();
        assert_eq!(fails(&root, &[other_name]), MacaroonError::Signature);
        assert!(matches!(fails(&root, &[answer.clone(), answer.clone()]), MacaroonError::Malformed(_)));
        // An answer that was asked for another macaroon.
        let (second, _) = pair();
        assert_eq!(fails(&second, &[answer]), MacaroonError::Signature);
    }

    #[test]
    fn anybody_may_add_conditions_and_they_stand_apart() {
        let (mut root, mut answer) = pair();
        root.require("declared username eve");
        // The owner of the unbound answer could bind it again; here only the right one fits.
        assert_eq!(root.verify(b"root", std::slice::from_ref(&answer)), Err(MacaroonError::Signature));
        answer = Macaroon::new(b"other", b"question".to_vec(), "there");
        answer.bind(&root.signature);
        let verified = root.verify(b"root", &[answer]).unwrap();
        assert!(verified.own.contains(&"declared username eve".to_owned()) && verified.discharges.is_empty());
    }

    /// A macaroon as its issuer made it.
    fn with(conditions: &[String]) -> Macaroon {
        let mut one = Macaroon::new(b"root", b"id".to_vec(), "here");
        conditions.iter().for_each(|condition| one.require(condition));
        one
    }

    proptest! {
        #[test]
        fn conditions_come_back_as_they_were_and_in_order(conditions in prop::collection::vec(".{0,20}", 0..20)) {
            let read = Macaroon::from_json(&with(&conditions).to_json()).unwrap();
            prop_assert_eq!(read.verify(b"root", &[]).unwrap().own, conditions);
            prop_assert!(read.verify(b"other", &[]).is_err());
        }

        #[test]
        fn nobody_takes_a_condition_away_or_changes_one(
            conditions in prop::collection::vec("[a-z]{1,8}", 1..8),
            at: prop::sample::Index,
            other in "[a-z]{1,8}",
        ) {
            let (whole, at) = (with(&conditions), at.index(conditions.len()));
            let mut shorter = whole.clone();
            shorter.caveats.remove(at);
            prop_assert!(shorter.verify(b"root", &[]).is_err());
            let mut changed = whole.clone();
            changed.caveats[at].id = other.clone().into_bytes();
            prop_assert_eq!(changed.verify(b"root", &[]).is_ok(), conditions[at] == other);
            let mut turned = whole;
            turned.caveats.reverse();
            let same = conditions.iter().eq(conditions.iter().rev());
            prop_assert_eq!(turned.verify(b"root", &[]).is_ok(), same);
        }

        #[test]
        fn who_adds_a_condition_only_narrows(
            before in prop::collection::vec("[a-z]{1,8}", 0..5),
            after in prop::collection::vec("[a-z]{1,8}", 0..5),
        ) {
            let mut one = with(&before);
            after.iter().for_each(|condition| one.require(condition));
            prop_assert_eq!(one.verify(b"root", &[]).unwrap().own, [before, after].concat());
        }

        #[test]
        fn any_macaroons_are_looked_at(
            ids in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
            boxes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..6),
            signature: [u8; 32],
        ) {
            let caveats = ids.iter().zip(&boxes).map(|(id, verification)| Caveat {
                id: id.clone(),
                verification: verification.clone(),
                location: String::new(),
            });
            let one = Macaroon { location: String::new(), id: ids[0].clone(), caveats: caveats.collect(), signature };
            let discharges = vec![one.clone(); 3];
            prop_assert!(one.verify(b"root", &discharges).is_err());
        }
    }
}
