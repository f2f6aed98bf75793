//! `metadata.yaml`: what an image says about itself (manual 3.3.3, "Content").

use std::collections::BTreeMap;

use lxd_api::image::{ImageMetadata, ImageMetadataTemplate};
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use crate::error::ImageError;

/// Largest `metadata.yaml` that is read, in bytes.
pub const METADATA_LIMIT: u64 = 1 << 20;

/// A parsed `metadata.yaml`. Architecture names are checked by the caller, who knows the table.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Metadata {
    /// Architecture name.
    #[serde(deserialize_with = "text")]
    pub architecture: String,
    /// Seconds since 1970.
    pub creation_date: i64,
    /// Seconds since 1970; 0: never.
    pub expiry_date: i64,
    /// Default properties.
    #[serde(deserialize_with = "texts")]
    pub properties: BTreeMap<String, String>,
    /// Templates by the path of the file that they make.
    #[serde(deserialize_with = "null_is_default")]
    pub templates: BTreeMap<String, TemplateEntry>,
}

/// One template of an image.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct TemplateEntry {
    /// When it is rendered: `create`, `copy`, `rename`, `start`.
    #[serde(deserialize_with = "null_is_default")]
    pub when: Vec<String>,
    /// Only when the file is missing.
    pub create_only: bool,
    /// Name of the template below `templates/`.
    #[serde(deserialize_with = "text")]
    pub template: String,
    /// Values for the template.
    #[serde(deserialize_with = "texts")]
    pub properties: BTreeMap<String, String>,
}

/// Parses YAML from outside, with limits.
///
/// # Errors
/// [`ImageError::BadMetadata`]; too large input is [`ImageError::Limit`].
pub fn parse_yaml<T: serde::de::DeserializeOwned>(yaml: &[u8]) -> Result<T, ImageError> {
    if yaml.len() as u64 > METADATA_LIMIT {
        return Err(ImageError::Limit("size of metadata.yaml"));
    }
    let text = std::str::from_utf8(yaml).map_err(|error| ImageError::BadMetadata(error.to_string()))?;
    serde_saphyr::from_str_with_options(text, options())
        .map_err(|error| ImageError::BadMetadata(first_line(&error.to_string())))
}

impl Metadata {
    /// Parses the file.
    ///
    /// # Errors
    /// [`ImageError::BadMetadata`]; too large input is [`ImageError::Limit`].
    pub fn parse(yaml: &[u8]) -> Result<Self, ImageError> {
        parse_yaml(yaml)
    }

    /// The struct of the API (`GET …/metadata`).
    pub fn to_api(&self) -> ImageMetadata {
        ImageMetadata {
            architecture: self.architecture.clone(),
            creation_date: self.creation_date,
            expiry_date: self.expiry_date,
            properties: self.properties.clone(),
            templates: self.templates.iter().map(|(path, entry)| (path.clone(), entry.to_api())).collect(),
        }
    }
}

impl TemplateEntry {
    fn to_api(&self) -> ImageMetadataTemplate {
        ImageMetadataTemplate {
            create_only: self.create_only,
            properties: self.properties.clone(),
            template: self.template.clone(),
            when: self.when.clone(),
        }
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// A value of a property: any scalar as it is written; null is empty.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Scalar;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }

            fn visit_none<E>(self) -> Result<Scalar, E> {
                Ok(Scalar(String::new()))
            }

            fn visit_unit<E>(self) -> Result<Scalar, E> {
                Ok(Scalar(String::new()))
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar, D::Error> {
                String::deserialize(deserializer).map(Scalar)
            }
        }
        deserializer.deserialize_option(Reading)
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Scalar::deserialize(deserializer).map(|scalar| scalar.0)
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let read = Option::<BTreeMap<String, Scalar>>::deserialize(deserializer)?;
    Ok(read.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect())
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// Limits while parsing: our files are small and flat.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 200_000,
            max_aliases: 100,
            max_anchors: 100,
            max_depth: 16,
            max_documents: 1,
            max_nodes: 100_000,
            max_total_scalar_bytes: 4 << 20,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_manuals_example_is_read() {
        let yaml = "architecture: x86_64\ncreation_date: 1424284563\nproperties:\n  description: Ubuntu\n  \
                    os: Ubuntu\n  serial: 0755\n  on: yes\n  n: null\ntemplates:\n  /etc/hosts:\n    when:\n      - create\n    \
                    template: hosts.tpl\n    properties:\n      foo: bar\n  /etc/x:\n    create_only: true\n    \
                    template: x.tpl\n    properties: {}\nunknown: [1, 2]\n";
        let metadata = Metadata::parse(yaml.as_bytes()).unwrap();
        assert_eq!(metadata.architecture, "x86_64");
        assert_eq!(metadata.creation_date, 1_424_284_563);
        assert_eq!(metadata.properties["serial"], "0755");
        assert_eq!(metadata.properties["on"], "yes");
        assert_eq!(metadata.properties["n"], "");
        assert_eq!(metadata.templates["/etc/hosts"].when, ["create"]);
        assert_eq!(metadata.templates["/etc/hosts"].properties["foo"], "bar");
        assert!(metadata.templates["/etc/x"].create_only);
    }

    #[test]
    fn nulls_and_wrong_types_are_no_panic() {
        for yaml in
            ["", "null", "[]", "foo: [", "properties: null\ntemplates: null", "properties: 1", "a: &a [*a]"]
        {
            let _ = Metadata::parse(yaml.as_bytes());
        }
        assert!(Metadata::parse(b"properties: {a: [1]}").is_err());
        assert!(Metadata::parse(b"creation_date: soon").is_err());
        assert!(Metadata::parse(b"templates: {/a: {when: create}}").is_err());
        assert!(Metadata::parse(&vec![b'a'; 2 << 20]).is_err());
    }

    #[test]
    fn bombs_are_refused_quickly() {
        let mut yaml = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            let items = vec![before; 10].join(",");
            yaml.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        yaml.push_str("properties: {a: *a11}\n");
        let start = std::time::Instant::now();
        assert!(Metadata::parse(yaml.as_bytes()).is_err());
        assert!(start.elapsed().as_secs() < 2);
        let deep = format!("properties: {}", "[".repeat(100_000));
        assert!(Metadata::parse(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_metadata_panics(any: Vec<u8>, near in "((architecture|creation_date|properties|templates|  /a|  when|  - x):? ?[-a-z0-9&*!|>{}\\[\\]'\",]{0,6}\n){0,6}") {
            let _ = Metadata::parse(&any);
            let _ = Metadata::parse(near.as_bytes());
        }

        #[test]
        fn properties_are_read_as_written(properties in proptest::collection::btree_map("[a-z]{1,8}", "[^\\PC\\u{feff}]{0,20}", 0..5)) {
            let metadata = ImageMetadata { architecture: "x86_64".to_owned(), properties, ..ImageMetadata::default() };
            let read = Metadata::parse(lxd_api::yaml::text(&metadata).unwrap().as_bytes()).unwrap();
            prop_assert_eq!(read.properties, metadata.properties);
        }
    }
}
