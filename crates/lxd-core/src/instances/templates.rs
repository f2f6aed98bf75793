//! Files that an image's templates make in an instance (manual 3.3.3): at its first start after a creation, copy or
//! rename (`volatile.apply_template`), and at each start.
//!
//! Everything here was written by strangers or by the instance itself: templates are read below the volume without
//! following links, and their results are written as the instance sees its own file system (`RESOLVE_IN_ROOT`), never
//! into anything but a regular file (flaws A5 and A8-A12 of the security rules).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use lxd_image::{METADATA_LIMIT, Metadata, TemplateEntry};
use lxd_instance::templates::{self, Context, SOURCE_LIMIT};
use lxd_storage::Mounted;
use lxd_sys::{Dir, FileKind};
use lxd_types::arch::Architecture;
use lxd_types::names::FileName;
use lxd_types::{ConfigExt, Error, Kind, Result};
use rustix::fs::OFlags;

use super::Model;

/// Most templates that one image may have.
const MOST: usize = 1000;

/// Renders the templates that are due when the instance starts.
///
/// # Errors
/// A template is missing, wrong or hostile; the start fails then, as in the reference.
pub(super) async fn apply_at_start(root: &Mounted, model: &Model) -> Result<()> {
    let mut triggers = Vec::new();
    let due = model.row.config.value("volatile.apply_template");
    if !due.is_empty() {
        triggers.push(due.to_owned());
    }
    triggers.push("start".to_owned());
    let (volume, context) = (root.dir.clone(), context(model));
    tokio::task::spawn_blocking(move || apply(&volume, &triggers, &context))
        .await
        .map_err(|panic| Error::with_source(Kind::Internal, "Rendering templates panicked", panic))?
        .map_err(|error| error.context("Failed to apply the image's templates"))
}

/// What the templates of this instance are told.
fn context(model: &Model) -> Context {
    let privileged = lxd_types::words::is_true(model.config.value("security.privileged"));
    let architecture = Architecture::from_id(model.row.architecture);
    let instance = [
        ("name", model.key.name.to_string()),
        ("type", model.kind().to_string()),
        ("architecture", architecture.map_or_else(String::new, |a| a.to_string())),
        ("privileged", privileged.to_string()),
        ("ephemeral", model.row.ephemeral.to_string()),
    ];
    Context {
        instance: instance.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        config: model.config.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        devices: model
            .devices
            .iter()
            .map(|(name, device)| {
                (name.clone(), device.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
            })
            .collect(),
        ..Context::default()
    }
}

/// Renders the templates of a volume that are due at one of the triggers.
fn apply(volume: &Dir, triggers: &[String], context: &Context) -> Result<()> {
    let metadata = match volume.read_limited("metadata.yaml", METADATA_LIMIT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|error| failed("Failed to read metadata.yaml", error))?,
    };
    let metadata = Metadata::parse(&metadata)?;
    if metadata.templates.len() > MOST {
        return Err(Error::bad_request(format!("metadata.yaml names more than {MOST} templates")));
    }
    if metadata.templates.is_empty() {
        return Ok(());
    }
    let rootfs = volume.open_dir("rootfs").map_err(|error| failed("Failed to open rootfs", error))?;
    for trigger in triggers {
        for (path, entry) in metadata.templates.iter().filter(|(_, entry)| entry.when.contains(trigger)) {
            one(volume, &rootfs, trigger, path, entry, context)
                .map_err(|error| error.context(format!("Template {path:?}")))?;
        }
    }
    Ok(())
}

fn one(
    volume: &Dir,
    rootfs: &Dir,
    trigger: &str,
    path: &str,
    entry: &TemplateEntry,
    context: &Context,
) -> Result<()> {
    let target = target_path(path)?;
    if entry.create_only && exists(rootfs, &target)? {
        return Ok(());
    }
    // Only files right below `templates/`: a name with a slash leads elsewhere.
    let name: FileName = entry.template.parse()?;
    let source = volume
        .open_dir("templates")
        .and_then(|dir| dir.read_text(name.as_str(), SOURCE_LIMIT as u64))
        .map_err(|error| failed("Failed to read the template", error))?;
    let properties: BTreeMap<_, _> = entry.properties.clone();
    let context =
        Context { trigger: trigger.to_owned(), path: path.to_owned(), properties, ..context.clone() };
    let text = templates::render(&source, &context)?;
    write(rootfs, &target, text.as_bytes()).map_err(|error| failed("Failed to write the file", error))
}

/// The path below the root directory; `..` is not for templates.
fn target_path(path: &str) -> Result<PathBuf> {
    let bad = || Error::bad_request(format!("Invalid template path {path:?}"));
    let mut target = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => target.push(name),
            Component::ParentDir | Component::Prefix(_) => return Err(bad()),
        }
    }
    if target.as_os_str().is_empty() || path.ends_with('/') { Err(bad()) } else { Ok(target) }
}

fn exists(rootfs: &Dir, target: &Path) -> Result<bool> {
    match rootfs.open_in_root(target, OFlags::PATH, 0) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("Failed to look for the file", error)),
    }
}

/// Writes a file as the instance sees it; directories on the way are made.
fn write(rootfs: &Dir, target: &Path, content: &[u8]) -> io::Result<()> {
    make_parents(rootfs, target)?;
    // Looked at before it is opened: opening a device or a pipe for writing already does something.
    match rootfs.open_in_root(target, OFlags::PATH, 0) {
        Ok(fd) => regular(&fd)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = rootfs.open_in_root(target, flags, 0o644)?;
    regular(&fd)?;
    let mut file = File::from(fd);
    file.set_len(0)?;
    file.write_all(content)
}

fn regular(fd: &impl std::os::fd::AsFd) -> io::Result<()> {
    let stat = rustix::fs::fstat(fd)?;
    if FileKind::of_mode(stat.st_mode) == FileKind::File {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
}

fn make_parents(rootfs: &Dir, target: &Path) -> io::Result<()> {
    let mut here = PathBuf::new();
    let Some(parents) = target.parent() else { return Ok(()) };
    for name in parents.components() {
        let above = here.clone();
        here.push(name);
        match rootfs.open_in_root(&here, OFlags::PATH | OFlags::DIRECTORY, 0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => {
                other?;
                continue;
            }
        }
        let above = if above.as_os_str().is_empty() { Path::new("/") } else { &above };
        let parent = rootfs.open_in_root(above, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        let name: &OsStr = name.as_os_str();
        Dir::from_fd(parent).mkdir(name, 0o755)?;
    }
    Ok(())
}

fn failed(text: &'static str, error: io::Error) -> Error {
    Error::with_source(Kind::BadRequest, text, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Volume(tempfile::TempDir, Dir);

    impl Volume {
        fn new(templates: &str) -> Self {
            let temp = tempfile::tempdir().unwrap();
            let dir = Dir::open(temp.path()).unwrap();
            dir.mkdir_all("rootfs/etc", 0o755).unwrap();
            dir.mkdir("templates", 0o755).unwrap();
            let text = format!("architecture: x86_64\ncreation_date: 1\ntemplates:\n{templates}");
            dir.write_replace("metadata.yaml", text.as_bytes(), 0o644).unwrap();
            dir.write_replace("templates/t.tpl", b"{{ trigger }} {{ instance.name }}\n", 0o644).unwrap();
            Self(temp, dir)
        }

        fn apply(&self, triggers: &[&str]) -> Result<()> {
            let mut context = Context::default();
            context.instance.insert("name".into(), "c1".into());
            apply(&self.1, &triggers.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>(), &context)
        }

        fn text(&self, path: &str) -> String {
            std::fs::read_to_string(self.0.path().join(path)).unwrap()
        }
    }

    fn entry(path: &str, when: &str, template: &str, more: &str) -> String {
        format!("  {path}:\n    when: [{when}]\n    template: {template}\n{more}")
    }

    #[test]
    fn files_are_made_when_they_are_due() {
        let all = entry("/etc/hostname", "create, copy", "t.tpl", "")
            + &entry("/new/dir/file", "start", "t.tpl", "")
            + &entry("/etc/once", "create, start", "t.tpl", "    create_only: true\n");
        let volume = Volume::new(&all);
        volume.apply(&["create", "start"]).unwrap();
        assert_eq!(volume.text("rootfs/etc/hostname"), "create c1\n");
        assert_eq!(volume.text("rootfs/new/dir/file"), "start c1\n");
        assert_eq!(volume.text("rootfs/etc/once"), "create c1\n");
        volume.apply(&["start"]).unwrap();
        assert_eq!(volume.text("rootfs/etc/once"), "create c1\n");
    }

    #[test]
    fn links_stay_inside() {
        let volume = Volume::new(&entry("/etc/hostname", "start", "t.tpl", ""));
        let outside = tempfile::tempdir().unwrap();
        let link = |target: &Path, path: &str| {
            std::os::unix::fs::symlink(target, volume.0.path().join(path)).unwrap()
        };
        // The absolute link names a place of the host; inside it is another one, which does not exist.
        let victim = outside.path().join("victim");
        std::fs::write(&victim, "untouched").unwrap();
        link(&victim, "rootfs/etc/hostname");
        assert!(volume.apply(&["start"]).is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
        std::fs::remove_file(volume.0.path().join("rootfs/etc/hostname")).unwrap();
        link(Path::new("../../../../run/name"), "rootfs/etc/hostname");
        std::fs::create_dir(volume.0.path().join("rootfs/run")).unwrap();
        volume.apply(&["start"]).unwrap();
        assert_eq!(volume.text("rootfs/run/name"), "start c1\n");
    }

    #[test]
    fn hostile_volumes_are_refused() {
        for name in ["../../etc/passwd", "/etc/passwd", "..", "a/b", "''"] {
            assert!(Volume::new(&entry("/x", "start", name, "")).apply(&["start"]).is_err(), "{name}");
        }
        for path in ["/../x", "/", "/etc/", "/a/../../x"] {
            assert!(Volume::new(&entry(path, "start", "t.tpl", "")).apply(&["start"]).is_err(), "{path}");
        }
        for replaced in ["metadata.yaml", "templates", "rootfs", "templates/t.tpl"] {
            let volume = Volume::new(&entry("/x", "start", "t.tpl", ""));
            let (path, moved) = (volume.0.path().join(replaced), volume.0.path().join("moved"));
            std::fs::rename(&path, &moved).unwrap();
            std::os::unix::fs::symlink(&moved, &path).unwrap();
            assert!(volume.apply(&["start"]).is_err(), "{replaced}");
        }
        let volume = Volume::new(&entry("/etc/pipe", "start", "t.tpl", ""));
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        let pipe = volume.0.path().join("rootfs/etc/pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(volume.apply(&["start"]).is_err());
    }
}
