//! Receiving images of all formats, and of none, into a store.

use std::io::{Read, Write};

use bytes::Bytes;
use lxd_image::{Format, ImageError, ImageKind, Part, Received, Store, Upload, export_parts};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const METADATA: &str = "architecture: x86_64\ncreation_date: 1\nproperties: {os: Busybox}\n";

fn store() -> (TempDir, Store) {
    let temp = tempfile::tempdir().unwrap();
    let store = Store::open(temp.path().join("images")).unwrap();
    (temp, store)
}

fn entry(builder: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, name: &str, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    if kind.is_symlink() {
        header.set_link_name("/etc/passwd").unwrap();
    }
    builder.append_data(&mut header, name, content).unwrap();
}

fn unified() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    entry(&mut builder, tar::EntryType::Directory, "rootfs", b"");
    entry(&mut builder, tar::EntryType::Regular, "rootfs/file", &[7; 5000]);
    entry(&mut builder, tar::EntryType::Regular, "metadata.yaml", METADATA.as_bytes());
    builder.into_inner().unwrap()
}

fn one(kind: tar::EntryType, name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    entry(&mut builder, kind, name, content);
    builder.into_inner().unwrap()
}

async fn receive(store: &Store, parts: &[(Part, &[u8])]) -> Result<Received, ImageError> {
    let mut upload = Upload::new(store);
    for (part, bytes) in parts {
        upload.begin_part(*part).await?;
        for block in bytes.chunks(1000) {
            upload.write(Bytes::copy_from_slice(block)).await?;
        }
    }
    upload.finish().await
}

fn names(temp: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(temp.path().join("images")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn compressed(format: Format, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match format {
        Format::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(&mut out, flate2::Compression::fast());
            writer.write_all(bytes).unwrap();
        }
        Format::Bzip2 => {
            bzip2::read::BzEncoder::new(bytes, bzip2::Compression::fast()).read_to_end(&mut out).unwrap();
        }
        Format::Xz => {
            liblzma::read::XzEncoder::new(bytes, 1).read_to_end(&mut out).unwrap();
        }
        Format::Lzma => {
            let options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
            let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
            liblzma::read::XzEncoder::new_stream(bytes, stream).read_to_end(&mut out).unwrap();
        }
        Format::Zstd => out = zstd::encode_all(bytes, 1).unwrap(),
        _ => out = bytes.to_vec(),
    }
    out
}

#[tokio::test]
async fn every_compression_is_received() {
    use Format::{Bzip2, Gzip, Lzma, Tar, Xz, Zstd};
    for format in [Tar, Gzip, Bzip2, Xz, Lzma, Zstd] {
        let (temp, store) = store();
        let bytes = compressed(format, &unified());
        let received = receive(&store, &[(Part::Meta, &bytes)]).await.unwrap();
        let fingerprint = received.fingerprint.clone();
        assert_eq!(fingerprint.as_str(), hex::encode(Sha256::digest(&bytes)), "{format:?}");
        assert_eq!(received.size, bytes.len() as u64);
        assert_eq!(received.inspected.kind, ImageKind::Container);
        assert_eq!(received.inspected.metadata.properties["os"], "Busybox");
        received.expect("").unwrap();
        received.expect(fingerprint.as_str()).unwrap();
        assert!(received.expect("abc").is_err());
        received.keep().await.unwrap();
        assert_eq!(names(&temp), [fingerprint.to_string()]);
        let mut parts = export_parts(&store, &fingerprint).unwrap();
        assert_eq!(parts[0].filename, format!("{fingerprint}{}", format.extension()));
        let mut content = Vec::new();
        parts[0].file.read_to_end(&mut content).unwrap();
        assert_eq!(content, bytes);
        store.remove(&fingerprint).unwrap();
        store.remove(&fingerprint).unwrap();
        assert!(names(&temp).is_empty());
    }
}

#[tokio::test]
async fn a_split_image_is_hashed_in_order() {
    let (temp, store) = store();
    let meta = compressed(Format::Xz, &one(tar::EntryType::Regular, "./metadata.yaml", METADATA.as_bytes()));
    let rootfs = [&b"hsqs"[..], &[0; 100]].concat();
    let received = receive(&store, &[(Part::Meta, &meta), (Part::Rootfs, &rootfs)]).await.unwrap();
    let fingerprint = received.fingerprint.clone();
    assert_eq!(fingerprint.as_str(), hex::encode(Sha256::digest([&meta[..], &rootfs].concat())));
    assert_eq!(received.size, (meta.len() + rootfs.len()) as u64);
    received.keep().await.unwrap();
    assert_eq!(names(&temp), [fingerprint.to_string(), format!("{fingerprint}.rootfs")]);
    let parts = export_parts(&store, &fingerprint).unwrap();
    let shown: Vec<_> = parts.iter().map(|part| (part.name, part.filename.as_str())).collect();
    let expected = (format!("meta-{fingerprint}.tar.xz"), format!("{fingerprint}.squashfs"));
    assert_eq!(shown, [("metadata", &*expected.0), ("rootfs", &*expected.1)]);
    assert!(receive(&store, &[(Part::Rootfs, &rootfs)]).await.is_err());
}

#[tokio::test]
async fn bad_images_are_named_and_leave_nothing() {
    let (temp, store) = store();
    let file = tar::EntryType::Regular;
    let no_date = one(file, "metadata.yaml", b"architecture: x86_64\n");
    let z80 = one(file, "metadata.yaml", b"architecture: z80\ncreation_date: 5\n");
    let large = one(file, "metadata.yaml", &vec![b'#'; 2 << 20]);
    let gzip_cut = &compressed(Format::Gzip, &unified())[..40];
    for (bytes, text) in [
        (&b""[..], "EOF"),
        (b"garbage\n", "Unsupported compression"),
        (b"hsqs0000", "Unsupported compression"),
        (&one(file, "rootfs/x", b""), "Metadata tarball is missing metadata.yaml"),
        (&one(tar::EntryType::Symlink, "metadata.yaml", b""), "Metadata tarball is missing metadata.yaml"),
        (&one(file, "metadata.yaml", b"foo: ["), "Could not parse metadata.yaml"),
        (&[&no_date[..1024], &one(file, "rootfs/x", b"")].concat(), "Missing creation date"),
        (&[&z80[..1024], &one(file, "rootfs/x", b"")].concat(), "Architecture isn't supported: z80"),
        (&large, "The image exceeds a limit"),
        (&one(file, "metadata.yaml", METADATA.as_bytes()), "The image has no rootfs"),
        (gzip_cut, "Failed to decompress the image"),
        (&unified()[..700], "Invalid tarball"),
    ] {
        let error = receive(&store, &[(Part::Meta, bytes)]).await.err().expect(text);
        assert!(error.to_string().contains(text), "{error} instead of {text}");
        assert!(names(&temp).is_empty(), "{text}");
    }
}

#[tokio::test]
async fn an_upload_that_ends_early_leaves_nothing() {
    let (temp, store) = store();
    let mut upload = Upload::new(&store);
    upload.write(Bytes::from_static(b"half")).await.unwrap();
    drop(upload);
    assert!(names(&temp).is_empty());
    std::fs::write(temp.path().join("images/.incoming-1"), "").unwrap();
    std::fs::write(temp.path().join("images/other"), "").unwrap();
    assert_eq!(store.sweep().unwrap(), 1);
    assert_eq!(names(&temp), ["other"]);
}
