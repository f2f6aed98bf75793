//! Maps between the ids of a user namespace and those of the host (manual 3.6.8).

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::words::ValueError;

/// Users or groups.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum IdKind {
    /// Users.
    Uid,
    /// Groups.
    Gid,
}

/// A range of ids inside and the range on the host that stands for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IdMapEntry {
    /// Users or groups.
    pub kind: IdKind,
    /// The first id on the host.
    pub host: u32,
    /// The first id inside.
    pub inside: u32,
    /// How many ids; at least one, and neither range passes `u32::MAX - 1`.
    pub count: u32,
}

/// A map of users and groups. The empty map is that of privileged containers.
///
/// In JSON it has the form of `volatile.last_state.idmap`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Vec<Wire>", into = "Vec<Wire>")]
pub struct IdMap(Vec<IdMapEntry>);

/// The value of `raw.idmap`: entries to lay over the map that was allocated.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RawIdMap(Vec<IdMapEntry>);

impl IdMapEntry {
    fn last_inside(&self) -> u32 {
        self.inside + (self.count - 1)
    }

    fn last_host(&self) -> u32 {
        self.host + (self.count - 1)
    }

    /// The part of this entry from the id `first` to `last` inside, when there is one.
    fn part(&self, first: u64, last: u64) -> Option<Self> {
        let first = first.max(self.inside.into());
        let last = last.min(self.last_inside().into());
        (first <= last).then(|| {
            // Both lie within this entry, so they fit in 32 bits again.
            let inside = first as u32;
            Self {
                host: self.host + (inside - self.inside),
                inside,
                count: (last - first + 1) as u32,
                ..*self
            }
        })
    }

    fn is_valid(&self) -> bool {
        let fits = |first: u32| u64::from(first) + u64::from(self.count) <= u64::from(u32::MAX);
        self.count > 0 && fits(self.host) && fits(self.inside)
    }
}

impl IdMap {
    /// The map that gives `count` users and groups from 0 the ids from `host` on.
    ///
    /// # Errors
    /// A range that is empty or passes the last id.
    pub fn range(host: u32, count: u32) -> Result<Self, ValueError> {
        let entry = |kind| IdMapEntry { kind, host, inside: 0, count };
        if !entry(IdKind::Uid).is_valid() {
            return Err(ValueError(format!("Invalid ID map range \"{host}+{count}\"")));
        }
        Ok(Self(vec![entry(IdKind::Uid), entry(IdKind::Gid)]))
    }

    /// The entries, users first.
    pub fn entries(&self) -> &[IdMapEntry] {
        &self.0
    }

    /// Whether nothing is mapped: the map of a privileged container.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The id on the host that stands for `id` inside; `None` when it is not mapped.
    pub fn to_host(&self, kind: IdKind, id: u32) -> Option<u32> {
        let entry = self.0.iter().find(|e| e.kind == kind && (e.inside..=e.last_inside()).contains(&id))?;
        Some(entry.host + (id - entry.inside))
    }

    /// The id inside for which `id` of the host stands; `None` when it is not mapped.
    pub fn to_inside(&self, kind: IdKind, id: u32) -> Option<u32> {
        let entry = self.0.iter().find(|e| e.kind == kind && (e.host..=e.last_host()).contains(&id))?;
        Some(entry.inside + (id - entry.host))
    }

    /// Lays the entries of `raw.idmap` over this map: what they name inside is taken out of it first.
    ///
    /// # Errors
    /// A host range of an entry is mapped already.
    pub fn overlay(&self, raw: &RawIdMap) -> Result<Self, ValueError> {
        let mut map = self.0.clone();
        for entry in &raw.0 {
            let taken = |e: &IdMapEntry| {
                e.kind == entry.kind && e.host <= entry.last_host() && entry.host <= e.last_host()
            };
            if map.iter().any(taken) {
                return Err(ValueError::new("Host id is in the range of subids"));
            }
            map = map.iter().flat_map(|e| cut(e, entry)).collect();
            map.push(*entry);
        }
        map.sort_by_key(|e| (e.kind == IdKind::Gid, e.inside));
        Ok(Self(map))
    }
}

/// What is left of `entry` when the ids inside that `hole` names are taken out.
fn cut(entry: &IdMapEntry, hole: &IdMapEntry) -> Vec<IdMapEntry> {
    if entry.kind != hole.kind {
        return vec![*entry];
    }
    let before = u64::from(hole.inside).checked_sub(1).and_then(|last| entry.part(0, last));
    let after = entry.part(u64::from(hole.last_inside()) + 1, u64::MAX);
    before.into_iter().chain(after).collect()
}

impl RawIdMap {
    /// The entries, in the order of the text; `both` gave two of them.
    pub fn entries(&self) -> &[IdMapEntry] {
        &self.0
    }
}

impl FromStr for RawIdMap {
    type Err = ValueError;

    /// Reads lines like `both 1000 1000` and `uid 50-60 500-510` (host, inside). Empty lines do not count.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mut entries = Vec::new();
        for line in text.split('\n').filter(|line| !line.is_empty()) {
            raw_line(line, &mut entries)?;
        }
        Ok(Self(entries))
    }
}

fn raw_line(line: &str, entries: &mut Vec<IdMapEntry>) -> Result<(), ValueError> {
    let words: Vec<&str> = line.split(' ').collect();
    let [kind, host, inside] = words[..] else {
        return Err(ValueError(format!("Invalid ID map line {line:?}")));
    };
    let (host, count) = raw_range(host)?;
    let (inside, inside_count) = raw_range(inside)?;
    if count != inside_count {
        return Err(ValueError(format!("The ID map ranges are of different sizes {line:?}")));
    }
    let kinds: &[IdKind] = match kind {
        "both" => &[IdKind::Uid, IdKind::Gid],
        "uid" => &[IdKind::Uid],
        "gid" => &[IdKind::Gid],
        _ => return Err(ValueError(format!("Invalid ID map type {line:?}"))),
    };
    entries.extend(kinds.iter().map(|kind| IdMapEntry { kind: *kind, host, inside, count }));
    Ok(())
}

/// First id and number of ids of `5` or `5-9`.
fn raw_range(text: &str) -> Result<(u32, u32), ValueError> {
    let number = |digits: &str| -> Result<u32, ValueError> {
        digits
            .parse()
            .map_err(|_| ValueError(format!("strconv.ParseInt: parsing {digits:?}: invalid syntax")))
    };
    let invalid = || ValueError(format!("Invalid ID Map range {text:?}"));
    let words: Vec<&str> = text.split('-').collect();
    let (first, last) = match words[..] {
        [one] => (number(one)?, number(one)?),
        [first, last] => (number(first)?, number(last)?),
        _ => return Err(invalid()),
    };
    if last < first || last == u32::MAX {
        return Err(invalid());
    }
    Ok((first, last - first + 1))
}

/// The form in which volatile keys and backups keep an entry.
#[derive(Deserialize, Serialize)]
struct Wire {
    #[serde(rename = "Isuid")]
    uid: bool,
    #[serde(rename = "Isgid")]
    gid: bool,
    #[serde(rename = "Hostid")]
    host: i64,
    #[serde(rename = "Nsid")]
    inside: i64,
    #[serde(rename = "Maprange")]
    count: i64,
}

impl From<IdMap> for Vec<Wire> {
    fn from(map: IdMap) -> Self {
        let wire = |e: IdMapEntry| Wire {
            uid: e.kind == IdKind::Uid,
            gid: e.kind == IdKind::Gid,
            host: e.host.into(),
            inside: e.inside.into(),
            count: e.count.into(),
        };
        map.0.into_iter().map(wire).collect()
    }
}

impl TryFrom<Vec<Wire>> for IdMap {
    type Error = ValueError;

    /// Entries of both kinds become two, and repeated ones one: other servers write such maps.
    fn try_from(wires: Vec<Wire>) -> Result<Self, ValueError> {
        let mut map = Vec::new();
        for wire in wires {
            for kind in [(wire.uid, IdKind::Uid), (wire.gid, IdKind::Gid)].iter().filter(|k| k.0).map(|k| k.1)
            {
                let entry = wire.entry(kind)?;
                if !map.contains(&entry) {
                    map.push(entry);
                }
            }
        }
        Ok(Self(map))
    }
}

impl Wire {
    fn entry(&self, kind: IdKind) -> Result<IdMapEntry, ValueError> {
        let number = |value: i64| u32::try_from(value).map_err(|_| ValueError(format!("Invalid ID {value}")));
        let entry = IdMapEntry {
            kind,
            host: number(self.host)?,
            inside: number(self.inside)?,
            count: number(self.count)?,
        };
        if entry.is_valid() { Ok(entry) } else { Err(ValueError::new("Invalid ID map entry")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(kind: IdKind, host: u32, inside: u32, count: u32) -> IdMapEntry {
        IdMapEntry { kind, host, inside, count }
    }

    #[test]
    fn raw_entries_are_cut_out_of_the_map() {
        let raw: RawIdMap = "both 1000 1000\nuid 50-60 500-510\n".parse().unwrap();
        let map = IdMap::range(100_000, 65_536).unwrap().overlay(&raw).unwrap();
        let uid = |host, inside, count| entry(IdKind::Uid, host, inside, count);
        let gid = |host, inside, count| entry(IdKind::Gid, host, inside, count);
        assert_eq!(
            map.entries(),
            [
                uid(100_000, 0, 500),
                uid(50, 500, 11),
                uid(100_511, 511, 489),
                uid(1000, 1000, 1),
                uid(101_001, 1001, 64_535),
                gid(100_000, 0, 1000),
                gid(1000, 1000, 1),
                gid(101_001, 1001, 64_535),
            ]
        );
        assert_eq!(map.to_host(IdKind::Uid, 505), Some(55));
        assert_eq!(map.to_inside(IdKind::Gid, 101_002), Some(1002));
        assert_eq!(map.to_inside(IdKind::Gid, 55), None);
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (text, reason) in [
            ("both x y", "strconv.ParseInt: parsing \"x\": invalid syntax"),
            ("x 1 1", "Invalid ID map type \"x 1 1\""),
            ("both  1 1", "Invalid ID map line \"both  1 1\""),
            ("both\t1 1", "Invalid ID map line \"both\\t1 1\""),
            ("uid 50-60 500", "The ID map ranges are of different sizes \"uid 50-60 500\""),
            ("both 1-2-3 1-2-3", "Invalid ID Map range \"1-2-3\""),
            ("both -1 1", "strconv.ParseInt: parsing \"\": invalid syntax"),
            ("both 1-0 1-0", "Invalid ID Map range \"1-0\""),
        ] {
            assert_eq!(text.parse::<RawIdMap>().unwrap_err().0, reason);
        }
        let raw: RawIdMap = "both 100005 5".parse().unwrap();
        let error = IdMap::range(100_000, 65_536).unwrap().overlay(&raw).unwrap_err();
        assert_eq!(error.0, "Host id is in the range of subids");
        assert!(IdMap::range(u32::MAX, 1).is_err() && IdMap::range(0, 0).is_err());
    }

    proptest! {
        #[test]
        fn an_overlay_maps_what_it_says(host in 0u32..90_000, inside in 0u32..70_000, count in 1u32..9000) {
            let text = format!("uid {host}-{} {inside}-{}", host + count - 1, inside + count - 1);
            let base = IdMap::range(100_000, 65_536).unwrap();
            let map = base.overlay(&text.parse().unwrap()).unwrap();
            for id in [0, inside, inside + count - 1, 65_535] {
                let wanted = match (inside..inside + count).contains(&id) {
                    true => Some(host + (id - inside)),
                    false => base.to_host(IdKind::Uid, id),
                };
                prop_assert_eq!(map.to_host(IdKind::Uid, id), wanted);
                prop_assert_eq!(map.to_host(IdKind::Gid, id), base.to_host(IdKind::Gid, id));
            }
        }

        #[test]
        fn no_text_panics(text in "[a-z0-9 \n-]*") {
            let _ = text.parse::<RawIdMap>();
        }

        #[test]
        fn an_accepted_map_is_read_back(
            lines in proptest::collection::vec("(uid|gid|both) [0-9]{1,10}(-[0-9]{1,10})? [0-9]{1,10}", 0..6),
            host: u32,
            count: u32,
            any: String,
        ) {
            let _ = any.parse::<RawIdMap>();
            let (Ok(raw), Ok(base)) = (lines.join("\n").parse::<RawIdMap>(), IdMap::range(host, count)) else {
                return Ok(());
            };
            if let Ok(map) = base.overlay(&raw) {
                let text = serde_json::to_string(&map).unwrap();
                prop_assert_eq!(serde_json::from_str::<IdMap>(&text).unwrap(), map);
            }
        }

        #[test]
        fn any_stored_map_is_read(host: i64, inside: i64, near in u32::MAX - 9..=u32::MAX, count in 0i64..20) {
            for (host, inside) in [(host, inside), (near.into(), 0), (0, near.into())] {
                let text = format!(r#"[{{"Isuid":true,"Isgid":true,"Hostid":{host},"Nsid":{inside},"Maprange":{count}}}]"#);
                if let Ok(map) = serde_json::from_str::<IdMap>(&text) {
                    let first = map.entries()[0];
                    let (outside, within) = (first.host + first.count - 1, first.inside + first.count - 1);
                    prop_assert_eq!(map.to_host(IdKind::Uid, within), Some(outside));
                    prop_assert_eq!(map.to_inside(IdKind::Gid, outside), Some(within));
                }
            }
        }
    }
}
