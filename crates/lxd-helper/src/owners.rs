//! Owners of files that a host shifted on disk, as they are inside the instance: ids of files, of access lists, and of the root
//! that file capabilities are for. Pure.

use lxd_types::{IdKind, IdMap};

/// Who owns what the map has no id for: what the instance saw as well.
const NOBODY: u32 = 65_534;

/// `security.capability` of version 2 and 3: the second has the id of a root at its end.
const CAPABILITY_2: (u32, usize) = (0x0200_0000, 20);
const CAPABILITY_3: (u32, usize) = (0x0300_0000, 24);

/// Tags of access lists whose entries name somebody.
const ACL_USER: u16 = 2;
const ACL_GROUP: u16 = 8;

/// Bytes of the version and of each entry of an access list.
const ACL_HEAD: usize = 4;
const ACL_ENTRY: usize = 8;

/// The id inside; itself when nothing is shifted.
pub fn inside(map: &IdMap, kind: IdKind, id: u32) -> u32 {
    if map.is_empty() { id } else { map.to_inside(kind, id).unwrap_or(NOBODY) }
}

/// An extended attribute as it is inside. Those without ids, and damaged ones (the kernel refuses them), stay as they are.
pub fn attribute(map: &IdMap, name: &[u8], value: &[u8]) -> Vec<u8> {
    let changed = match name {
        _ if map.is_empty() => None,
        b"security.capability" => capability(map, value),
        b"system.posix_acl_access" | b"system.posix_acl_default" => access_list(map, value),
        _ => None,
    };
    changed.unwrap_or_else(|| value.to_vec())
}

/// Capabilities for the root of the map become such for every root; those for another one are left.
fn capability(map: &IdMap, value: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| Some(u32::from_le_bytes(value.get(at..at + 4)?.try_into().ok()?));
    let flags = word(0)?;
    if value.len() != CAPABILITY_3.1 || flags & 0xff00_0000 != CAPABILITY_3.0 {
        return None;
    }
    let root = map.to_inside(IdKind::Uid, word(20)?)?;
    let mut new = value.to_vec();
    if root == 0 {
        new.truncate(CAPABILITY_2.1);
        new[..4].copy_from_slice(&(CAPABILITY_2.0 | (flags & 0x00ff_ffff)).to_le_bytes());
    } else {
        new[20..].copy_from_slice(&root.to_le_bytes());
    }
    Some(new)
}

fn access_list(map: &IdMap, value: &[u8]) -> Option<Vec<u8>> {
    let mut new = value.to_vec();
    for entry in new.get_mut(ACL_HEAD..)?.chunks_exact_mut(ACL_ENTRY) {
        let kind = match u16::from_le_bytes([entry[0], entry[1]]) {
            ACL_USER => IdKind::Uid,
            ACL_GROUP => IdKind::Gid,
            _ => continue,
        };
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        entry[4..].copy_from_slice(&inside(map, kind, id).to_le_bytes());
    }
    Some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> IdMap {
        IdMap::range(100_000, 65_536).unwrap()
    }

    #[test]
    fn ids_are_those_of_the_inside() {
        assert_eq!(inside(&map(), IdKind::Uid, 101_000), 1000);
        assert_eq!(inside(&map(), IdKind::Gid, 0), NOBODY);
        assert_eq!(inside(&IdMap::default(), IdKind::Uid, 7), 7);
    }

    #[test]
    fn capabilities_of_the_root_of_the_map_are_of_every_root() {
        // `cap_net_raw=ep`, for the root 100000.
        let body = [0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let of = |flags: u32, root: Option<u32>| {
            let root = root.map(u32::to_le_bytes);
            [&flags.to_le_bytes()[..], &body, root.as_ref().map_or(&[], |root| &root[..])].concat()
        };
        let name = b"security.capability";
        assert_eq!(attribute(&map(), name, &of(0x0300_0001, Some(100_000))), of(0x0200_0001, None));
        assert_eq!(attribute(&map(), name, &of(0x0300_0001, Some(100_005))), of(0x0300_0001, Some(5)));
        for kept in [of(0x0200_0001, None), of(0x0300_0001, Some(7)), vec![1, 2, 3]] {
            assert_eq!(attribute(&map(), name, &kept), kept);
        }
    }

    #[test]
    fn access_lists_name_those_inside() {
        let list = |user: u32, group: u32| {
            let entry = |tag: u16, id: u32| {
                [&tag.to_le_bytes()[..], &6_u16.to_le_bytes(), &id.to_le_bytes()].concat()
            };
            let parts = [
                2_u32.to_le_bytes().to_vec(),
                entry(1, u32::MAX),
                entry(2, user),
                entry(8, group),
                entry(32, u32::MAX),
            ];
            parts.concat()
        };
        let name = b"system.posix_acl_access";
        assert_eq!(attribute(&map(), name, &list(101_000, 100_005)), list(1000, 5));
        assert_eq!(attribute(&map(), b"user.list", &list(101_000, 5)), list(101_000, 5));
    }

    #[test]
    fn whatever_an_archive_says_is_read() {
        for length in 0..64 {
            for byte in [0, 2, 8, 255] {
                for name in [&b"security.capability"[..], b"system.posix_acl_default"] {
                    assert!(attribute(&map(), name, &vec![byte; length]).len() <= length);
                }
            }
        }
    }
}
