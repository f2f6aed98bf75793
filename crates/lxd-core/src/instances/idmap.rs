//! Which host ids an unprivileged instance gets (manual 3.6.8). Pure, but for reading `/etc/subuid` and `/etc/subgid`.

use std::path::Path;

use lxd_db::{Tx, instances};
use lxd_types::idmap::{IdKind, IdMap, RawIdMap};
use lxd_types::{Config, ConfigExt, Error, Flag, Result, words};

/// Ids that an isolated instance gets when it names no size, and the least that any instance gets.
const POSIX_RANGE: u32 = 65_536;

/// The ranges of this host that instances may use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostIds {
    /// First user id and number of ids.
    pub users: (u32, u32),
    /// First group id and number of ids.
    pub groups: (u32, u32),
    /// No privileged instance may be made (`LXD_UNPRIVILEGED_ONLY`).
    pub unprivileged_only: bool,
}

impl HostIds {
    /// What a host without `/etc/subuid` and `/etc/subgid` uses.
    pub const ASSUMED: Self = Self {
        users: (1_000_000, 1_000_000_000),
        groups: (1_000_000, 1_000_000_000),
        unprivileged_only: false,
    };

    /// The ids of this host, and whether the administrator forbids privileged instances.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn of_host() -> Result<Self> {
        let only = std::env::var("LXD_UNPRIVILEGED_ONLY").is_ok_and(|value| words::is_true(&value));
        Ok(Self { unprivileged_only: only, ..Self::read(Path::new("/etc"))? })
    }

    /// Reads the allocations of `root` (or `lxd`).
    ///
    /// # Errors
    /// One of the files is missing while the other is there, or neither account has enough ids.
    fn read(etc: &Path) -> Result<Self> {
        let read = |name: &str| std::fs::read_to_string(etc.join(name)).ok();
        match (read("subuid"), read("subgid")) {
            (None, None) => Ok(Self::ASSUMED),
            (Some(users), Some(groups)) => {
                Ok(Self { users: allocation(&users)?, groups: allocation(&groups)?, ..Self::ASSUMED })
            }
            _ => Err(Error::internal(
                "Only one of /etc/subuid and /etc/subgid is there: give root a range in both",
            )),
        }
    }

    fn map(&self, base: u32, size: u32) -> Result<IdMap> {
        let offset = base - self.users.0;
        let text = format!(
            "[{{\"Isuid\":true,\"Isgid\":false,\"Hostid\":{},\"Nsid\":0,\"Maprange\":{size}}},\
              {{\"Isuid\":false,\"Isgid\":true,\"Hostid\":{},\"Nsid\":0,\"Maprange\":{size}}}]",
            base,
            self.groups.0 + offset
        );
        serde_json::from_str(&text).map_err(|e| Error::internal(format!("Invalid id map: {e}")))
    }
}

/// The first range of `root` or `lxd` that is large enough.
fn allocation(text: &str) -> Result<(u32, u32)> {
    let ranges = |account: &str| {
        text.lines().find_map(|line| {
            let mut fields = line.trim().split(':');
            let (name, first, count) = (fields.next()?, fields.next()?, fields.next()?);
            let range: (u32, u32) = (first.parse().ok()?, count.parse().ok()?);
            // No id may pass the last one, or sums would.
            let fits = range.0.checked_add(range.1).is_some();
            (name == account && range.1 >= POSIX_RANGE && fits).then_some(range)
        })
    };
    ranges("root").or_else(|| ranges("lxd")).ok_or_else(|| {
        Error::internal(
            "LXD doesn't have a uid/gid allocation. In this mode, only privileged containers are supported",
        )
    })
}

/// The map of an instance, from its effective configuration and the bases that other isolated instances have.
///
/// # Errors
/// No range is left, or a key does not fit the host's range.
pub fn plan(ids: &HostIds, config: &Config, taken: &[(u32, u32)]) -> Result<(IdMap, u32)> {
    if config.flag("security.privileged", Flag::DefaultFalse) {
        return Ok((IdMap::default(), 0));
    }
    let (first, count) = (ids.users.0, ids.users.1.min(ids.groups.1));
    let size: Option<u32> = config.set("security.idmap.size").and_then(|text| text.parse().ok());
    let (base, map) = if let Some(base) = config.set("security.idmap.base") {
        let base: u32 = base.parse().map_err(|_| Error::bad_request(format!("Invalid value: {base}")))?;
        let size = size.unwrap_or(POSIX_RANGE);
        if base < first || u64::from(base) + u64::from(size) > u64::from(first) + u64::from(count) {
            return Err(Error::bad_request("Not enough uid/gid available for the container"));
        }
        (base, ids.map(base, size)?)
    } else if config.flag("security.idmap.isolated", Flag::DefaultFalse) {
        let size = size.unwrap_or(POSIX_RANGE);
        let base = free_base(first, count, size, taken)
            .ok_or_else(|| Error::bad_request("Not enough uid/gid available for the container"))?;
        (base, ids.map(base, size)?)
    } else {
        let size = size.unwrap_or(count);
        if size > count {
            return Err(Error::bad_request("Not enough uid/gid available for the container"));
        }
        (0, ids.map(first, size)?)
    };
    Ok((with_raw(map, config)?, base))
}

/// A map with the ids that `raw.idmap` puts in other places.
fn with_raw(map: IdMap, config: &Config) -> Result<IdMap> {
    match config.set("raw.idmap") {
        Some(raw) => Ok(map.overlay(&raw.parse::<RawIdMap>()?)?),
        None => Ok(map),
    }
}

/// The lowest base above the shared range at which nobody else's range lies.
fn free_base(first: u32, count: u32, size: u32, taken: &[(u32, u32)]) -> Option<u32> {
    let end = u64::from(first) + u64::from(count);
    let mut taken: Vec<(u64, u64)> =
        taken.iter().map(|(base, size)| (u64::from(*base), u64::from(*base) + u64::from(*size))).collect();
    taken.sort_unstable();
    let mut base = u64::from(first) + u64::from(POSIX_RANGE);
    for (start, stop) in taken {
        if base + u64::from(size) <= start {
            break;
        }
        base = base.max(stop);
    }
    (base + u64::from(size) <= end).then(|| u32::try_from(base).ok()).flatten()
}

/// Base and size of a map in the database, for [`plan`]'s `taken`.
pub fn occupied(config: &Config) -> Option<(u32, u32)> {
    let base: u32 = config.get("volatile.idmap.base")?.parse().ok().filter(|base| *base > 0)?;
    let map: IdMap = serde_json::from_str(config.get("volatile.idmap.next")?).ok()?;
    let size = map.entries().iter().filter(|entry| entry.kind == IdKind::Uid).map(|entry| entry.count).sum();
    Some((base, size))
}

/// Gives an instance its map for the next start, with the facts of this transaction. One that has an isolated map that
/// still fits keeps it.
///
/// # Errors
/// The host has no ids for it.
pub fn assign(tx: &Tx<'_>, own: &mut Config, config: &Config, ids: &Result<HostIds, String>) -> Result<()> {
    if config.flag("security.privileged", Flag::DefaultFalse) {
        // One that has been privileged stays so (manual 3.6.6).
        let has_been = own.value("volatile.idmap.next") == "[]";
        if ids.as_ref().is_ok_and(|ids| ids.unprivileged_only) && !has_been {
            return Err(Error::bad_request("LXD was configured to only allow unprivileged containers"));
        }
        record(own, &IdMap::default(), 0);
        return Ok(());
    }
    let ids = ids.clone().map_err(Error::internal)?;
    let isolated = config.flag("security.idmap.isolated", Flag::DefaultFalse);
    let mut taken = Vec::new();
    if isolated && config.value("security.idmap.base").is_empty() {
        let uuid = own.value("volatile.uuid").to_owned();
        for other in instances::list(tx, instances::Filter::default())? {
            if other.config.value("volatile.uuid") != uuid {
                taken.extend(occupied(&other.config));
            }
        }
        if let Some((base, size)) = occupied(own)
            && config.value("security.idmap.size").parse().unwrap_or(POSIX_RANGE) == size
            && !taken.iter().any(|(b, s)| *b < base + size && base < b + s)
        {
            // `raw.idmap` may have changed.
            record(own, &with_raw(ids.map(base, size)?, config)?, base);
            return Ok(());
        }
    }
    let (map, base) = plan(&ids, config, &taken)?;
    record(own, &map, base);
    Ok(())
}

/// Sets the keys of a map that holds from the next start on.
pub fn record(own: &mut Config, map: &IdMap, base: u32) {
    let text = lxd_instance::keys::volatile::idmap_text(map);
    own.insert("volatile.idmap.base".to_owned(), base.to_string());
    own.insert("volatile.idmap.next".to_owned(), text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    const IDS: HostIds =
        HostIds { users: (100_000, 1_000_000), groups: (200_000, 1_000_000), unprivileged_only: false };

    #[test]
    fn shared_isolated_and_privileged() {
        let (shared, base) = plan(&IDS, &Config::new(), &[]).unwrap();
        assert_eq!(
            (base, shared.to_host(IdKind::Uid, 5), shared.to_host(IdKind::Gid, 5)),
            (0, Some(100_005), Some(200_005))
        );
        let isolated = config(&[("security.idmap.isolated", "true")]);
        assert_eq!(plan(&IDS, &isolated, &[]).unwrap().1, 165_536);
        assert_eq!(plan(&IDS, &isolated, &[(165_536, 65_536)]).unwrap().1, 231_072);
        assert!(plan(&IDS, &config(&[("security.privileged", "true")]), &[]).unwrap().0.is_empty());
    }

    #[test]
    fn raw_ids_take_the_place_of_others() {
        let raw = config(&[("security.idmap.isolated", "true"), ("raw.idmap", "both 1000 50")]);
        let (map, base) = plan(&IDS, &raw, &[]).unwrap();
        assert_eq!(
            (map.to_host(IdKind::Uid, 50), map.to_host(IdKind::Uid, 51)),
            (Some(1000), Some(base + 51))
        );
        let mut own = Config::new();
        record(&mut own, &map, base);
        assert_eq!(occupied(&own), Some((base, POSIX_RANGE)));
        assert_eq!(with_raw(IDS.map(base, POSIX_RANGE).unwrap(), &raw).unwrap(), map);
    }

    #[test]
    fn ranges_never_overlap_and_end_with_the_host_s() {
        let isolated = config(&[("security.idmap.isolated", "true")]);
        let mut taken = Vec::new();
        while let Ok((_, base)) = plan(&IDS, &isolated, &taken) {
            assert!(taken.iter().all(|(b, s)| base + 65_536 <= *b || b + s <= base));
            taken.push((base, 65_536));
        }
        assert_eq!(taken.len(), 14);
    }

    #[test]
    fn allocations_of_root_or_lxd_count() {
        assert_eq!(allocation("me:1:9\nroot:100000:65536\n").unwrap(), (100_000, 65_536));
        assert_eq!(allocation("lxd:5:70000").unwrap(), (5, 70_000));
        assert!(allocation("root:100000:1000").is_err());
    }

    proptest! {
        #[test]
        fn whatever_subuid_says_makes_valid_maps(
            any: String,
            lines in proptest::collection::vec("(root|lxd|x):[0-9]{1,10}:[0-9]{5,10}", 0..4),
            isolated: bool,
        ) {
            let _ = allocation(&any);
            let Ok(range) = allocation(&lines.join("\n")) else { return Ok(()) };
            prop_assert!(range.0.checked_add(range.1).is_some());
            let ids = HostIds { users: range, groups: range, unprivileged_only: false };
            let wanted = config(&[("security.idmap.isolated", if isolated { "true" } else { "false" })]);
            if let Ok((map, _)) = plan(&ids, &wanted, &[]) {
                let first = map.to_host(IdKind::Uid, 0).unwrap();
                prop_assert!(first >= range.0 && first - range.0 < range.1);
            }
        }
    }
}
