//! `/1.0/instances/{name}/metadata` and `…/metadata/templates`: what an instance has from its image (extension
//! `container_edit_metadata`). The volume's content is the instance's: links in it are refused (flaws A9, A11).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::sync::Arc;

use lxd_api::image::{ImageMetadata, ImageMetadataTemplate};
use lxd_auth::Permit;
use lxd_image::{METADATA_LIMIT, Metadata};
use lxd_instance::templates::SOURCE_LIMIT;
use lxd_storage::VolumeRef;
use lxd_sys::Dir;
use lxd_types::names::{FileName, InstanceName};
use lxd_types::{Error, Kind, Result};

use super::{InstanceKey, load};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// The file in the volume.
const FILE: &str = "metadata.yaml";

/// The directory of templates in the volume.
const TEMPLATES: &str = "templates";

/// The metadata of an instance.
///
/// # Errors
/// "Instance not found", or the file is damaged.
pub async fn metadata(core: &SharedCore, permit: &Permit, name: &InstanceName) -> Result<ImageMetadata> {
    let metadata = present_metadata(core, permit, name).await?;
    tell(core, permit, &InstanceKey::new(permit.project(), name), "instance-metadata-retrieved", None);
    Ok(metadata)
}

/// [`metadata`] for a change of it: nobody is told.
///
/// # Errors
/// As there.
pub async fn present_metadata(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
) -> Result<ImageMetadata> {
    let key = InstanceKey::new(permit.project(), name);
    let text = in_volume(core, &key, |volume| volume.read_limited(FILE, METADATA_LIMIT)).await?;
    let text = match text {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ImageMetadata::default()),
        other => other.map_err(|error| failed("Failed to read metadata.yaml", error))?,
    };
    Ok(Metadata::parse(&text)?.to_api())
}

/// Replaces the metadata of an instance.
///
/// # Errors
/// "Instance not found", it is too large, or the volume cannot be written.
pub async fn set_metadata(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    metadata: ImageMetadata,
) -> Result<()> {
    let key = InstanceKey::new(permit.project(), name);
    let text = yaml(&metadata);
    // What we write must be readable again.
    Metadata::parse(text.as_bytes())?;
    let written =
        in_volume(core, &key, move |volume| volume.write_atomic(FILE, text.as_bytes(), 0o644)).await?;
    written.map_err(|error| failed("Failed to write metadata.yaml", error))?;
    tell(core, permit, &key, "instance-metadata-updated", None);
    Ok(())
}

/// The names of an instance's templates, sorted.
///
/// # Errors
/// "Instance not found".
pub async fn templates(core: &SharedCore, permit: &Permit, name: &InstanceName) -> Result<Vec<String>> {
    let key = InstanceKey::new(permit.project(), name);
    let entries = match in_volume(core, &key, |volume| volume.read_dir(TEMPLATES)).await? {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| failed("Failed to list the templates", error))?,
    };
    Ok(entries.into_iter().filter_map(|entry| entry.name.into_string().ok()).collect())
}

/// One template.
///
/// # Errors
/// "Instance not found", `Template "NAME" not found`.
pub async fn template(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    path: &str,
) -> Result<Vec<u8>> {
    let (key, file) = (InstanceKey::new(permit.project(), name), file_name(path)?);
    let read = in_volume(core, &key, move |volume| {
        volume.open_dir(TEMPLATES)?.read_limited(file.as_str(), SOURCE_LIMIT as u64)
    });
    let text = read.await?.map_err(|error| missing_or(path, "Failed to read the template", error))?;
    tell(core, permit, &key, "instance-metadata-template-retrieved", Some(path));
    Ok(text)
}

/// Makes or replaces a template.
///
/// # Errors
/// "Instance not found", or the volume cannot be written.
pub async fn set_template(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    path: &str,
    content: Vec<u8>,
) -> Result<()> {
    let (key, file) = (InstanceKey::new(permit.project(), name), file_name(path)?);
    let written = in_volume(core, &key, move |volume| {
        match volume.mkdir(TEMPLATES, 0o755) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        volume.open_dir(TEMPLATES)?.write_atomic(file.as_str(), &content, 0o644)
    });
    written.await?.map_err(|error| failed("Failed to write the template", error))?;
    tell(core, permit, &key, "instance-metadata-template-created", Some(path));
    Ok(())
}

/// Removes a template.
///
/// # Errors
/// "Instance not found", `Template "NAME" not found`.
pub async fn delete_template(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    path: &str,
) -> Result<()> {
    let (key, file) = (InstanceKey::new(permit.project(), name), file_name(path)?);
    let removed =
        in_volume(core, &key, move |volume| volume.open_dir(TEMPLATES)?.remove_file(file.as_str())).await?;
    removed.map_err(|error| missing_or(path, "Failed to remove the template", error))?;
    tell(core, permit, &key, "instance-metadata-template-deleted", Some(path));
    Ok(())
}

/// Runs file system work in the root volume of an instance.
async fn in_volume<T: Send + 'static>(
    core: &SharedCore,
    key: &InstanceKey,
    work: impl FnOnce(&Dir) -> io::Result<T> + Send + 'static,
) -> Result<io::Result<T>> {
    let wanted = key.clone();
    core.db.read(move |tx| load(tx, &wanted)).await?;
    let pool = super::pool_name(core, key).await?;
    let pool = pool.ok_or_else(|| Error::not_found("The instance's root volume is not recorded"))?;
    let volume = VolumeRef::container(&key.project, &key.name);
    let dir: Arc<Dir> = crate::storage_pools::open(core, &pool).await?.mount(&volume).await?.dir;
    let done = tokio::task::spawn_blocking(move || work(&dir)).await;
    done.map_err(|panic| Error::with_source(Kind::Internal, "Work in the volume panicked", panic))
}

fn file_name(path: &str) -> Result<FileName> {
    // The reference's status.
    path.parse().map_err(|_| Error::internal("Invalid template filename"))
}

fn missing_or(path: &str, text: &'static str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::not_found(format!("Template {path:?} not found")),
        _ => failed(text, error),
    }
}

fn failed(text: &'static str, error: io::Error) -> Error {
    Error::with_source(Kind::Internal, text, error)
}

fn tell(core: &SharedCore, permit: &Permit, key: &InstanceKey, action: &'static str, path: Option<&str>) {
    let url = match path {
        None => format!("{}/metadata", key.url()),
        Some(_) => format!("{}/metadata/templates", key.url()),
    };
    let mut event = Lifecycle::new(action, url).in_project(&key.project);
    if let Some(path) = path {
        event = event.with("path", path);
    }
    core.tell(permit.caller(), event);
}

/// The file's text: block style, every string quoted as in JSON, which is YAML too.
pub(crate) fn yaml(metadata: &ImageMetadata) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("architecture: {}", quoted(&metadata.architecture)));
    line(format!("creation_date: {}", metadata.creation_date));
    line(format!("expiry_date: {}", metadata.expiry_date));
    line(format!("properties: {}", map("  ", &metadata.properties)));
    if metadata.templates.is_empty() {
        line("templates: {}".to_owned());
    } else {
        line("templates:".to_owned());
    }
    for (path, entry) in &metadata.templates {
        line(template_entry(path, entry));
    }
    out
}

fn template_entry(path: &str, entry: &ImageMetadataTemplate) -> String {
    let when: Vec<String> = entry.when.iter().map(|word| quoted(word)).collect();
    format!(
        "  {}:\n    when: [{}]\n    create_only: {}\n    template: {}\n    properties: {}",
        quoted(path),
        when.join(", "),
        entry.create_only,
        quoted(&entry.template),
        map("      ", &entry.properties)
    )
}

fn map(indent: &str, pairs: &BTreeMap<String, String>) -> String {
    if pairs.is_empty() {
        return "{}".to_owned();
    }
    pairs.iter().fold(String::new(), |mut out, (key, value)| {
        // Writing to a string cannot fail.
        let _ = write!(out, "\n{indent}{}: {}", quoted(key), quoted(value));
        out
    })
}

/// JSON's string, with the characters escaped that JSON lets stand and YAML does not.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let nasty = "a\"b\\c\nd\te: # ' \u{7f}\u{2028} ü";
        let mut metadata = ImageMetadata {
            architecture: "x86_64".into(),
            creation_date: 5,
            properties: [("os".to_owned(), nasty.to_owned()), ("yes".into(), "0755".into())].into(),
            ..ImageMetadata::default()
        };
        for text in [yaml(&metadata), yaml(&ImageMetadata::default())] {
            Metadata::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        let entry = ImageMetadataTemplate {
            when: vec!["start".into(), "create".into()],
            create_only: true,
            template: "t.tpl".into(),
            properties: [("p".to_owned(), nasty.to_owned())].into(),
        };
        metadata.templates = [("/etc/a b".to_owned(), entry), ("/x".into(), Default::default())].into();
        assert_eq!(Metadata::parse(yaml(&metadata).as_bytes()).unwrap().to_api(), metadata);
    }
}
