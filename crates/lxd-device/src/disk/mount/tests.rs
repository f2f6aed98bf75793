//! Mounts for real, where the tests run as root; the mounts are removed again.

use super::*;
use lxd_types::{IdMap, InstanceKind};

fn context(devices_dir: PathBuf, idmap: IdMap) -> Context {
    Context {
        project: "default".parse().unwrap(),
        instance: "c1".parse().unwrap(),
        kind: InstanceKind::Container,
        device: "d1".parse().unwrap(),
        volatile: Default::default(),
        devices_dir,
        idmap,
        config: Default::default(),
        siblings: lxd_types::Devices::new(),
        network: None,
        shares_parent: false,
        starts: false,
        disk_paths: None,
    }
}

fn disk(properties: &[(&str, &str)]) -> Device {
    properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn the_path_inside_is_relative_and_plain() {
    assert_eq!(inside("/mnt//x/./y/"), Path::new("mnt/x/y"));
    assert_eq!(inside("mnt"), Path::new("mnt"));
}

#[tokio::test]
async fn a_missing_source_is_refused_when_required() {
    let device = disk(&[("path", "/mnt"), ("source", "/no/such")]);
    let context = context("/nowhere".into(), IdMap::default());
    let error = check_source(&context, "/no/such".into(), &device).await.unwrap_err();
    assert_eq!(error.chain(), "Missing source path \"/no/such\" for disk \"d1\"");
    let device = disk(&[("path", "/mnt"), ("source", "/no/such"), ("required", "false")]);
    assert!(check_source(&context, "/no/such".into(), &device).await.is_ok());
}

#[tokio::test]
async fn a_directory_is_mounted_and_released() {
    let temp = tempfile::tempdir().unwrap();
    let source = temp.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("f"), "text").unwrap();
    let devices = temp.path().join("devices");
    std::fs::create_dir(&devices).unwrap();
    let context = context(devices.clone(), IdMap::range(100_000, 65_536).unwrap());
    if std::fs::metadata("/proc/self/ns/user").is_err() || std::fs::metadata("/proc/1").unwrap().uid() != 0 {
        return;
    }
    let device = disk(&[("path", "/mnt/x"), ("readonly", "true")]);
    // Twice: a second start finds what the first left.
    for _ in 0..2 {
        let entry = host_path(&context, &device, source.clone()).await.unwrap().unwrap();
        assert_eq!((entry.kind, entry.target.as_path()), (MountKind::Directory, Path::new("mnt/x")));
        assert_eq!(std::fs::read_to_string(entry.source.join("f")).unwrap(), "text");
        let refused = std::fs::write(entry.source.join("g"), "").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ReadOnlyFilesystem);
    }
    release(&context).await.unwrap();
    release(&context).await.unwrap();
    assert!(!place(&context).exists());

    let file = disk(&[("path", "/mnt/f")]);
    let entry = host_path(&context, &file, source.join("f")).await.unwrap().unwrap();
    assert_eq!(entry.kind, MountKind::File);
    assert_eq!(std::fs::read_to_string(&entry.source).unwrap(), "text");
    release(&context).await.unwrap();
    assert!(source.join("f").exists());
}

#[tokio::test]
async fn links_do_not_lead_out_of_the_allowed_directories() {
    let temp = tempfile::tempdir().unwrap();
    let (inside, outside) = (temp.path().join("inside"), temp.path().join("outside"));
    std::fs::create_dir_all(inside.join("deep")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, inside.join("absolute")).unwrap();
    std::os::unix::fs::symlink("../outside", inside.join("relative")).unwrap();
    std::os::unix::fs::symlink("deep", inside.join("harmless")).unwrap();
    let context =
        Context { disk_paths: Some(vec![inside.clone()]), ..context("/nowhere".into(), IdMap::default()) };
    let device = disk(&[("path", "/mnt")]);
    let check =
        async |source: PathBuf| check_source(&context, source, &device).await.map_err(|error| error.chain());
    for good in ["", "deep", "harmless"] {
        assert_eq!(check(inside.join(good)).await, Ok(()), "{good}");
    }
    for bad in ["absolute", "relative", "absolute/x", "../outside", "deep/../../outside"] {
        assert!(check(inside.join(bad)).await.is_err(), "{bad}");
    }
    assert!(check(outside).await.is_err());
    let missing = check(inside.join("missing")).await.unwrap_err();
    assert!(missing.starts_with("Missing source path"), "{missing}");
}
