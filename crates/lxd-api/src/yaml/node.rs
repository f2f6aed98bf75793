//! Values on their way to YAML: a serde serializer that keeps the order of struct members and knows which
//! texts are times.

use serde::ser::{self, Serialize};
use std::fmt;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Nothing.
    Null,
    /// A number, a truth value or a time: written as it is.
    Plain(String),
    /// A text, quoted as needed.
    Text(String),
    /// A list.
    Seq(Vec<Node>),
    /// A map in its order.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Any serializable value.
    ///
    /// # Errors
    /// A map's key is no text.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, NodeError> {
        value.serialize(Maker)
    }
}

/// Why a value cannot become YAML.
#[derive(Debug)]
pub struct NodeError(String);

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NodeError {}

impl ser::Error for NodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

struct Maker;

macro_rules! plain {
    ($($name:ident: $type:ty),*) => {
        $(fn $name(self, v: $type) -> Result<Node, NodeError> {
            Ok(Node::Plain(v.to_string()))
        })*
    };
}

impl ser::Serializer for Maker {
    type Ok = Node;
    type Error = NodeError;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Members;
    type SerializeStruct = Members;
    type SerializeStructVariant = Members;

    plain!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32,
        serialize_f64: f64
    );

    fn serialize_char(self, v: char) -> Result<Node, NodeError> {
        Ok(Node::Text(v.to_string()))
    }

    fn serialize_str(self, v: &str) -> Result<Node, NodeError> {
        Ok(Node::Text(v.to_owned()))
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<Node, NodeError> {
        Ok(Node::Text(String::from_utf8_lossy(v).into_owned()))
    }

    fn serialize_none(self) -> Result<Node, NodeError> {
        Ok(Node::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Node, NodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Node, NodeError> {
        Ok(Node::Null)
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<Node, NodeError> {
        if name == crate::EMPTY_LIST {
            return Ok(Node::Seq(Vec::new()));
        }
        if name == crate::EMPTY_MAP {
            return Ok(Node::Map(Vec::new()));
        }
        Ok(Node::Null)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Node, NodeError> {
        Ok(Node::Text(variant.to_owned()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Node, NodeError> {
        match value.serialize(self)? {
            Node::Text(text) if name == crate::Timestamp::NAME => Ok(Node::Plain(text)),
            other => Ok(other),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Node, NodeError> {
        Ok(Node::Map(vec![(variant.to_owned(), value.serialize(self)?)]))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items, NodeError> {
        Ok(Items(Vec::new()))
    }

    fn serialize_tuple(self, _: usize) -> Result<Items, NodeError> {
        Ok(Items(Vec::new()))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items, NodeError> {
        Ok(Items(Vec::new()))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Items, NodeError> {
        Ok(Items(Vec::new()))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Members, NodeError> {
        Ok(Members { items: Vec::new(), key: String::new(), sorted: true })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Members, NodeError> {
        Ok(Members { items: Vec::new(), key: String::new(), sorted: false })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Members, NodeError> {
        self.serialize_struct("", 0)
    }
}

/// A list being made.
struct Items(Vec<Node>);

macro_rules! items {
    ($($trait:ident $method:ident),*) => {
        $(impl ser::$trait for Items {
            type Ok = Node;
            type Error = NodeError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NodeError> {
                self.0.push(value.serialize(Maker)?);
                Ok(())
            }

            fn end(self) -> Result<Node, NodeError> {
                Ok(Node::Seq(self.0))
            }
        })*
    };
}

items!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

/// A map or struct being made.
struct Members {
    items: Vec<(String, Node)>,
    key: String,
    sorted: bool,
}

impl Members {
    fn finish(mut self) -> Node {
        if self.sorted {
            self.items.sort_by(|(a, _), (b, _)| super::natural::compare(a, b));
        }
        Node::Map(self.items)
    }
}

impl ser::SerializeMap for Members {
    type Ok = Node;
    type Error = NodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NodeError> {
        match key.serialize(Maker)? {
            Node::Text(text) | Node::Plain(text) => self.key = text,
            _ => return Err(NodeError("map keys must be texts".into())),
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NodeError> {
        let key = std::mem::take(&mut self.key);
        self.items.push((key, value.serialize(Maker)?));
        Ok(())
    }

    fn end(self) -> Result<Node, NodeError> {
        Ok(self.finish())
    }
}

macro_rules! members {
    ($($trait:ident),*) => {
        $(impl ser::$trait for Members {
            type Ok = Node;
            type Error = NodeError;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), NodeError> {
                self.items.push((key.to_owned(), value.serialize(Maker)?));
                Ok(())
            }

            fn end(self) -> Result<Node, NodeError> {
                Ok(self.finish())
            }
        })*
    };
}

members!(SerializeStruct, SerializeStructVariant);
