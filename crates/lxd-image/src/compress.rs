//! Compression of image and backup files.

use std::io::{self, Write};

use lxd_types::compression::{Algorithm, Compression};

use crate::gzip::GzipWriter;

/// A writer that compresses; [`Encoder::finish`] writes the end.
pub enum Encoder<W: Write> {
    /// As it is.
    None(W),
    /// gzip
    Gzip(GzipWriter<W>),
    /// bzip2
    Bzip2(bzip2::write::BzEncoder<W>),
    /// xz and the old lzma
    Lzma(liblzma::write::XzEncoder<W>),
    /// Zstandard
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

/// The preset of xz that the program `xz` uses.
const XZ_PRESET: u8 = 6;

impl<W: Write> Encoder<W> {
    /// An encoder over `out`.
    ///
    /// # Errors
    /// `Unsupported` for squashfs, which is no compression of a stream; lack of memory.
    pub fn new(compression: Compression, out: W) -> io::Result<Self> {
        let level = compression.level;
        Ok(match compression.algorithm {
            Algorithm::None => Self::None(out),
            Algorithm::Gzip => {
                let level = level.map_or_else(flate2::Compression::default, |level| {
                    flate2::Compression::new(level.into())
                });
                Self::Gzip(GzipWriter::new(out, level))
            }
            Algorithm::Bzip2 => {
                let level = level
                    .map_or_else(bzip2::Compression::best, |level| bzip2::Compression::new(level.into()));
                Self::Bzip2(bzip2::write::BzEncoder::new(out, level))
            }
            Algorithm::Xz => {
                Self::Lzma(liblzma::write::XzEncoder::new(out, level.unwrap_or(XZ_PRESET).into()))
            }
            Algorithm::Lzma => {
                let options = liblzma::stream::LzmaOptions::new_preset(level.unwrap_or(XZ_PRESET).into())?;
                let stream = liblzma::stream::Stream::new_lzma_encoder(&options)?;
                Self::Lzma(liblzma::write::XzEncoder::new_stream(out, stream))
            }
            Algorithm::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, level.unwrap_or(0).into())?;
                let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
                encoder.multithread(u32::try_from(threads).unwrap_or(1))?;
                Self::Zstd(encoder)
            }
            Algorithm::Squashfs => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "Compression \"squashfs\" is not supported yet",
                ));
            }
        })
    }

    /// Writes the end.
    ///
    /// # Errors
    /// Those of the writer below.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::None(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Bzip2(encoder) => encoder.finish(),
            Self::Lzma(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(out) => out.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Bzip2(encoder) => encoder.write(bytes),
            Self::Lzma(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::None(out) => out.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Bzip2(encoder) => encoder.flush(),
            Self::Lzma(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::{Format, decoder};

    #[test]
    fn what_is_compressed_is_read_again() {
        let text = b"the same again and again ".repeat(10_000);
        for name in ["none", "gzip", "gzip -1", "bzip2", "xz -1", "lzma -1", "zstd", "zstd -3"] {
            let mut encoder = Encoder::new(name.parse().unwrap(), Vec::new()).unwrap();
            encoder.write_all(&text).unwrap();
            let packed = encoder.finish().unwrap();
            let format = if name == "none" { Format::Tar } else { Format::detect(&packed).unwrap() };
            let mut back = Vec::new();
            decoder(format, &*packed).unwrap().read_to_end(&mut back).unwrap();
            assert!(back == text, "{name}");
        }
        assert!(Encoder::new("squashfs".parse().unwrap(), Vec::new()).is_err());
    }
}
