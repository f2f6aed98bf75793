//! Reading of JSON as the reference reads it: a `null` member means "not given".

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Parses a document; members that are `null` count as missing.
///
/// # Errors
/// The text is no JSON, or a member has another type than the struct.
pub fn from_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    from_value(serde_json::from_slice(text)?)
}

/// As [`from_json`], without a tree of values between when no member is `null` that must not be. For types that hold no
/// values of their own.
///
/// # Errors
/// As there.
pub fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text).or_else(|_| from_json(text.as_bytes()))
}

/// Reads `null` as an empty list or map.
///
/// # Errors
/// As the deserializer.
pub(crate) fn null_is_empty<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: Default + serde::Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Ok(<Option<T> as serde::Deserialize>::deserialize(from)?.unwrap_or_default())
}

/// As [`from_json`] for a document that has been parsed.
///
/// # Errors
/// A member has another type than the struct.
pub fn from_value<T: DeserializeOwned>(mut value: Value) -> Result<T, serde_json::Error> {
    drop_nulls(&mut value);
    serde_json::from_value(value)
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// For members that the reference leaves out when they are false.
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}

/// For members that the reference leaves out when they are zero.
pub(crate) fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Name under which serde sees an empty map that JSON writes as `null`; YAML writers make it `{}`.
pub const EMPTY_MAP: &str = "EmptyMap";

/// Name under which serde sees an empty list that JSON writes as `null`; YAML writers make it `[]`.
pub const EMPTY_LIST: &str = "EmptyList";

/// Writes an empty list as `null`.
///
/// # Errors
/// As the serializer.
pub(crate) fn null_when_empty<T: serde::Serialize, S: serde::Serializer>(
    list: &[T],
    to: S,
) -> Result<S::Ok, S::Error> {
    use serde::Serialize;
    if list.is_empty() { to.serialize_unit_struct(EMPTY_LIST) } else { list.serialize(to) }
}

/// Writes an empty map as `null` in JSON and as `{}` in YAML.
///
/// # Errors
/// As the serializer.
pub(crate) fn null_or_map<V: serde::Serialize, S: serde::Serializer>(
    map: &std::collections::BTreeMap<String, V>,
    to: S,
) -> Result<S::Ok, S::Error> {
    use serde::Serialize;
    if map.is_empty() { to.serialize_unit_struct(EMPTY_MAP) } else { map.serialize(to) }
}

/// Writes an empty map as `null`.
///
/// # Errors
/// As the serializer.
pub(crate) fn null_when_empty_map<V: serde::Serialize, S: serde::Serializer>(
    map: &std::collections::BTreeMap<String, V>,
    to: S,
) -> Result<S::Ok, S::Error> {
    use serde::Serialize;
    if map.is_empty() { to.serialize_none() } else { map.serialize(to) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::ProfilePut;

    #[test]
    fn null_is_not_given() {
        let put: ProfilePut =
            from_json(br#"{"config": null, "description": "x", "devices": {"a": null}}"#).unwrap();
        assert_eq!(put.description, "x");
        assert!(put.config.is_empty() && put.devices.is_empty());
    }

    #[test]
    fn wrong_type_is_refused() {
        assert!(from_json::<ProfilePut>(br#"{"config": 1}"#).is_err());
    }
}
