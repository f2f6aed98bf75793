//! From a JSON value to a struct, strict about types: serde alone would take a struct's members from an array.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor,
};
use serde_json::Value;

use super::RequestError;

/// Turns a value into a struct.
///
/// # Errors
/// A member has the wrong type.
pub fn decode<T: DeserializeOwned>(value: Value) -> Result<T, RequestError> {
    T::deserialize(Node { value, place: Place::default() }).map_err(|error| RequestError(error.0))
}

/// Where a value stands: the innermost struct and the members that lead to it.
#[derive(Clone, Debug, Default)]
struct Place {
    owner: &'static str,
    path: String,
}

struct Node {
    value: Value,
    place: Place,
}

#[derive(Debug)]
struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl serde::de::Error for Failed {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

impl Node {
    fn mismatch(&self, wanted: &str) -> Failed {
        let found = match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let place = match self.place.path.as_str() {
            "" => "value".to_owned(),
            path => format!("struct field {}.{}", self.place.owner, path.trim_end_matches('*')),
        };
        Failed(format!("json: cannot unmarshal {found} into Go {place} of type {wanted}"))
    }

    /// The type that clients know a map by; it is not the same for all members.
    fn map_type(&self) -> &'static str {
        match (self.place.owner, self.place.path.rsplit('.').next().unwrap_or_default()) {
            ("ServerPut", "config") => "map[string]interface {}",
            (_, "devices") => "map[string]map[string]string",
            _ => "map[string]string",
        }
    }

    fn is_inside_map(&self) -> bool {
        self.place.path.ends_with('*')
    }
}

/// The members of an object, without those that are `null`.
fn given(members: serde_json::Map<String, Value>) -> impl Iterator<Item = (String, Value)> {
    members.into_iter().filter(|(_, value)| !value.is_null())
}

/// Calls the visitor for a number that fits, else complains.
macro_rules! numbers {
    ($($method:ident, $visit:ident, $read:ident, $wanted:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
            match self.value.$read() {
                Some(number) if self.value.is_number() => visitor.$visit(number),
                _ if self.value.is_null() => visitor.$visit(Default::default()),
                _ => Err(self.mismatch($wanted)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Node {
    type Error = Failed;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        self.value.into_deserializer().deserialize_any(visitor).map_err(Failed::custom)
    }

    numbers! {
        deserialize_i8, visit_i64, as_i64, "int8";
        deserialize_i16, visit_i64, as_i64, "int16";
        deserialize_i32, visit_i64, as_i64, "int";
        deserialize_i64, visit_i64, as_i64, "int";
        deserialize_u8, visit_u64, as_u64, "uint8";
        deserialize_u16, visit_u64, as_u64, "uint16";
        deserialize_u32, visit_u64, as_u64, "uint32";
        deserialize_u64, visit_u64, as_u64, "uint64";
        deserialize_f32, visit_f64, as_f64, "float32";
        deserialize_f64, visit_f64, as_f64, "float64";
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match self.value {
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Null => visitor.visit_bool(false),
            _ => Err(self.mismatch("bool")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match self.value {
            Value::String(text) => visitor.visit_string(text),
            Value::Null => visitor.visit_str(""),
            _ => Err(self.mismatch("string")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match self.value {
            Value::Array(items) => {
                let place = self.place;
                let nodes = items.into_iter().map(|value| Node { value, place: place.clone() });
                visitor.visit_seq(SeqDeserializer::new(nodes))
            }
            Value::Null => visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<Node>())),
            _ => Err(self.mismatch("[]string")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match self.value {
            Value::Object(members) => {
                // What stands in a map is named by the member that holds the map.
                let mut place = self.place;
                place.path = format!("{}*", place.path.trim_end_matches('*'));
                let nodes = given(members).map(|(name, value)| (name, Node { value, place: place.clone() }));
                visitor.visit_map(MapDeserializer::new(nodes))
            }
            Value::Null => visitor.visit_map(MapDeserializer::new(std::iter::empty::<(String, Node)>())),
            _ if self.is_inside_map() => Err(self.mismatch("map[string]string")),
            _ => Err(self.mismatch(self.map_type())),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failed> {
        match self.value {
            Value::Object(members) => {
                let members = given(members).collect::<Vec<_>>().into_iter();
                visitor.visit_map(Members {
                    owner: name,
                    fields,
                    before: self.place.path,
                    members,
                    next: None,
                })
            }
            Value::Null => visitor.visit_map(MapDeserializer::new(std::iter::empty::<(String, Node)>())),
            _ => Err(self.mismatch(&format!("api.{name}"))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failed> {
        let text = self.value.into_deserializer();
        text.deserialize_enum(name, variants, visitor)
            .map_err(|error: serde_json::Error| Failed::custom(error))
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, Failed> for Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The members of an object that becomes a struct. Names match in any case, as the reference reads them.
struct Members {
    owner: &'static str,
    fields: &'static [&'static str],
    before: String,
    members: std::vec::IntoIter<(String, Value)>,
    next: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Members {
    type Error = Failed;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failed> {
        let Some((name, value)) = self.members.next() else { return Ok(None) };
        let known = self.fields.iter().find(|field| **field == name);
        let known = known.or_else(|| self.fields.iter().find(|field| field.eq_ignore_ascii_case(&name)));
        let name = known.map_or(name, |field| (*field).to_owned());
        self.next = Some((name.clone(), value));
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Failed> {
        let Some((name, value)) = self.next.take() else { return Err(Failed::custom("value without a key")) };
        let before = self.before.trim_end_matches('*');
        let path = if before.is_empty() { name } else { format!("{before}.{name}") };
        seed.deserialize(Node { value, place: Place { owner: self.owner, path } })
    }
}
