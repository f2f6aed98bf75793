//! Tokens with which a client becomes trusted: clients send the whole of it in place of a password.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lxd_api::certificate::CertificateAddToken;

/// The secret in what a client sent: a token is base64 of JSON, anything else is taken as it is.
pub fn token_secret(sent: &str) -> String {
    let json = STANDARD.decode(sent.trim()).unwrap_or_default();
    match serde_json::from_slice::<CertificateAddToken>(&json) {
        Ok(token) if !token.secret.is_empty() => token.secret,
        _ => sent.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_and_other_words() {
        let json = r#"{"client_name":"a","fingerprint":"f","addresses":["[::1]:8443"],"secret":"s3"}"#;
        assert_eq!(token_secret(&STANDARD.encode(json)), "s3");
        for other in ["sekret", "", "e30=", "aGVsbG8="] {
            assert_eq!(token_secret(other), other);
        }
    }

    proptest! {
        #[test]
        fn any_word_is_taken(any: String, inside: Vec<u8>, secret in "[a-z0-9]{1,20}") {
            let _ = (token_secret(&any), token_secret(&STANDARD.encode(inside)));
            prop_assert_eq!(token_secret(&STANDARD.encode(format!("{{\"secret\":\"{secret}\"}}"))), secret);
        }
    }
}
