//! Tests of [`Dir`] on real directories.

use std::io::Write;

use super::*;

fn scratch() -> (tempfile::TempDir, Dir) {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open(temp.path()).unwrap();
    (temp, dir)
}

#[test]
fn links_and_dots_are_refused() {
    let (temp, dir) = scratch();
    std::os::unix::fs::symlink("/etc", temp.path().join("out")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", temp.path().join("file")).unwrap();
    assert_eq!(dir.open_file("out/passwd").unwrap_err().raw_os_error(), Some(libc::ELOOP));
    assert_eq!(dir.open_file("file").unwrap_err().raw_os_error(), Some(libc::ELOOP));
    assert_eq!(dir.open_dir("..").unwrap_err().raw_os_error(), Some(libc::EXDEV));
    assert_eq!(dir.open_file("/etc/passwd").unwrap_err().raw_os_error(), Some(libc::EXDEV));
    assert!(dir.mkdir("out/x", 0o755).is_err());
    assert!(dir.remove_tree("..").is_err());
    assert!(dir.mkdir_all("../x", 0o755).is_err());
    assert_eq!(dir.kind("file").unwrap(), Some(FileKind::Symlink));
    assert_eq!(dir.read_link("file").unwrap(), Path::new("/etc/passwd"));
}

#[test]
fn in_root_follows_links_inside() {
    let (temp, dir) = scratch();
    dir.mkdir_all("etc/real", 0o755).unwrap();
    dir.create("etc/real/f", 0o644).unwrap().write_all(b"inside").unwrap();
    std::os::unix::fs::symlink("/etc/real", temp.path().join("link")).unwrap();
    std::os::unix::fs::symlink("../../../../etc/real/f", temp.path().join("up")).unwrap();
    for path in ["/link/f", "up", "../up"] {
        let fd = dir.open_in_root(path, OFlags::RDONLY, 0).unwrap();
        assert_eq!(std::io::read_to_string(File::from(fd)).unwrap(), "inside", "{path}");
    }
}

#[test]
fn pipes_do_not_block() {
    let (_temp, dir) = scratch();
    rustix::fs::mknodat(&dir, "pipe", rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    assert!(dir.open_file("pipe").is_err());
    assert!(dir.create("pipe", 0o600).is_err());
}

#[test]
fn atomic_write_has_mode_and_replaces_links() {
    let (temp, dir) = scratch();
    std::os::unix::fs::symlink("/nowhere", temp.path().join("f")).unwrap();
    dir.write_atomic("f", b"one", 0o640).unwrap();
    dir.write_replace("f", b"two", 0o600).unwrap();
    assert_eq!(dir.read_text("f", 3).unwrap(), "two");
    assert_eq!(dir.stat("f").unwrap().st_mode & 0o7777, 0o600);
    assert_eq!(dir.read_limited("f", 2).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    assert_eq!(dir.read_dir(".").unwrap().len(), 1);
}

#[test]
fn deep_trees_are_removed() {
    let (_temp, dir) = scratch();
    dir.mkdir("t", 0o755).unwrap();
    let mut here = dir.open_dir("t").unwrap();
    for _ in 0..3 * 250 {
        here.mkdir("d", 0o755).unwrap();
        here.create("f", 0o600).unwrap();
        here = here.open_dir("d").unwrap();
    }
    dir.remove_tree("t").unwrap();
    dir.remove_tree("t").unwrap();
    dir.remove_tree("t/u").unwrap();
    assert!(dir.read_dir(".").unwrap().is_empty());
}

#[test]
fn devices_are_removed_but_the_harmless() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: making device nodes needs root");
        return;
    }
    let (_temp, dir) = scratch();
    dir.mkdir_all("a/b", 0o755).unwrap();
    let node = |path: &str, kind, minor| {
        let parent = dir.open_dir("a/b").unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(&parent, path, kind, mode, rustix::fs::makedev(1, minor)).unwrap();
    };
    node("ram", rustix::fs::FileType::BlockDevice, 3);
    node("mem", rustix::fs::FileType::CharacterDevice, 1);
    node("null", rustix::fs::FileType::CharacterDevice, 3);
    dir.create("a/b/file", 0o600).unwrap();
    assert_eq!(dir.remove_devices(&[(1, 3)]).unwrap(), 2);
    let left: Vec<_> = dir.read_dir("a/b").unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(left, ["file", "null"]);
    assert_eq!(dir.remove_devices(&[]).unwrap(), 1);
}

#[test]
fn mkdir_sets_the_mode_and_rename_new_refuses() {
    let (_temp, dir) = scratch();
    dir.mkdir_all("a/b", 0o1777).unwrap();
    dir.mkdir_all("a/b", 0o711).unwrap();
    assert_eq!(dir.stat("a/b").unwrap().st_mode & 0o7777, 0o1777);
    dir.chmod("a/b", 0o700).unwrap();
    assert_eq!(dir.stat("a/b").unwrap().st_mode & 0o7777, 0o700);
    dir.mkdir("c", 0o700).unwrap();
    assert_eq!(dir.rename_new("a", "c").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    dir.rename("a/b", "c").unwrap();
    assert_eq!(dir.kind("a/b").unwrap(), None);
    assert_eq!(dir.kind(".").unwrap(), Some(FileKind::Dir));
}
