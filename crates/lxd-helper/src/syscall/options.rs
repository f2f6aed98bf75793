//! What a caller of `mount` may ask for, in the words of the new mount API. Pure.

use std::io;

use super::errno;
use super::known::is_known;

/// Types whose owners are options, as they have none on disk.
const OWNED: &[&str] = &["exfat", "hugetlbfs", "msdos", "ntfs3", "vfat"];

/// Flags of `mount` that are attributes of the mount.
const ATTRIBUTES: &[(u64, u64)] = &[
    (libc::MS_RDONLY, libc::MOUNT_ATTR_RDONLY),
    (libc::MS_NOSUID, libc::MOUNT_ATTR_NOSUID),
    (libc::MS_NODEV, libc::MOUNT_ATTR_NODEV),
    (libc::MS_NOEXEC, libc::MOUNT_ATTR_NOEXEC),
    (libc::MS_NOATIME, libc::MOUNT_ATTR_NOATIME),
    (libc::MS_NODIRATIME, libc::MOUNT_ATTR_NODIRATIME),
    (libc::MS_STRICTATIME, libc::MOUNT_ATTR_STRICTATIME),
    (MS_NOSYMFOLLOW, libc::MOUNT_ATTR_NOSYMFOLLOW),
];

/// Flags of `mount` that are options of the file system.
const SUPERBLOCK: &[(u64, &str)] = &[
    (libc::MS_RDONLY, "ro"),
    (libc::MS_SYNCHRONOUS, "sync"),
    (libc::MS_MANDLOCK, "mand"),
    (libc::MS_DIRSYNC, "dirsync"),
    (libc::MS_LAZYTIME, "lazytime"),
];

/// Flags without effect.
const IGNORED: u64 = libc::MS_SILENT | libc::MS_RELATIME | MS_MAGIC;

const MS_NOSYMFOLLOW: u64 = 256;

/// Old programs put this into the upper half.
const MS_MAGIC: u64 = 0xc0ed_0000;

/// An option with its value, if it has one.
pub type Parameter = (String, Option<String>);

/// What is to be mounted how.
#[derive(Debug, Eq, PartialEq)]
pub struct Options {
    /// Options of the type and of the superblock.
    pub parameters: Vec<Parameter>,
    /// `MOUNT_ATTR_…`
    pub attributes: u32,
}

/// Reads flags and options of `mount`. `owner` makes ids of the inside, the default being root, ids of the host; without it they
/// are left as they are.
///
/// # Errors
/// `EINVAL` for flags that are none, `EPERM` for options that a container may not set.
pub fn parse(
    kind: &str,
    flags: u64,
    data: &str,
    owner: Option<impl Fn(u32, u32) -> io::Result<(u32, u32)>>,
) -> io::Result<Options> {
    let mut parameters = superblock(flags)?;
    let (mut uid, mut gid) = (0, 0);
    let number =
        |text: Option<&str>| text.and_then(|text| text.parse().ok()).ok_or_else(|| errno(libc::EINVAL));
    let owned = owner.filter(|_| OWNED.contains(&kind));
    let extended = matches!(kind, "ext2" | "ext3" | "ext4");
    let mut on_errors = false;
    for option in data.split(',').filter(|option| !option.is_empty()) {
        let (name, value) =
            option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        match name {
            "uid" if owned.is_some() => uid = number(value)?,
            "gid" if owned.is_some() => gid = number(value)?,
            // The whole host would stop.
            "errors" if value == Some("panic") => return Err(errno(libc::EPERM)),
            // Among them "rw" and its like: how the device was opened follows from the flags alone.
            name if !is_known(kind, name) => return Err(errno(libc::EPERM)),
            name => {
                on_errors |= name == "errors";
                parameters.push((name.to_owned(), value.map(str::to_owned)));
            }
        }
    }
    if let Some(owner) = owned {
        let (uid, gid) = owner(uid, gid)?;
        parameters.push(("uid".to_owned(), Some(uid.to_string())));
        parameters.push(("gid".to_owned(), Some(gid.to_string())));
    }
    // What is recorded in the file system, by its owner, may be that a fault stops the host.
    if extended && !on_errors {
        parameters.push(("errors".to_owned(), Some("remount-ro".to_owned())));
    }
    Ok(Options { parameters, attributes: attributes(flags)? })
}

fn superblock(flags: u64) -> io::Result<Vec<Parameter>> {
    let known = |all: u64, bit: &u64| all | bit;
    let all = SUPERBLOCK.iter().map(|(bit, _)| bit).chain(ATTRIBUTES.iter().map(|(bit, _)| bit));
    if flags & !all.fold(IGNORED, known) != 0 {
        return Err(errno(libc::EINVAL));
    }
    let set = SUPERBLOCK.iter().filter(|(bit, _)| flags & bit != 0);
    Ok(set.map(|(_, name)| ((*name).to_owned(), None)).collect())
}

/// A node on what a container may write would open a device of the host to it: nodes never work.
fn attributes(flags: u64) -> io::Result<u32> {
    let set = ATTRIBUTES.iter().filter(|(bit, _)| flags & bit != 0);
    let all = set.fold(libc::MOUNT_ATTR_NODEV, |all, (_, attribute)| all | attribute);
    u32::try_from(all).map_err(|_| errno(libc::EINVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    type NoOwner = fn(u32, u32) -> io::Result<(u32, u32)>;

    fn texts(options: &Options) -> String {
        let one = |(name, value): &Parameter| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        };
        options.parameters.iter().map(one).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn flags_become_attributes_and_options() {
        let flags = libc::MS_RDONLY | libc::MS_NOEXEC | libc::MS_LAZYTIME | libc::MS_SILENT | MS_MAGIC;
        let options = parse("xfs", flags, "logbsize=b=c,,noquota", None::<NoOwner>).unwrap();
        assert_eq!(texts(&options), "ro,lazytime,logbsize=b=c,noquota");
        let wanted = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOEXEC | libc::MOUNT_ATTR_NODEV;
        assert_eq!(u64::from(options.attributes), wanted);
        let error = parse("xfs", libc::MS_BIND, "", None::<NoOwner>).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn the_host_stays_out_of_it() {
        for (kind, data) in [
            ("ext4", "errors=panic"),
            ("ext4", "journal_dev=0x801"),
            ("ext4", "journal_path=/x"),
            ("ext4", "acl,source=/dev/sda"),
            ("ext4", "rw"),
            ("ext4", "ro"),
            ("xfs", "noquota,sync"),
            ("xfs", "logdev=/dev/sda"),
            ("btrfs", "device=/dev/sda"),
            ("btrfs", "lazytime"),
            ("hugetlbfs", "min_size=1G"),
            ("ext4", "pagesize=2M"),
            ("nosuchfs", "acl"),
        ] {
            let error = parse(kind, 0, data, None::<NoOwner>).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{kind} {data}");
        }
        assert_eq!(texts(&parse("ext4", 0, "", None::<NoOwner>).unwrap()), "errors=remount-ro");
        assert_eq!(texts(&parse("ext4", 0, "errors=continue", None::<NoOwner>).unwrap()), "errors=continue");
    }

    #[test]
    fn owners_are_those_of_the_inside() {
        let owner = |uid: u32, gid: u32| Ok((1_000_000 + uid, 2_000_000 + gid));
        let options = parse("hugetlbfs", 0, "pagesize=2M,gid=5", Some(owner)).unwrap();
        assert_eq!(texts(&options), "pagesize=2M,uid=1000000,gid=2000005");
        assert_eq!(texts(&parse("vfat", 0, "uid=7,umask=022", None::<NoOwner>).unwrap()), "uid=7,umask=022");
        assert!(parse("vfat", 0, "uid=x", Some(owner)).is_err());
    }
}
