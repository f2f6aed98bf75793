//! Macaroons of strangers: cookies, challenges, encrypted conditions, and the walk through what belongs together.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lxd_auth::Candid;
use lxd_macaroon::{Challenge, KeyPair, Macaroon, Wire};
use serde_json::Value;

static KEY: LazyLock<KeyPair> = LazyLock::new(KeyPair::random);
static CANDID: LazyLock<Candid> = LazyLock::new(|| Candid::new("https://id", KEY.public(), 60, "a,b"));

fuzz_target!(|bytes: &[u8]| {
    let _ = lxd_macaroon::unseal(&KEY, bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = CANDID.verify(text, chrono::Utc::now());
        let _ = text.parse::<lxd_macaroon::PublicKey>();
    }
    // The same without the base64 around it.
    let _ = CANDID.verify(&lxd_macaroon::to_base64(bytes), chrono::Utc::now());
    let _ = serde_json::from_slice::<Challenge>(bytes);
    let Ok(values) = serde_json::from_slice::<Vec<Value>>(bytes) else { return };
    let all: Vec<Macaroon> = values.iter().filter_map(|value| Macaroon::from_json(value).ok()).collect();
    for wire in values.iter().filter_map(|value| Wire::parse(value).ok()) {
        for caveat in &wire.macaroon.caveats {
            let _ = wire.condition(caveat).map(|condition| lxd_macaroon::unseal(&KEY, &condition));
        }
        let _ = lxd_macaroon::to_binary(std::slice::from_ref(&wire.macaroon));
    }
    if let Some((first, rest)) = all.split_first() {
        assert!(first.verify(b"a key that nobody knows", rest).is_err());
        assert_eq!(Macaroon::from_json(&first.to_json()).as_ref(), Ok(first));
    }
});
