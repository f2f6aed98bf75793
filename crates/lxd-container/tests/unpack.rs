//! Archives, good and hostile, through the confined helper. Skipped without root.

mod common;

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use lxd_host::Helper;
use lxd_sys::Dir;
use lxd_types::helper::{Format, Unpack, UnpackLimits, Unpacked};
use lxd_types::{IdMap, Result};

struct Bench {
    helper: Helper,
    dir: tempfile::TempDir,
}

fn job() -> Unpack {
    Unpack {
        format: Format::Detect,
        strip: String::new(),
        only: Vec::new(),
        stop_early: false,
        owners: IdMap::default(),
        devices: true,
        limits: UnpackLimits { bytes: 10 << 20, entries: 1000, memory: 1 << 30, seconds: 60 },
    }
}

impl Bench {
    fn new() -> Option<Self> {
        let root = rustix::process::geteuid().is_root();
        let dir = tempfile::tempdir().unwrap();
        root.then(|| Self { helper: Helper::open(&common::helper()).unwrap(), dir })
    }

    async fn unpack(&self, job: &Unpack, archive: &[u8]) -> Result<Unpacked> {
        let target = self.dir.path().join("target");
        let _ = std::fs::remove_dir_all(&target);
        std::fs::create_dir(&target).unwrap();
        let target = Dir::open(&target).unwrap();
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let archive = archive.to_vec();
        let feeder = std::thread::spawn(move || File::from(write).write_all(&archive));
        let mut process = self.helper.start("unpack", job, &[read.as_fd(), target.as_fd()], None).await?;
        drop(read);
        let done = process.answer().await;
        drop(process);
        let fed = feeder.join().unwrap();
        if done.is_ok() {
            fed.unwrap();
        }
        done
    }

    fn target(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("target").join(name)
    }
}

fn entry(
    tar: &mut tar::Builder<Vec<u8>>,
    kind: tar::EntryType,
    name: &str,
    link: &str,
    data: &[u8],
    id: u64,
) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_size(data.len() as u64);
    header.set_mode(0o4750);
    header.set_uid(id);
    header.set_gid(id);
    header.set_mtime(1_000_000);
    header.set_device_major(1).unwrap();
    header.set_device_minor(3).unwrap();
    header.set_cksum();
    tar.append(&header, data).unwrap();
}

use tar::EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};

#[tokio::test]
async fn everything_keeps_its_attributes() {
    let Some(bench) = Bench::new() else { return };
    let mut tar = tar::Builder::new(Vec::new());
    entry(&mut tar, Regular, "metadata.yaml", "", b"a: b\n", 0);
    entry(&mut tar, Directory, "rootfs/d/", "", b"", 7);
    entry(&mut tar, Regular, "rootfs/d/f", "", b"data", 5);
    entry(&mut tar, Link, "rootfs/d/hard", "rootfs/d/f", b"", 0);
    entry(&mut tar, Symlink, "rootfs/d/soft", "/etc/passwd", b"", 6);
    entry(&mut tar, Char, "rootfs/null", "", b"", 0);
    // Numbers 1:3 as a disk, and what is no harmless device.
    entry(&mut tar, Block, "rootfs/ram3", "", b"", 0);
    entry(&mut tar, Fifo, "rootfs/pipe", "", b"", 0);
    entry(&mut tar, Regular, "rootfs/new/parents/f", "", b"x", 0);
    entry(&mut tar, Regular, "rootfs/d/f", "", b"second", 5);
    tar.append_pax_extensions([("SCHILY.xattr.user.hello", &b"world"[..]), ("mtime", b"5.25")]).unwrap();
    entry(&mut tar, Regular, "rootfs/x", "", b"y", 0);
    let tar = tar.into_inner().unwrap();

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    let mut only_root = job();
    only_root.strip = "rootfs".into();
    let done = bench.unpack(&only_root, &gzip.finish().unwrap()).await.unwrap();
    assert_eq!((done.entries, done.skipped), (10, 1));
    assert!(!bench.target("ram3").exists());
    let file = std::fs::metadata(bench.target("d/f")).unwrap();
    assert_eq!((file.uid(), file.mode() & 0o7777, file.mtime()), (5, 0o4750, 1_000_000));
    assert_eq!(std::fs::read(bench.target("d/f")).unwrap(), b"second");
    assert_eq!(std::fs::read(bench.target("d/hard")).unwrap(), b"data");
    assert_eq!(std::fs::read_link(bench.target("d/soft")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(std::fs::symlink_metadata(bench.target("d/soft")).unwrap().uid(), 6);
    assert_eq!(std::fs::metadata(bench.target("d")).unwrap().mtime(), 1_000_000);
    assert!(std::fs::metadata(bench.target("null")).unwrap().file_type().is_char_device());
    assert!(std::fs::metadata(bench.target("pipe")).unwrap().file_type().is_fifo());
    let dir = Dir::open(bench.target("")).unwrap();
    assert_eq!(dir.xattr("x", "user.hello").unwrap().unwrap(), b"world");
    assert_eq!(std::fs::metadata(bench.target("x")).unwrap().mtime_nsec(), 250_000_000);
    assert!(!bench.target("metadata.yaml").exists());

    let mut first = job();
    first.only = vec!["metadata.yaml".into()];
    first.stop_early = true;
    for packed in [tar.clone(), zstd::encode_all(&tar[..], 1).unwrap()] {
        let done = bench.unpack(&first, &packed).await.unwrap();
        assert_eq!(done.entries, 1);
        assert!(bench.target("metadata.yaml").exists() && !bench.target("rootfs").exists());
    }
}

#[tokio::test]
async fn hostile_archives_are_refused() {
    let Some(bench) = Bench::new() else { return };
    let one = |kind, name: &str, link: &str| {
        let mut tar = tar::Builder::new(Vec::new());
        entry(&mut tar, kind, name, link, b"", 0);
        tar.into_inner().unwrap()
    };
    for archive in [
        one(Regular, "/tmp/rt-unpack-evil", ""),
        one(Regular, "../evil", ""),
        one(Regular, "a/../../evil", ""),
        one(Symlink, "rootfs", "/"),
        one(Symlink, "./metadata.yaml", "/etc/shadow"),
        one(Link, "backup.yaml", "/etc/shadow"),
        one(Link, "x", "../../etc/shadow"),
        b"PK garbage".to_vec(),
        Vec::new(),
    ] {
        assert!(bench.unpack(&job(), &archive).await.is_err());
    }
    // Through a link that the archive made itself.
    let mut tar = tar::Builder::new(Vec::new());
    entry(&mut tar, Symlink, "out", "/tmp", b"", 0);
    entry(&mut tar, Regular, "out/rt-unpack-evil", "", b"x", 0);
    assert!(bench.unpack(&job(), &tar.into_inner().unwrap()).await.is_err());
    assert!(!Path::new("/tmp/rt-unpack-evil").exists());
    // A bomb.
    let mut tar = tar::Builder::new(Vec::new());
    entry(&mut tar, Regular, "big", "", &vec![0; 11 << 20], 0);
    let packed = zstd::encode_all(&tar.into_inner().unwrap()[..], 1).unwrap();
    let error = bench.unpack(&job(), &packed).await.unwrap_err();
    assert!(error.chain().contains("too large"), "{}", error.chain());
    // Too many, cut off.
    let mut tar = tar::Builder::new(Vec::new());
    for n in 0..1001 {
        entry(&mut tar, Directory, &format!("d{n}"), "", b"", 0);
    }
    let archive = tar.into_inner().unwrap();
    assert!(bench.unpack(&job(), &archive).await.is_err());
    assert!(bench.unpack(&job(), &archive[..1000]).await.is_err());
}

#[tokio::test]
async fn a_squashfs_is_unpacked() {
    let Some(bench) = Bench::new() else { return };
    let source = bench.dir.path().join("source");
    std::fs::create_dir_all(source.join("etc")).unwrap();
    std::fs::write(source.join("etc/f"), "x").unwrap();
    std::os::unix::fs::chown(source.join("etc/f"), Some(12), Some(13)).unwrap();
    std::fs::set_permissions(source.join("etc/f"), std::fs::Permissions::from_mode(0o4755)).unwrap();
    for (name, numbers) in [("null", ["c", "1", "3"]), ("mem", ["c", "1", "1"]), ("ram3", ["b", "1", "3"])] {
        let made = std::process::Command::new("mknod").arg(source.join(name)).args(numbers).status();
        assert!(made.unwrap().success());
    }
    let image = bench.dir.path().join("image");
    let made = std::process::Command::new("mksquashfs").arg(&source).arg(&image).output();
    if !made.is_ok_and(|made| made.status.success()) {
        return;
    }
    std::fs::create_dir(bench.target("")).unwrap();
    let target = Dir::open(bench.target("")).unwrap();
    let image = File::open(image).unwrap();
    let mut process =
        bench.helper.start("unpack", &job(), &[image.as_fd(), target.as_fd()], None).await.unwrap();
    let done = process.answer::<Unpacked>().await.unwrap();
    assert_eq!(done.skipped, 2);
    assert!(std::fs::metadata(bench.target("null")).unwrap().file_type().is_char_device());
    assert!(!bench.target("mem").exists() && !bench.target("ram3").exists());
    let file = std::fs::metadata(bench.target("etc/f")).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (12, 13, 0o4755));
}
