//! A reader of tar archives that only looks: names, kinds, and the content of small files.
//!
//! It understands what image builders write (ustar, GNU long names, pax paths and sizes) and never allocates by a
//! number that the archive names.

use std::io::{self, Read};

use crate::error::ImageError;

const BLOCK: usize = 512;

/// Longest name or pax header that is read.
const HEADER_LIMIT: u64 = 64 << 10;

/// Most entries that are looked at.
const ENTRY_LIMIT: u64 = 10_000_000;

/// One entry of an archive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    /// The name, without `./` in front and `/` at the end.
    pub name: Vec<u8>,
    /// The type byte: `0` file, `1` hard link, `2` symbolic link, `5` directory …
    pub kind: u8,
    /// Bytes of content.
    pub size: u64,
}

impl Entry {
    /// Whether this is a regular file.
    pub fn is_file(&self) -> bool {
        matches!(self.kind, b'0' | 0 | b'7')
    }
}

/// Reads one archive from front to back.
pub(crate) struct Reader<R> {
    input: R,
    /// Bytes of the present entry that were not read yet, with the padding after them.
    left: u64,
    padding: u64,
    entries: u64,
}

impl<R: Read> Reader<R> {
    pub fn new(input: R) -> Self {
        Self { input, left: 0, padding: 0, entries: 0 }
    }

    /// The next entry; none at the end of the archive.
    pub fn next(&mut self) -> Result<Option<Entry>, ImageError> {
        let mut long_name = None;
        let mut long_size = None;
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            self.entries += 1;
            if self.entries > ENTRY_LIMIT {
                return Err(ImageError::Limit("number of entries"));
            }
            let size = number(&header[124..136])?;
            let kind = header[156];
            self.expect(size);
            match kind {
                b'L' => long_name = Some(until_zero(&self.content(HEADER_LIMIT)?).to_vec()),
                b'x' => {
                    let records = self.content(HEADER_LIMIT)?;
                    long_name = pax(&records, b"path")?.map(<[u8]>::to_vec).or(long_name);
                    long_size = match pax(&records, b"size")? {
                        Some(text) => Some(decimal(text)?),
                        None => long_size,
                    };
                }
                b'K' | b'g' | b'V' => {} // Link names, global headers, volume labels: not looked at.
                _ => {
                    let name = tidy(&long_name.unwrap_or_else(|| short_name(&header)));
                    let size = long_size.unwrap_or(size);
                    // Links and directories have no content, whatever their size field says.
                    self.expect(if matches!(kind, b'1'..=b'6') { 0 } else { size });
                    return Ok(Some(Entry { name, kind, size: self.left }));
                }
            }
        }
    }

    /// The whole content of the present entry.
    pub fn content(&mut self, limit: u64) -> Result<Vec<u8>, ImageError> {
        if self.left > limit {
            return Err(ImageError::Limit("size of metadata.yaml or of a header"));
        }
        let mut content = Vec::new();
        let read = self.input.by_ref().take(self.left).read_to_end(&mut content).map_err(broken)?;
        if (read as u64) < self.left {
            return Err(ImageError::BadTar("it ends inside of a file"));
        }
        self.left = 0;
        Ok(content)
    }

    fn expect(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    /// Goes on behind the present entry.
    fn skip(&mut self) -> Result<(), ImageError> {
        let wanted = self.left.saturating_add(self.padding);
        let skipped = io::copy(&mut self.input.by_ref().take(wanted), &mut io::sink()).map_err(broken)?;
        if skipped < self.left {
            return Err(ImageError::BadTar("it ends inside of a file"));
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// The next header block; none at two zero blocks or the end of the stream.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, ImageError> {
        let mut block = [0; BLOCK];
        let mut have = 0;
        while have < BLOCK {
            match self.input.read(&mut block[have..]) {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(ImageError::BadTar("it ends inside of a header")),
                Ok(length) => have += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(error)),
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        check_sum(&block)?;
        Ok(Some(block))
    }
}

fn broken(error: io::Error) -> ImageError {
    ImageError::Decompress(error)
}

fn check_sum(block: &[u8; BLOCK]) -> Result<(), ImageError> {
    let said = number(&block[148..156])?;
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| u64::from(if (148..156).contains(&at) { b' ' } else { *byte }))
        .sum();
    if said == sum { Ok(()) } else { Err(ImageError::BadTar("wrong checksum")) }
}

/// An octal number, or a base-256 one as GNU tar writes it for large values.
fn number(field: &[u8]) -> Result<u64, ImageError> {
    const BAD: ImageError = ImageError::BadTar("a number is not valid");
    if let [first, rest @ ..] = field
        && *first & 0x80 != 0
    {
        let mut value = u64::from(first & 0x7f);
        for byte in rest {
            value = value.checked_mul(256).ok_or(BAD)?.checked_add(u64::from(*byte)).ok_or(BAD)?;
        }
        return Ok(value);
    }
    let mut value: u64 = 0;
    for byte in until_zero(field).trim_ascii() {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 8).ok_or(BAD)?;
        value = value.checked_mul(8).ok_or(BAD)?.checked_add(u64::from(digit)).ok_or(BAD)?;
    }
    Ok(value)
}

fn decimal(text: &[u8]) -> Result<u64, ImageError> {
    let text = std::str::from_utf8(text).map_err(|_| ImageError::BadTar("a pax number is not valid"))?;
    text.parse().map_err(|_| ImageError::BadTar("a pax number is not valid"))
}

/// The last value of a key in pax records (`LENGTH KEY=VALUE\n` …).
fn pax<'r>(mut records: &'r [u8], key: &[u8]) -> Result<Option<&'r [u8]>, ImageError> {
    const BAD: ImageError = ImageError::BadTar("a pax header is not valid");
    let mut found = None;
    while !records.is_empty() {
        let blank = records.iter().position(|byte| *byte == b' ').ok_or(BAD)?;
        let length = usize::try_from(decimal(&records[..blank])?).map_err(|_| BAD)?;
        let record = records.get(blank + 1..length).ok_or(BAD)?;
        let record = record.strip_suffix(b"\n").ok_or(BAD)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or(BAD)?;
        if &record[..equals] == key {
            found = Some(&record[equals + 1..]);
        }
        records = &records[length..];
    }
    Ok(found)
}

fn short_name(header: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_zero(&header[..100]);
    // Only POSIX archives have a prefix; GNU's keep times there.
    let prefix = if &header[257..263] == b"ustar\0" { until_zero(&header[345..500]) } else { b"" };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

/// Without leading `./` and trailing `/`.
fn tidy(name: &[u8]) -> Vec<u8> {
    let mut name = name;
    while let Some(rest) = name.strip_prefix(b"./") {
        name = rest;
    }
    while let Some(rest) = name.strip_suffix(b"/") {
        name = rest;
    }
    name.to_vec()
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(archive: &[u8]) -> Result<Vec<String>, ImageError> {
        let mut reader = Reader::new(archive);
        let mut names = Vec::new();
        while let Some(entry) = reader.next()? {
            names.push(String::from_utf8_lossy(&entry.name).into_owned());
        }
        Ok(names)
    }

    fn archive(build: impl FnOnce(&mut ::tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = ::tar::Builder::new(Vec::new());
        build(&mut builder);
        builder.into_inner().unwrap()
    }

    fn file(builder: &mut ::tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content).unwrap();
    }

    #[test]
    fn names_and_contents_are_read() {
        let long = "d/".repeat(120) + "file";
        let bytes = archive(|builder| {
            file(builder, "a", b"x");
            file(builder, &long, &[7; 1000]);
            file(builder, "./metadata.yaml", b"text");
        });
        assert_eq!(names(&bytes).unwrap(), ["a", &long, "metadata.yaml"]);
        let mut reader = Reader::new(&bytes[..]);
        while let Some(entry) = reader.next().unwrap() {
            if entry.name == b"metadata.yaml" {
                assert_eq!(reader.content(10).unwrap(), b"text");
                return;
            }
        }
        panic!("no metadata.yaml");
    }

    #[test]
    fn hostile_headers_are_errors() {
        let good = archive(|builder| file(builder, "a", b"content"));
        assert!(names(&good[..600]).is_err() || names(&good[..514]).is_err());
        let mut bad = good.clone();
        bad[0] = b'b';
        assert!(matches!(names(&bad), Err(ImageError::BadTar("wrong checksum"))));
        // A GNU long name of 2 GiB must not be allocated.
        let mut header = ::tar::Header::new_gnu();
        header.set_entry_type(::tar::EntryType::GNULongName);
        header.set_size(2 << 30);
        header.set_cksum();
        assert!(matches!(names(header.as_bytes()), Err(ImageError::Limit(_))));
    }

    #[test]
    fn any_bytes_are_survived() {
        proptest::proptest!(|(bytes: Vec<u8>)| { let _ = names(&bytes); });
        let good = archive(|builder| file(builder, "a", b"content"));
        proptest::proptest!(|(at in 0..512_usize, byte: u8)| {
            let mut bad = good.clone();
            bad[at] = byte;
            let _ = names(&bad);
        });
    }
}
