//! The corpus of hostile archives at the border: what is received and inspected must be refused, or pass with
//! nothing but its own bytes in the store. What passes is unpacked by the confined helper only, which has a corpus
//! test of its own.

use std::time::{Duration, Instant};

use bytes::Bytes;
use lxd_image::{Store, Upload};
use tar::{Builder, EntryType, Header};

const METADATA: &[u8] = b"architecture: x86_64\ncreation_date: 1\n";

struct Archive(Builder<Vec<u8>>);

impl Archive {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// An entry with any bytes as name and link target: the builder's own checks are gone round.
    fn raw(mut self, kind: EntryType, name: &[u8], link: &[u8], content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o4777);
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name);
        old.linkname[..link.len()].copy_from_slice(link);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn good(self) -> Self {
        self.raw(EntryType::Regular, b"metadata.yaml", b"", METADATA).raw(
            EntryType::Directory,
            b"rootfs/",
            b"",
            b"",
        )
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Archives that must be refused.
fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let (file, link, dir) = (EntryType::Regular, EntryType::Symlink, EntryType::Directory);
    let yaml = |text: &str| {
        Archive::new().raw(file, b"metadata.yaml", b"", text.as_bytes()).raw(dir, b"rootfs", b"", b"")
    };
    let mut cases = vec![
        (
            "metadata.yaml is a link",
            Archive::new().raw(link, b"metadata.yaml", b"/etc/passwd", b"").good().bytes(),
        ),
        (
            "metadata.yaml is a hard link",
            Archive::new().raw(EntryType::Link, b"metadata.yaml", b"/etc/passwd", b"").good().bytes(),
        ),
        (
            "metadata.yaml is a device",
            Archive::new().raw(EntryType::Char, b"metadata.yaml", b"", b"").good().bytes(),
        ),
        (
            "metadata.yaml is a pipe",
            Archive::new().raw(EntryType::Fifo, b"metadata.yaml", b"", b"").good().bytes(),
        ),
        ("metadata.yaml is a directory", Archive::new().raw(dir, b"metadata.yaml/", b"", b"").good().bytes()),
        ("rootfs is a link", Archive::new().raw(link, b"rootfs", b"/", b"").good().bytes()),
        (
            "rootfs is a link, later",
            Archive::new().raw(file, b"metadata.yaml", b"", METADATA).raw(link, b"rootfs", b"/", b"").bytes(),
        ),
        ("rootfs is a hard link", Archive::new().raw(EntryType::Link, b"rootfs", b"/", b"").good().bytes()),
        ("rootfs is a file", Archive::new().raw(file, b"rootfs", b"", b"x").good().bytes()),
        (
            "metadata.yaml elsewhere",
            Archive::new()
                .raw(file, b"../metadata.yaml", b"", METADATA)
                .raw(dir, b"rootfs", b"", b"")
                .bytes(),
        ),
        (
            "metadata.yaml absolute",
            Archive::new().raw(file, b"/metadata.yaml", b"", METADATA).raw(dir, b"rootfs", b"", b"").bytes(),
        ),
        ("no rootfs", Archive::new().raw(file, b"metadata.yaml", b"", METADATA).bytes()),
        (
            "rootfs elsewhere",
            Archive::new()
                .raw(file, b"metadata.yaml", b"", METADATA)
                .raw(dir, b"../rootfs", b"", b"")
                .bytes(),
        ),
        ("null fields", yaml("architecture: null\ncreation_date: null\n").bytes()),
        ("wrong types", yaml("architecture: [x86_64]\ncreation_date: 1\n").bytes()),
        ("list at the top", yaml("- a\n- b\n").bytes()),
        ("two documents", yaml("architecture: x86_64\n---\ncreation_date: 1\n").bytes()),
        (
            "no UTF-8",
            Archive::new()
                .raw(file, b"metadata.yaml", b"", b"a: \xff\xfe\n")
                .raw(dir, b"rootfs", b"", b"")
                .bytes(),
        ),
        ("deep YAML", yaml(&format!("properties: {}", "[".repeat(200_000))).bytes()),
        ("metadata.yaml of 2 MiB", yaml(&"#".repeat(2 << 20)).bytes()),
        ("a gzip of zeros", gzip(&vec![0; 64 << 20])),
        ("an empty gzip", gzip(b"")),
        ("gzip in gzip", gzip(&gzip(&Archive::new().good().bytes()))),
        ("zeros", vec![0; 10_240]),
        ("text", b"this is no archive".to_vec()),
        ("a qcow2 with a backing file", [&b"QFI\xfb\0\0\0\x03"[..], &[0; 600]].concat()),
        ("a squashfs alone", [&b"hsqs"[..], &[0; 600]].concat()),
        ("xz header only", b"\xfd7zXZ\0\0\x04".to_vec()),
        ("zstd header only", b"\x28\xb5\x2f\xfd\xff\xff\xff\xff".to_vec()),
        ("bzip2 header only", b"BZh9".to_vec()),
        ("lzma with a dictionary of 4 GiB", b"\x5d\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()),
    ];
    for size in [
        b"77777777777\0".as_slice(),
        b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"-1         \0",
    ] {
        let mut bytes = Archive::new().raw(file, b"x", b"", b"").good().bytes();
        bytes[124..136].copy_from_slice(size);
        let sum: u32 =
            (0..512).map(|at| u32::from(if (148..156).contains(&at) { b' ' } else { bytes[at] })).sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        cases.push(("a size that is not there", bytes));
    }
    for records in [
        &b"99 path=x\n"[..],
        b"5 x\n",
        b"path=metadata.yaml\n",
        b"9999999999999999999999 path=a\n",
        b"-3 path=a\n",
    ] {
        let archive = Archive::new().raw(EntryType::XHeader, b"pax", b"", records).good();
        cases.push(("a pax header that lies", archive.bytes()));
    }
    for at in [3, 100, 511, 513, 700, 1100] {
        let mut bytes = Archive::new().good().bytes();
        bytes.truncate(at);
        cases.push(("cut off", bytes));
    }
    cases
}

#[tokio::test]
async fn hostile_archives_are_refused_quickly_and_leave_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let store = Store::open(temp.path().join("images")).unwrap();
    let cases = refused();
    assert!(cases.len() >= 40, "{}", cases.len());
    for (name, bytes) in cases {
        let start = Instant::now();
        let mut upload = Upload::new(&store);
        for block in bytes.chunks(64 << 10) {
            upload.write(Bytes::copy_from_slice(block)).await.unwrap();
        }
        let refused = upload.finish().await;
        assert!(refused.is_err(), "{name} passed");
        assert!(start.elapsed() < Duration::from_secs(10), "{name} took {:?}", start.elapsed());
        let left: Vec<_> = std::fs::read_dir(store.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{name} left {left:?}");
    }
}

/// Names that lead out are no reason to refuse at the border: nothing is unpacked here.
#[tokio::test]
async fn what_passes_is_stored_as_it_came() {
    let temp = tempfile::tempdir().unwrap();
    let store = Store::open(temp.path().join("images")).unwrap();
    let (file, link) = (EntryType::Regular, EntryType::Symlink);
    let bytes = Archive::new()
        .good()
        .raw(file, b"../../etc/passwd", b"", b"x")
        .raw(file, b"/etc/passwd", b"", b"x")
        .raw(link, b"templates", b"/etc", b"")
        .raw(link, b"backup.yaml", b"/etc/passwd", b"")
        .raw(EntryType::Block, b"rootfs/dev/sda", b"", b"")
        .bytes();
    let mut upload = Upload::new(&store);
    upload.write(Bytes::from(bytes.clone())).await.unwrap();
    let received = upload.finish().await.unwrap();
    let path = store.path().join(received.fingerprint.as_str());
    received.keep().await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
}
