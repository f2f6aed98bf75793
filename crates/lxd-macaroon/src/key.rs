//! Keys of servers and agents: Curve25519, written in base64.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crypto_box::SecretKey;

use crate::MacaroonError;

/// The public key of a server or an agent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PublicKey(pub(crate) [u8; 32]);

impl PublicKey {
    /// From its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for PublicKey {
    type Err = MacaroonError;

    fn from_str(text: &str) -> Result<Self, MacaroonError> {
        decode(text).map(Self)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

/// A private key with its public one.
#[derive(Clone)]
pub struct KeyPair(pub(crate) SecretKey);

impl KeyPair {
    /// A fresh one.
    pub fn random() -> Self {
        Self(SecretKey::from_bytes(rand::random()))
    }

    /// From the private key in base64.
    ///
    /// # Errors
    /// It has not 32 bytes, or is no base64.
    pub fn from_private(text: &str) -> Result<Self, MacaroonError> {
        decode(text).map(|bytes| Self(SecretKey::from_bytes(bytes)))
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.public_key().as_bytes())
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.public())
    }
}

fn decode(text: &str) -> Result<[u8; 32], MacaroonError> {
    let bytes = STANDARD.decode(text.trim()).map_err(|_| MacaroonError::Key)?;
    bytes.try_into().map_err(|_| MacaroonError::Key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_gives_the_public_one() {
        // The pair of a published test of Curve25519: the bytes 1 to 32.
        let private = STANDARD.encode((1..=32).collect::<Vec<u8>>());
        let pair = KeyPair::from_private(&private).unwrap();
        assert_eq!(pair.public().to_string(), "B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHw=");
        assert!(KeyPair::from_private("zz").is_err() && "".parse::<PublicKey>().is_err());
    }
}
