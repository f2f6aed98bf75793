//! Sizes and times as texts.

use lxd_api::Timestamp;

use super::zone;

/// Bytes with a binary unit and `precision` digits: `728B`, `564.00KiB`.
pub fn bytes(size: i64, precision: usize) -> String {
    if size < 1024 {
        return format!("{size}B");
    }
    let mut value = size as f64;
    for unit in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        value /= 1024.0;
        if value < 1024.0 {
            return format!("{value:.precision$}{unit}");
        }
    }
    format!("{:.precision$}EiB", value / 1024.0)
}

/// Bytes with a decimal unit and `precision` digits: `1.68kB`.
pub fn bytes_decimal(size: i64, precision: usize) -> String {
    if size < 1000 {
        return format!("{size}B");
    }
    let mut value = size as f64;
    for unit in ["kB", "MB", "GB", "TB", "PB"] {
        value /= 1000.0;
        if value < 1000.0 {
            return format!("{value:.precision$}{unit}");
        }
    }
    format!("{:.precision$}EB", value / 1000.0)
}

/// A size in units of 1024 * 1024 with the suffix that image listings use: `0.99MB`.
pub fn image_size(size: i64) -> String {
    format!("{:.2}MB", size as f64 / 1024.0 / 1024.0)
}

/// `2026/11/21 06:44 EST`, in the local zone.
pub fn minute_local(time: &Timestamp) -> String {
    let (local, name) = zone::local(time);
    format!("{} {name}", local.format("%Y/%m/%d %H:%M"))
}

/// `2026/11/21 11:44 UTC`.
pub fn minute_utc(time: &Timestamp) -> String {
    time.0.to_utc().format("%Y/%m/%d %H:%M UTC").to_string()
}

/// `Nov 21, 2026 at 11:44am (UTC)`.
pub fn long_utc(time: &Timestamp) -> String {
    time.0.to_utc().format("%b %-d, %Y at %-I:%M%P (UTC)").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes(728, 2), "728B");
        assert_eq!(bytes(577_536, 2), "564.00KiB");
        assert_eq!(bytes(49152, 0), "48KiB");
        assert_eq!(image_size(1_033_110), "0.99MB");
    }

    #[test]
    fn times() {
        let time: Timestamp = "2026-11-01T11:04:00.5Z".parse().unwrap();
        assert_eq!(minute_utc(&time), "2026/11/01 11:04 UTC");
        assert_eq!(long_utc(&time), "Nov 1, 2026 at 11:04am (UTC)");
    }
}
