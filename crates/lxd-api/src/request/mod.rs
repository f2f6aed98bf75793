//! Reading the JSON body of a request as the reference reads it: what comes after the first value is ignored,
//! `null` means "not given", names of members match in any case, and errors have the same words.

mod decode;
mod syntax;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// A body that cannot be read; the text is for the user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestError(pub String);

/// Parses the first value of a body.
///
/// # Errors
/// It is no JSON, or a member has another type than the struct.
pub fn from_request<T: DeserializeOwned>(text: &[u8]) -> Result<T, RequestError> {
    decode::decode(first_value(text)?)
}

/// The first value of a body, unchanged.
///
/// # Errors
/// It is no JSON.
pub fn first_value(text: &[u8]) -> Result<Value, RequestError> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    match values.next() {
        Some(Ok(value)) => Ok(value),
        None => Err(RequestError("EOF".to_owned())),
        Some(Err(error)) => {
            let text = syntax::error(text).unwrap_or_else(|| error.to_string());
            Err(RequestError(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::InstancesPost;
    use crate::profile::ProfilePut;
    use crate::server::ServerPut;
    use proptest::prelude::*;

    fn error<T: DeserializeOwned>(text: &str) -> String {
        match from_request::<T>(text.as_bytes()) {
            Ok(_) => "fine".to_owned(),
            Err(error) => error.0,
        }
    }

    #[test]
    fn good_bodies() {
        for text in ["{}", "null", r#"{"config": null}"#, r#"{"config":{}} xx"#, r#"{"nothing":[1]}"#] {
            assert_eq!(error::<ProfilePut>(text), "fine", "{text}");
        }
        let put: ProfilePut = from_request(br#"{"Description": "x", "devices": {"a": null}}"#).unwrap();
        assert_eq!(put.description, "x");
        assert!(put.devices.is_empty());
    }

    #[test]
    fn wrong_syntax() {
        for (text, expected) in [
            ("", "EOF"),
            ("  \n", "EOF"),
            ("{", "unexpected EOF"),
            (r#"{"a": [1, 2"#, "unexpected EOF"),
            ("xx", "invalid character 'x' looking for beginning of value"),
            ("{x", "invalid character 'x' looking for beginning of object key string"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{\"a\":\"\n\"}", "invalid character '\\n' in string literal"),
            (r#"{"a":"\x"}"#, "invalid character 'x' in string escape code"),
            (r#"{"a":"\u00g0"}"#, "invalid character 'g' in \\u hexadecimal character escape"),
            (r#"{"a":tru}"#, "invalid character '}' in literal true (expecting 'e')"),
            (r#"{"a":-x}"#, "invalid character 'x' in numeric literal"),
            (r#"{"a":1.x}"#, "invalid character 'x' after decimal point in numeric literal"),
            (r#"{"a":1ex}"#, "invalid character 'x' in exponent of numeric literal"),
            (r#"{"a":'b'}"#, "invalid character '\\'' looking for beginning of value"),
        ] {
            assert_eq!(error::<ProfilePut>(text), expected, "{text}");
        }
    }

    #[test]
    fn wrong_types() {
        assert_eq!(
            error::<ServerPut>(r#"{"config":3}"#),
            "json: cannot unmarshal number into Go struct field ServerPut.config of type map[string]interface {}"
        );
        assert_eq!(
            error::<ServerPut>("[]"),
            "json: cannot unmarshal array into Go value of type api.ServerPut"
        );
        assert_eq!(
            error::<ProfilePut>(r#"{"config":{"a":true}}"#),
            "json: cannot unmarshal bool into Go struct field ProfilePut.config of type string"
        );
        assert_eq!(
            error::<ProfilePut>(r#"{"devices":{"a":"b"}}"#),
            "json: cannot unmarshal string into Go struct field ProfilePut.devices of type map[string]string"
        );
        assert_eq!(
            error::<InstancesPost>(r#"{"name":"c1","source":{"type":1}}"#),
            "json: cannot unmarshal number into Go struct field InstanceSource.source.type of type string"
        );
    }

    proptest! {
        #[test]
        fn no_body_panics(any: Vec<u8>, near in "[\\[\\]{}:,\"a-z0-9.\\\\ -]{0,30}", shape in "\\{\"(config|devices|name|source)\": ?(null|1|\"x\"|\\[\\]|\\{\"a\":[0-9nul\"]{0,4}\\})\\}") {
            for body in [any.as_slice(), near.as_bytes(), shape.as_bytes()] {
                let _ = (from_request::<InstancesPost>(body), from_request::<ProfilePut>(body));
            }
        }
    }
}
