//! Conditions that another server must answer for, encrypted for its key (bakery protocol, versions 2 and 3):
//! version, four bytes of its public key, our public key, nonce, box; in the box the version again, the root key of the
//! answer (with its length), in version 3 a name space (with its length), and the condition.

use crypto_box::SalsaBox;
use crypto_box::aead::Aead;

use crate::{KeyPair, MacaroonError, PublicKey};

/// Length of a nonce.
const NONCE: usize = 24;
/// What stands before the box.
const HEAD: usize = 1 + 4 + 32 + NONCE;
/// Where the conditions of version 3 come from: the standard ones have no prefix.
const NAMESPACE: &[u8] = b"std:";

/// What is in an encrypted condition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Secret {
    /// The answer, a macaroon too, is made with this key.
    pub root_key: Vec<u8>,
    /// What is asked.
    pub condition: String,
}

/// Encrypts a condition for a server, as version 3.
///
/// # Errors
/// The box cannot be made.
pub fn seal(own: &KeyPair, server: PublicKey, secret: &Secret) -> Result<Vec<u8>, MacaroonError> {
    let mut inner = vec![3];
    for part in [&secret.root_key[..], NAMESPACE] {
        put_length(&mut inner, part.len());
        inner.extend_from_slice(part);
    }
    inner.extend_from_slice(secret.condition.as_bytes());
    let nonce: [u8; NONCE] = rand::random();
    let boxed = salsa(own, server).encrypt(&nonce.into(), &inner[..]);
    let boxed = boxed.map_err(|_| MacaroonError::Malformed("the box cannot be made"))?;
    let mut sealed = vec![3];
    sealed.extend_from_slice(&server.0[..4]);
    sealed.extend_from_slice(&own.public().0);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&boxed);
    Ok(sealed)
}

/// Opens a condition that somebody encrypted for us.
///
/// # Errors
/// It is for another key, or malformed.
pub fn unseal(own: &KeyPair, sealed: &[u8]) -> Result<Secret, MacaroonError> {
    let malformed = MacaroonError::Malformed("an encrypted condition is too short");
    let (head, boxed) = sealed.split_at_checked(HEAD).ok_or(malformed.clone())?;
    let version = head[0];
    if !matches!(version, 2 | 3) || head[1..5] != own.public().0[..4] {
        return Err(MacaroonError::NotForUs);
    }
    let sender: [u8; 32] = head[5..37].try_into().map_err(|_| malformed.clone())?;
    let nonce: [u8; NONCE] = head[37..].try_into().map_err(|_| malformed.clone())?;
    let inner = salsa(own, PublicKey(sender)).decrypt(&nonce.into(), boxed);
    let inner = inner.map_err(|_| MacaroonError::NotForUs)?;
    let rest = inner.get(1..).ok_or(malformed.clone())?;
    let (root_key, mut rest) = take(rest).ok_or(malformed.clone())?;
    if version == 3 {
        (_, rest) = take(rest).ok_or(malformed.clone())?;
    }
    let condition = std::str::from_utf8(rest).map_err(|_| malformed)?.to_owned();
    Ok(Secret { root_key: root_key.to_vec(), condition })
}

fn salsa(own: &KeyPair, other: PublicKey) -> SalsaBox {
    SalsaBox::new(&crypto_box::PublicKey::from(other.0), &own.0)
}

/// A length as Go's `binary.Uvarint` reads it.
pub(crate) fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length > 127 {
        out.push((length & 127) as u8 | 128);
        length >>= 7;
    }
    out.push(length as u8);
}

/// Bytes with their length before them, and what follows.
fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (at, byte) in bytes.iter().enumerate().take(4) {
        length |= usize::from(byte & 127) << (7 * at);
        if byte & 128 == 0 {
            return bytes[at + 1..].split_at_checked(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_server_reads_it() {
        let (own, server, other) = (KeyPair::random(), KeyPair::random(), KeyPair::random());
        let secret = Secret { root_key: vec![7; 200], condition: "is-authenticated-user".into() };
        let sealed = seal(&own, server.public(), &secret).unwrap();
        assert_eq!(unseal(&server, &sealed).unwrap(), secret);
        assert_eq!(unseal(&other, &sealed), Err(MacaroonError::NotForUs));
        let mut changed = sealed.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(unseal(&server, &changed), Err(MacaroonError::NotForUs));
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(bytes: Vec<u8>) {
            let own = KeyPair::random();
            let _ = unseal(&own, &bytes);
            let near = [&[3][..], &own.public().0[..4], &bytes].concat();
            let _ = unseal(&own, &near);
            let _ = take(&bytes);
        }
    }
}
