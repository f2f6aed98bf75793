//! File sessions inside real containers: what is inside is reached, the host is not. Skipped without root.

mod common;

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use common::World;
use lxd_container::Files;
use lxd_sys::Dir;
use lxd_types::helper::{FileOwner, FileReply, FileRequest, PathKind};
use rustix::fd::OwnedFd;

const OWNER: FileOwner = FileOwner { uid: 10, gid: 11, mode: 0o640 };

async fn check(files: &mut Files, rootfs: &Path) {
    let create = |path: &str| FileRequest::Create { path: path.into(), append: false, owner: OWNER };
    let (_, fd): (_, OwnedFd) = files.open(&create("/root/new")).await.unwrap();
    rustix::io::write(&fd, b"content").unwrap();
    // On disk the file has the ids of the inside.
    let disk = std::fs::metadata(rootfs.join("root/new")).unwrap();
    assert_eq!((disk.uid(), disk.gid(), disk.mode() & 0o7777, disk.len()), (10, 11, 0o640, 7));
    let stat = FileRequest::Stat { path: "/root/new".into() };
    let (FileReply::Stat(stat), None) = files.request(&stat).await.unwrap() else { panic!() };
    assert_eq!((stat.kind, stat.owner, stat.size), (PathKind::File, OWNER, 7));

    // Links lead nowhere but inside.
    let (stat, _) = files.open(&FileRequest::Open { path: "/root/passwd".into() }).await.unwrap();
    assert_eq!(stat.size, std::fs::metadata(rootfs.join("etc/passwd")).unwrap().len());
    assert!(files.open(&FileRequest::Open { path: "/root/magic/etc/shadow".into() }).await.is_err());
    let mkdir = FileRequest::Mkdir { path: "/../../../root/d".into(), owner: OWNER };
    files.request(&mkdir).await.unwrap();
    assert!(rootfs.join("root/d").is_dir());
    assert!(files.open(&FileRequest::Open { path: "/root/pipe".into() }).await.is_err());

    receive(files, rootfs).await;
    let list = FileRequest::List { path: "/root".into() };
    let (FileReply::Names(names), None) = files.request(&list).await.unwrap() else { panic!() };
    assert_eq!(names, ["d", "magic", "new", "passwd", "pipe"]);
    for path in ["/root/new", "/root/d"] {
        files.request(&FileRequest::Delete { path: path.into() }).await.unwrap();
        assert!(files.request(&FileRequest::Delete { path: path.into() }).await.is_err());
    }
    assert!(files.request(&FileRequest::Delete { path: "/".into() }).await.is_err());
}

/// What is received is not seen before it is whole; an existing file stays the same one.
async fn receive(files: &mut Files, rootfs: &Path) {
    let begin = |path: &str| FileRequest::Receive { path: path.into(), owner: OWNER };
    let place = rootfs.join("root/slow");
    let (_, fd) = files.open(&begin("/root/slow")).await.unwrap();
    rustix::io::write(&fd, b"slowly").unwrap();
    assert!(!place.exists());
    assert!(matches!(files.request(&FileRequest::Publish).await.unwrap(), (FileReply::Done, None)));
    let made = std::fs::metadata(&place).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777, made.len()), (10, 11, 0o640, 6));
    // Given up by the next request; only once.
    files.open(&begin("/root/slow")).await.unwrap();
    files.request(&FileRequest::Stat { path: "/root/slow".into() }).await.unwrap();
    assert!(files.request(&FileRequest::Publish).await.is_err());
    assert_eq!(std::fs::read(&place).unwrap(), b"slowly");
    // There is one: its content is the daemon's to replace.
    files.open(&begin("/root/slow")).await.unwrap();
    let (reply, fd) = files.request(&FileRequest::Publish).await.unwrap();
    assert!(matches!(reply, FileReply::Opened(_)) && fd.is_some());
    let now = std::fs::metadata(&place).unwrap();
    assert_eq!((now.ino(), now.len()), (made.ino(), 6), "it keeps its content until then");
    for wrong in ["/root", "/root/pipe", "/root/no/such", "/"] {
        assert!(files.request(&begin(wrong)).await.is_err(), "{wrong}");
    }
    files.request(&FileRequest::Delete { path: "/root/slow".into() }).await.unwrap();
}

#[tokio::test]
async fn running_and_stopped() {
    let Some(world) = World::new() else { return };
    let mut spec = world.spec("rt-files");
    spec.raw = "lxc.init.cmd = /init\n".into();
    let rootfs = spec.rootfs.path.clone();
    symlink("/etc/passwd", rootfs.join("root/passwd")).unwrap();
    symlink("/proc/1/root", rootfs.join("root/magic")).unwrap();
    let root = Dir::open(&rootfs).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(&root, "root/pipe", fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();

    check(&mut world.containers.files_of_stopped(&root).await.unwrap(), &rootfs).await;
    let running = world.start(&spec).await;
    check(&mut world.containers.files_of_running(&running, true).await.unwrap(), &rootfs).await;
    world.containers.stop(&running).await.unwrap();
}
