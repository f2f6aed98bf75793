//! Settings of the kernel below `/proc/sys`.

use std::fs;
use std::io;
use std::path::PathBuf;

/// Where the kernel shows its settings.
const ROOT: &str = "/proc/sys";

/// Reads a setting, for example `net/ipv4/ip_forward`, without its newline.
///
/// # Errors
/// There is no such setting, or it cannot be read.
pub fn read(key: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path(key)?)?.trim_end().to_owned())
}

/// Writes a setting unless it has the value already.
///
/// # Errors
/// There is no such setting, or the kernel refuses the value.
pub fn write(key: &str, value: &str) -> io::Result<()> {
    if read(key).is_ok_and(|old| old == value) {
        return Ok(());
    }
    fs::write(path(key)?, value)
}

/// Whether the kernel has the setting.
pub fn exists(key: &str) -> bool {
    path(key).is_ok_and(|path| path.exists())
}

/// The file of a setting. Parts of a key may be names of interfaces, which may hold dots but no slash.
fn path(key: &str) -> io::Result<PathBuf> {
    let good = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    if key.split('/').all(good) {
        Ok(PathBuf::from(ROOT).join(key))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "invalid name of a kernel setting"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_below_the_root() {
        for bad in ["", "../etc/passwd", "net/../../etc", "/etc/passwd", "net//x"] {
            assert!(read(bad).is_err_and(|e| e.kind() == io::ErrorKind::InvalidInput), "{bad}");
        }
        assert!(read("kernel/ostype").is_ok_and(|value| value == "Linux"));
    }
}
