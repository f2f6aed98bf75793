//! Tar archives as no program would write them.

/// An archive that is being written, entry by entry.
pub struct Archive(Vec<u8>);

impl Archive {
    /// An empty one.
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// A `metadata.yaml` of an image for this machine; its date makes each archive another image.
    pub fn metadata(self) -> Self {
        let text = format!("architecture: {}\ncreation_date: 1700000000\n", std::env::consts::ARCH);
        self.file("metadata.yaml", text.as_bytes())
    }

    /// A directory.
    pub fn dir(self, name: &str) -> Self {
        self.entry(b'5', name, "", 0, b"")
    }

    /// A file; longer names than a header holds get one of GNU's.
    pub fn file(self, name: &str, content: &[u8]) -> Self {
        let long = name.len() > 100;
        let archive = if long {
            self.entry(b'L', "././@LongLink", "", 0, &[name.as_bytes(), b"\0"].concat())
        } else {
            self
        };
        archive.entry(b'0', &name[..name.len().min(100)], "", 0, content)
    }

    /// A symbolic link.
    pub fn link(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name, target, 0, b"")
    }

    /// A hard link.
    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(b'1', name, target, 0, b"")
    }

    /// A character device (`/dev/mem`).
    pub fn device(self, name: &str) -> Self {
        self.entry(b'3', name, "", 0, b"")
    }

    /// A sparse file of that size without any data.
    pub fn sparse(mut self, name: &str, size: u64) -> Self {
        let records = format!(
            "GNU.sparse.major=1\nGNU.sparse.minor=0\nGNU.sparse.name={name}\nGNU.sparse.realsize={size}\n"
        );
        let lines: String = records.lines().map(pax_record).collect();
        self = self.entry(b'x', "pax", "", 0, lines.as_bytes());
        let mut header = header(b'S', name, "", 512);
        // The old form too: no chunk of data, and the real size.
        header[483..495].copy_from_slice(&octal_or_binary(size));
        finish(&mut header);
        self.0.extend(header);
        self.0.extend([0; 512]);
        self
    }

    /// A file whose name stands in a pax header, with any bytes.
    pub fn pax_name(self, name: &[u8]) -> Self {
        let length = name.len() + 9;
        let record = [format!("{length} path=").as_bytes(), name, b"\n"].concat();
        self.entry(b'x', "pax", "", 0, &record).entry(b'0', "rootfs/pax", "", 0, b"x")
    }

    /// The archive with its end.
    pub fn bytes(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }

    fn entry(mut self, kind: u8, name: &str, link: &str, extra: u64, content: &[u8]) -> Self {
        let mut header = header(kind, name, link, content.len() as u64 + extra);
        finish(&mut header);
        self.0.extend(header);
        self.0.extend(content);
        let rest = content.len() % 512;
        self.0.extend(vec![0; if rest == 0 { 0 } else { 512 - rest }]);
        self
    }
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn pax_record(text: &str) -> String {
    let mut length = text.len() + 3;
    while format!("{length} {text}\n").len() != length {
        length += 1;
    }
    format!("{length} {text}\n")
}

fn octal_or_binary(size: u64) -> [u8; 12] {
    let mut field = [0; 12];
    field[0] = 0x80;
    field[4..].copy_from_slice(&size.to_be_bytes());
    field
}

fn header(kind: u8, name: &str, link: &str, size: u64) -> [u8; 512] {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    let mode: &[u8] = if kind == b'5' { b"0000755\0" } else { b"0000644\0" };
    header[100..108].copy_from_slice(mode);
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    header[136..148].copy_from_slice(b"14524770400\0");
    header[156] = kind;
    header[157..157 + link.len()].copy_from_slice(link.as_bytes());
    let magic: &[u8] = if kind == b'S' { b"ustar  \0" } else { b"ustar\x0000" };
    header[257..265].copy_from_slice(magic);
    if kind == b'3' {
        header[329..337].copy_from_slice(b"0000001\0");
        header[337..345].copy_from_slice(b"0000001\0");
    }
    header
}

fn finish(header: &mut [u8; 512]) {
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
