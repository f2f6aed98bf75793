//! Decompression of image files.

use std::io::{self, BufReader, Read};

use crate::format::Format;

/// Memory that one xz or lzma stream may ask for: presets up to -9 need 65 MiB.
const LZMA_MEMORY: u64 = 128 << 20;

/// Largest window of a zstd stream, as a power of two (`--long=27`, what `zstd -d` accepts by default).
const ZSTD_WINDOW: u32 = 27;

/// A reader of the tar stream in a file of this format (squashfs and qcow2 are given through as they are).
///
/// # Errors
/// When the decoder cannot be made.
pub fn decoder<'r>(format: Format, file: impl Read + Send + 'r) -> io::Result<Box<dyn Read + Send + 'r>> {
    let file = BufReader::with_capacity(256 << 10, file);
    Ok(match format {
        Format::Tar | Format::Squashfs | Format::Qcow2 => Box::new(file),
        Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Format::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
        Format::Xz => {
            let stream =
                liblzma::stream::Stream::new_stream_decoder(LZMA_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream))
        }
        Format::Lzma => {
            let stream = liblzma::stream::Stream::new_lzma_decoder(LZMA_MEMORY)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream))
        }
        Format::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Box::new(decoder)
        }
    })
}
