//! The local time zone with its short name, read from `$TZ` or `/etc/localtime`.

use chrono::{DateTime, FixedOffset};
use lxd_api::Timestamp;

/// A time in the local zone and the zone's short name then (`EST`); UTC when the zone is unknown.
pub fn local(time: &Timestamp) -> (DateTime<FixedOffset>, String) {
    let seconds = time.unix();
    let found = file().and_then(|data| lookup(&data, seconds));
    let (offset, name) = found.unwrap_or((0, "UTC".to_owned()));
    let zone =
        FixedOffset::east_opt(offset).unwrap_or(FixedOffset::east_opt(0).expect("zero is a valid offset"));
    (time.0.with_timezone(&zone), name)
}

fn file() -> Option<Vec<u8>> {
    let path = match std::env::var("TZ") {
        Ok(tz) if tz.is_empty() || tz == "UTC" => return None,
        Ok(tz) => {
            let name = tz.trim_start_matches(':');
            if name.starts_with('/') { name.to_owned() } else { format!("/usr/share/zoneinfo/{name}") }
        }
        Err(_) => "/etc/localtime".to_owned(),
    };
    std::fs::read(path).ok()
}

/// Offset in seconds and name at a time, from a TZif file (RFC 8536).
fn lookup(data: &[u8], at: i64) -> Option<(i32, String)> {
    let (block, wide) = second_block(data)?;
    let counts = Counts::read(block)?;
    let size = if wide { 8 } else { 4 };
    let body = block.get(44..)?;
    let times = body.get(..counts.times * size)?;
    let indices = body.get(counts.times * size..counts.times * (size + 1))?;
    let types = body.get(counts.times * (size + 1)..)?;
    let names = types.get(counts.types * 6..counts.types * 6 + counts.chars)?;
    let number = |bytes: &[u8]| {
        bytes.iter().fold(if bytes[0] & 0x80 == 0 { 0i64 } else { -1 }, |n, b| n << 8 | i64::from(*b))
    };
    let passed = times.chunks(size).take_while(|chunk| number(chunk) <= at).count();
    if passed == counts.times
        && let Some(rule) = footer(data, wide)
        && let Some(found) = fixed_rule(&rule)
    {
        return Some(found);
    }
    let index = passed.checked_sub(1).map_or(0, |i| usize::from(indices[i]));
    let entry = types.get(index * 6..index * 6 + 6)?;
    let name: Vec<u8> = names.get(usize::from(entry[5])..)?.iter().copied().take_while(|b| *b != 0).collect();
    Some((number(&entry[..4]) as i32, String::from_utf8_lossy(&name).into_owned()))
}

struct Counts {
    times: usize,
    types: usize,
    chars: usize,
    length: [usize; 6],
}

impl Counts {
    fn read(block: &[u8]) -> Option<Self> {
        if block.get(..4)? != b"TZif" {
            return None;
        }
        let mut length = [0; 6];
        for (slot, chunk) in length.iter_mut().zip(block.get(20..44)?.chunks(4)) {
            *slot = u32::from_be_bytes(chunk.try_into().ok()?) as usize;
        }
        Some(Self { times: length[3], types: length[4], chars: length[5], length })
    }

    /// Bytes of the block behind its header.
    fn size(&self, wide: bool) -> usize {
        let time = if wide { 8 } else { 4 };
        let [utc, std, leap, times, types, chars] = self.length;
        times * (time + 1) + types * 6 + chars + leap * (time + 4) + std + utc
    }
}

/// The block with 64 bit times, when the file has one.
fn second_block(data: &[u8]) -> Option<(&[u8], bool)> {
    let first = Counts::read(data)?;
    if *data.get(4)? < b'2' {
        return Some((data, false));
    }
    Some((data.get(44 + first.size(false)..)?, true))
}

/// The rule behind the second block, without its newlines.
fn footer(data: &[u8], wide: bool) -> Option<String> {
    if !wide {
        return None;
    }
    let (block, _) = second_block(data)?;
    let rest = block.get(44 + Counts::read(block)?.size(true)..)?;
    Some(String::from_utf8_lossy(rest).trim().to_owned())
}

/// A rule without daylight saving: `UTC0`, `CET-1`, `<+03>-3`.
fn fixed_rule(rule: &str) -> Option<(i32, String)> {
    let (name, offset) = match rule.strip_prefix('<') {
        Some(rest) => rest.split_once('>')?,
        None => rule.split_at(rule.find(|c: char| !c.is_ascii_alphabetic())?),
    };
    let (sign, digits) = match offset.strip_prefix('-') {
        Some(digits) => (1, digits),
        None => (-1, offset),
    };
    let mut parts = digits.split(':').map(|part| part.parse::<i32>().ok());
    let hours = parts.next()??;
    let minutes = parts.next().unwrap_or(Some(0))?;
    Some((sign * (hours * 3600 + minutes * 60), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        assert_eq!(fixed_rule("UTC0"), Some((0, "UTC".into())));
        assert_eq!(fixed_rule("CET-1"), Some((3600, "CET".into())));
        assert_eq!(fixed_rule("<+0530>-5:30"), Some((19800, "+0530".into())));
        assert_eq!(fixed_rule("EST5EDT,M3.2.0,M11.1.0"), None);
    }
}
