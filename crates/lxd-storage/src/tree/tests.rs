//! Tests of copying trees.

use super::*;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

fn scratch(name: &str) -> (tempfile::TempDir, Dir) {
    let temp = tempfile::Builder::new().prefix(name).tempdir().unwrap();
    let dir = Dir::open(temp.path()).unwrap();
    (temp, dir)
}

#[test]
fn everything_follows() {
    let (from_path, from) = scratch("from");
    let (to_path, to) = scratch("to");
    from.mkdir_all("a/b", 0o1770).unwrap();
    from.create("a/f", 0o600).unwrap().write_all(b"content").unwrap();
    from.chown("a/f", 100_000, 100_001).unwrap();
    from.chmod("a/f", 0o4755).unwrap();
    from.set_xattr("a/f", "user.note", b"x").unwrap();
    from.hard_link("a/f", "a/b/link").unwrap();
    from.symlink("/etc/passwd", "a/s").unwrap();
    rustix::fs::mknodat(&from, "pipe", FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    let sparse = from.create("sparse", 0o644).unwrap();
    sparse.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", 32 << 20).unwrap();

    let copied = copy(&from, &to).unwrap();
    assert_eq!(copied.entries, 7);
    let file = to.stat("a/f").unwrap();
    assert_eq!((file.st_uid, file.st_gid, file.st_mode & 0o7777), (100_000, 100_001, 0o4755));
    assert_eq!(file.st_mtime, from.stat("a/f").unwrap().st_mtime);
    assert_eq!(to.xattr("a/f", "user.note").unwrap().as_deref(), Some(&b"x"[..]));
    assert_eq!(file.st_ino, to.stat("a/b/link").unwrap().st_ino);
    assert_eq!(to.stat("a/b").unwrap().st_mode & 0o7777, 0o1770);
    assert_eq!(to.read_link("a/s").unwrap(), std::path::Path::new("/etc/passwd"));
    assert_eq!(to.kind("pipe").unwrap(), Some(FileKind::Fifo));
    let copy = std::fs::metadata(to_path.path().join("sparse")).unwrap();
    assert_eq!(copy.len(), 64 << 20);
    assert!(copy.blocks() * 512 < 1 << 20, "holes stay holes");
    drop(from_path);
}

/// What a running container does while it is copied: files come, go, are replaced, become directories.
#[test]
fn trees_that_change_are_copied() {
    let (_from_path, from) = scratch("from");
    let (_to_path, to) = scratch("to");
    for name in 0..10 {
        from.create(format!("stays-{name}"), 0o644).unwrap().write_all(b"content").unwrap();
    }
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for name in ["a", "m", "z"] {
                    from.create(name, 0o600).unwrap().write_all(b"new").unwrap();
                    from.rename(name, "replaced").unwrap();
                    from.symlink("replaced", name).unwrap();
                    from.remove_file(name).unwrap();
                    from.mkdir_all(format!("{name}/inside"), 0o700).unwrap();
                    from.remove_tree(name).unwrap();
                }
            }
        });
        for round in 0..100 {
            if round % 2 == 0 {
                to.clear().unwrap();
            }
            let copied = if round % 2 == 0 { copy(&from, &to) } else { refresh(&from, &to) };
            if copied.is_err() {
                done.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            copied.unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    refresh(&from, &to).unwrap();
    assert_eq!(to.read_dir(".").unwrap().len(), 11, "the files that stay and the one that was replaced last");
}

#[test]
fn too_deep_trees_are_refused() {
    let (_from_path, from) = scratch("from");
    let (_to_path, to) = scratch("to");
    let mut here = from.open_dir(".").unwrap();
    for _ in 0..DEPTH + 2 {
        here.mkdir("d", 0o755).unwrap();
        here = here.open_dir("d").unwrap();
    }
    drop(here);
    assert!(copy(&from, &to).unwrap_err().chain().contains("deeper"));
    to.clear().unwrap();
    from.clear().unwrap();
}

/// Two trees that were equal, and every way in which the first one can change.
#[test]
fn a_refresh_copies_only_what_changed() {
    let (_from_path, from) = scratch("from");
    let (_to_path, to) = scratch("to");
    for name in ["same", "longer", "gone", "kind", "apart"] {
        from.create(name, 0o644).unwrap().write_all(name.as_bytes()).unwrap();
    }
    from.hard_link("apart", "apart-too").unwrap();
    from.mkdir_all("d/e", 0o755).unwrap();
    from.symlink("x", "d/s").unwrap();
    from.set_xattr("same", "user.old", b"1").unwrap();
    copy(&from, &to).unwrap();
    let kept = to.stat("longer").unwrap().st_ino;

    assert_eq!(refresh(&from, &to).unwrap(), Copied { entries: 1, bytes: 0 }, "only the symbolic link");
    assert_eq!(to.stat("longer").unwrap().st_ino, kept);

    from.create("longer", 0o644).unwrap().write_all(b"longer than it was").unwrap();
    from.remove_file("gone").unwrap();
    from.remove_file("kind").unwrap();
    from.mkdir("kind", 0o700).unwrap();
    from.remove_file("apart-too").unwrap();
    from.create("apart-too", 0o600).unwrap().write_all(b"mine").unwrap();
    from.hard_link("same", "d/e/linked").unwrap();
    from.chmod("same", 0o4711).unwrap();
    rustix::fs::removexattr(from.proc_path().join("same"), "user.old").unwrap();
    from.set_xattr("same", "user.new", b"2").unwrap();
    refresh(&from, &to).unwrap();

    assert_eq!(to.read_text("longer", 100).unwrap(), "longer than it was");
    assert_eq!(to.kind("gone").unwrap(), None);
    assert_eq!(to.kind("kind").unwrap(), Some(FileKind::Dir));
    assert_eq!(to.read_text("apart", 100).unwrap(), "apart");
    assert_eq!(to.read_text("apart-too", 100).unwrap(), "mine");
    assert_eq!(to.stat("apart").unwrap().st_nlink, 1);
    let same = to.stat("d/e/linked").unwrap();
    assert_eq!((same.st_nlink, same.st_mode & 0o7777), (2, 0o4711));
    assert_eq!(same.st_ino, to.stat("same").unwrap().st_ino);
    assert_eq!(to.xattr("same", "user.old").unwrap(), None);
    assert_eq!(to.xattr("same", "user.new").unwrap().as_deref(), Some(&b"2"[..]));
}

/// Gives a file a time of change of its own.
fn age(dir: &Dir, name: &str) {
    let old = rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 5 };
    let times = rustix::fs::Timestamps { last_access: old, last_modification: old };
    rustix::fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

#[test]
fn a_tree_is_rebuilt_with_what_did_not_change() {
    let ((_one, volume), (_two, snapshot), (_three, new)) =
        (scratch("volume"), scratch("snap"), scratch("new"));
    volume.mkdir("d", 0o750).unwrap();
    let names = ["same", "content", "mode", "attribute", "owner", "gone", "d/same", "twice", "kind"];
    for name in names {
        volume.create(name, 0o644).unwrap().write_all(b"first").unwrap();
        age(&volume, name);
    }
    volume.hard_link("twice", "d/twice").unwrap();
    volume.symlink("target", "link").unwrap();
    copy(&volume, &snapshot).unwrap();
    // The same size and time of change, as after an unpacked archive: the content tells.
    volume.remove_file("content").unwrap();
    volume.create("content", 0o644).unwrap().write_all(b"other").unwrap();
    age(&volume, "content");
    volume.chmod("mode", 0o600).unwrap();
    volume.chown("owner", 1, 1).unwrap();
    volume.set_xattr("attribute", "user.note", b"x").unwrap();
    volume.remove_file("gone").unwrap();
    volume.create("came", 0o644).unwrap();
    volume.remove_file("kind").unwrap();
    volume.mkdir("kind", 0o755).unwrap();
    // Touched, but as it was.
    volume.chmod("d/same", 0o600).unwrap();
    volume.chmod("d/same", 0o644).unwrap();

    rebuild(&snapshot, &volume, &new).unwrap();
    let inode = |dir: &Dir, name: &str| dir.stat(name).unwrap().st_ino;
    for name in names {
        assert_eq!(new.read_text(name, 100).unwrap(), "first", "{name}");
        let (made, kept) = (new.stat(name).unwrap(), snapshot.stat(name).unwrap());
        let facts = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_mtime, stat.st_mtime_nsec);
        assert_eq!(facts(&made), facts(&kept), "{name}");
        assert_ne!(made.st_ino, kept.st_ino, "{name}");
        let shared = ["same", "d/same"].contains(&name);
        let there = volume.stat(name).ok().map(|stat| stat.st_ino);
        assert_eq!(there == Some(made.st_ino), shared, "{name}");
    }
    assert_eq!(new.xattr("attribute", "user.note").unwrap(), None);
    assert_eq!((inode(&new, "twice"), new.stat("twice").unwrap().st_nlink), (inode(&new, "d/twice"), 2));
    assert_eq!(new.read_link("link").unwrap(), std::path::Path::new("target"));
    assert_eq!(new.stat("d").unwrap().st_mode & 0o7777, 0o750);
    assert!(!new.exists("came").unwrap());
    // What is replaced is as it was.
    assert_eq!(volume.read_text("content", 100).unwrap(), "other");
    assert_eq!(volume.stat("mode").unwrap().st_mode & 0o7777, 0o600);
}
