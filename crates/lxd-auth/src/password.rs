//! The trust password: a strong hash is stored, guesses are slow and limited (security.md D12).

use std::sync::Mutex;
use std::time::{Duration, Instant};

use argon2::password_hash::{PasswordHash, SaltString};
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use lxd_types::{Error, Result};

/// Wrong guesses, from all clients together, that are looked at per [`PERIOD`].
const GUESSES: u32 = 10;
/// The period of [`GUESSES`].
const PERIOD: Duration = Duration::from_secs(60);

/// The hash of a password, in the PHC format. Slow on purpose: call it where it may block.
///
/// # Errors
/// The hash cannot be made.
pub fn hash(password: &str) -> Result<String> {
    let failed = |error| Error::internal(format!("Failed to hash the password: {error}"));
    let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>()).map_err(failed)?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt).map_err(failed)?;
    Ok(hash.to_string())
}

/// Compares a guess with a stored hash. Slow on purpose.
pub fn verify(stored: &str, guess: &str) -> bool {
    PasswordHash::new(stored)
        .is_ok_and(|hash| Argon2::default().verify_password(guess.as_bytes(), &hash).is_ok())
}

/// Counts wrong guesses and refuses to look at more when there were too many.
#[derive(Default)]
pub struct Guard {
    /// Begin of the period and wrong guesses in it. Held for a comparison.
    state: Mutex<Option<(Instant, u32)>>,
}

impl Guard {
    /// May another guess be looked at?
    ///
    /// # Errors
    /// Forbidden: there were too many wrong ones in the last minute.
    pub fn check(&self, now: Instant) -> Result<()> {
        let state = self.state.lock().expect("no panic happens while the lock is held");
        match *state {
            Some((begin, wrong)) if now.duration_since(begin) < PERIOD && wrong >= GUESSES => {
                Err(crate::denied())
            }
            _ => Ok(()),
        }
    }

    /// Counts a wrong guess.
    pub fn wrong(&self, now: Instant) {
        let mut state = self.state.lock().expect("no panic happens while the lock is held");
        *state = match *state {
            Some((begin, wrong)) if now.duration_since(begin) < PERIOD => Some((begin, wrong + 1)),
            _ => Some((now, 1)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_fits() {
        let stored = hash("sekret").unwrap();
        assert!(stored.starts_with("$argon2id$") && stored != hash("sekret").unwrap());
        assert!(verify(&stored, "sekret") && !verify(&stored, "Sekret") && !verify("", "sekret"));
    }

    #[test]
    fn guessing_is_limited() {
        let (guard, now) = (Guard::default(), Instant::now());
        for _ in 0..GUESSES {
            guard.check(now).unwrap();
            guard.wrong(now);
        }
        assert!(guard.check(now).is_err());
        assert!(guard.check(now + PERIOD).is_ok());
    }
}
