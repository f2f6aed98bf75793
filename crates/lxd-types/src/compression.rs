//! Compression algorithms that a user may choose for images and backups (manual 3.2.7).

use std::fmt;
use std::str::FromStr;

use crate::words::ValueError;

/// An algorithm and perhaps a level, such as `gzip` or `zstd -3`. Never a command line: nothing of it is executed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Compression {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// How hard to try; the algorithm's own default when missing.
    pub level: Option<u8>,
}

/// What packs the bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Algorithm {
    /// Nothing does.
    None,
    /// gzip (also chosen as `pigz`).
    Gzip,
    /// bzip2.
    Bzip2,
    /// The old lzma container.
    Lzma,
    /// xz.
    Xz,
    /// Zstandard.
    Zstd,
    /// A squashfs image instead of a tar archive.
    Squashfs,
}

impl Algorithm {
    /// The name by which users choose it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Lzma => "lzma",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Squashfs => "squashfs",
        }
    }

    fn highest_level(self) -> u8 {
        match self {
            Self::None | Self::Squashfs => 0,
            Self::Zstd => 19,
            Self::Gzip | Self::Bzip2 | Self::Lzma | Self::Xz => 9,
        }
    }
}

impl FromStr for Compression {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (name, level) = text.split_once(' ').map_or((text, None), |(name, level)| (name, Some(level)));
        let algorithm = match name {
            "none" => Algorithm::None,
            "gzip" | "pigz" => Algorithm::Gzip,
            "bzip2" => Algorithm::Bzip2,
            "lzma" => Algorithm::Lzma,
            "xz" => Algorithm::Xz,
            "zstd" => Algorithm::Zstd,
            "squashfs" => Algorithm::Squashfs,
            _ => return Err(ValueError(format!("Invalid compression algorithm {name:?}"))),
        };
        let invalid = || ValueError(format!("Invalid compression level in {text:?}"));
        let number = |level: &str| level.strip_prefix('-').and_then(|level| level.parse::<u8>().ok());
        let level = level.map(|level| number(level).ok_or_else(invalid)).transpose()?;
        match level {
            Some(level) if level == 0 || level > algorithm.highest_level() => Err(invalid()),
            level => Ok(Self { algorithm, level }),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm.name())?;
        self.level.map_or(Ok(()), |level| write!(f, " -{level}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_and_perhaps_a_level() {
        let zstd = Compression { algorithm: Algorithm::Zstd, level: Some(3) };
        assert_eq!("zstd -3".parse(), Ok(zstd));
        assert_eq!(zstd.to_string(), "zstd -3");
        assert_eq!("pigz".parse::<Compression>().unwrap().to_string(), "gzip");
        for bad in
            ["", "cat", "/bin/gzip", "gzip -o x", "gzip -99", "gzip --rsyncable", "none -1", "gzip -9 -9"]
        {
            assert!(bad.parse::<Compression>().is_err(), "{bad}");
        }
        let error = "nosuch".parse::<Compression>().unwrap_err();
        assert_eq!(error.0, "Invalid compression algorithm \"nosuch\"");
    }
}
