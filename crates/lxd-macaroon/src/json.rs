//! Macaroons as JSON: format v2 of libmacaroons, the bakery's envelope around it, and the answers that ask for one.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Caveat, Macaroon, MacaroonError};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);

/// Base64 of either alphabet, padded or not.
///
/// # Errors
/// It is none.
pub fn from_base64(text: &str) -> Result<Vec<u8>, MacaroonError> {
    let engine = if text.contains(['-', '_']) { URL_SAFE } else { PLAIN };
    engine.decode(text.trim()).map_err(|_| MacaroonError::Malformed("not base64"))
}

/// Base64 for URLs and JSON, without padding.
pub fn to_base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A condition in format v2: each field as text, or as base64 in a field with `64` at its end.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct WireCaveat {
    #[serde(skip_serializing_if = "Option::is_none")]
    i: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    i64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v64: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    l: String,
}

/// A macaroon in format v2.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct WireMacaroon {
    c: Vec<WireCaveat>,
    #[serde(skip_serializing_if = "String::is_empty")]
    l: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    i: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    i64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s64: Option<String>,
}

fn field(text: Option<String>, base64: Option<String>) -> Result<Vec<u8>, MacaroonError> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(MacaroonError::Malformed("a field stands there twice")),
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(text)) => from_base64(&text),
        (None, None) => Ok(Vec::new()),
    }
}

impl TryFrom<WireMacaroon> for Macaroon {
    type Error = MacaroonError;

    fn try_from(wire: WireMacaroon) -> Result<Self, MacaroonError> {
        let signature = field(wire.s, wire.s64)?;
        let signature =
            signature.try_into().map_err(|_| MacaroonError::Malformed("a signature has not 32 bytes"))?;
        let caveat = |one: WireCaveat| {
            Ok(Caveat { id: field(one.i, one.i64)?, verification: field(one.v, one.v64)?, location: one.l })
        };
        let caveats = wire.c.into_iter().map(caveat).collect::<Result<_, _>>()?;
        Ok(Self { location: wire.l, id: field(wire.i, wire.i64)?, caveats, signature })
    }
}

impl From<&Macaroon> for WireMacaroon {
    fn from(one: &Macaroon) -> Self {
        let caveat = |one: &Caveat| {
            let ours = one.verification.is_empty().then(|| String::from_utf8(one.id.clone()).ok()).flatten();
            WireCaveat {
                i64: ours.is_none().then(|| to_base64(&one.id)),
                i: ours,
                v: None,
                v64: (!one.verification.is_empty()).then(|| to_base64(&one.verification)),
                l: one.location.clone(),
            }
        };
        Self {
            c: one.caveats.iter().map(caveat).collect(),
            l: one.location.clone(),
            i: None,
            i64: Some(to_base64(&one.id)),
            s: None,
            s64: Some(to_base64(&one.signature)),
        }
    }
}

/// A macaroon as it travels: plain, or in the bakery's envelope with encrypted conditions beside it.
#[derive(Clone, Debug)]
pub struct Wire {
    /// The macaroon.
    pub macaroon: Macaroon,
    /// Encrypted conditions whose macaroon holds only a short name of them.
    conditions: serde_json::Map<String, Value>,
}

impl Wire {
    /// Reads either form.
    ///
    /// # Errors
    /// It is malformed.
    pub fn parse(value: &Value) -> Result<Self, MacaroonError> {
        let bad = |_| MacaroonError::Malformed("no macaroon in format v2");
        let inner = value.get("m").filter(|inner| inner.is_object());
        let wire: WireMacaroon = WireMacaroon::deserialize(inner.unwrap_or(value)).map_err(bad)?;
        let conditions = value.get("cdata").and_then(Value::as_object).cloned().unwrap_or_default();
        Ok(Self { macaroon: wire.try_into()?, conditions })
    }

    /// The encrypted condition of a caveat: beside the macaroon, or its name itself.
    ///
    /// # Errors
    /// It is malformed.
    pub fn condition(&self, caveat: &Caveat) -> Result<Vec<u8>, MacaroonError> {
        match self.conditions.get(&to_base64(&caveat.id)).and_then(Value::as_str) {
            Some(text) => from_base64(text),
            None => Ok(caveat.id.clone()),
        }
    }
}

impl Macaroon {
    /// As JSON, format v2.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(WireMacaroon::from(self)).unwrap_or_default()
    }

    /// In the bakery's envelope.
    pub fn to_envelope(&self) -> Value {
        serde_json::json!({"m": self.to_json(), "v": 3, "ns": "std:"})
    }

    /// Reads format v2, with or without the envelope.
    ///
    /// # Errors
    /// It is malformed.
    pub fn from_json(value: &Value) -> Result<Self, MacaroonError> {
        Ok(Wire::parse(value)?.macaroon)
    }
}

/// The answer of a server that wants a discharged macaroon (status 401), or of an identity server that wants its
/// user to log in.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Challenge {
    /// [`DISCHARGE_REQUIRED`](crate::DISCHARGE_REQUIRED) or [`INTERACTION_REQUIRED`](crate::INTERACTION_REQUIRED).
    pub code: String,
    /// For people.
    pub message: String,
    /// What to do.
    pub info: Option<ChallengeInfo>,
}

/// What a [`Challenge`] asks for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ChallengeInfo {
    /// The macaroon to get answers for.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub macaroon: Value,
    /// For which paths the cookie is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub macaroon_path: String,
    /// The cookie is named `macaroon-` and this.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cookie_name_suffix: String,
    /// Ways to log in, by their names.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub interaction_methods: Value,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_are_read() {
        let mut one = Macaroon::new(b"k", vec![0xff, 1], "l");
        one.require("a b");
        one.require_answer(b"o", vec![1, 2], "there").unwrap();
        assert_eq!(Macaroon::from_json(&one.to_json()).unwrap(), one);
        let mut envelope = one.to_envelope();
        envelope["cdata"] = serde_json::json!({"AQI": "BwgJ"});
        let wire = Wire::parse(&envelope).unwrap();
        assert_eq!(wire.macaroon, one);
        assert_eq!(wire.condition(&one.caveats[1]).unwrap(), [7, 8, 9]);
        assert_eq!(wire.condition(&one.caveats[0]).unwrap(), b"a b");
        for bad in ["{}", "[]", r#"{"s64":"AA"}"#, r#"{"s":"x","s64":"AA"}"#, r#"{"m":{"c":null}}"#] {
            assert!(Macaroon::from_json(&serde_json::from_str(bad).unwrap()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text: String) {
            let _ = from_base64(&text);
            let _ = Macaroon::from_json(&serde_json::json!({"i": text, "s64": text, "c": [{"i64": text}]}));
        }
    }
}
