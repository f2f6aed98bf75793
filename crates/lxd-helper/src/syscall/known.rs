//! Options of file systems that a container may set: those that concern nothing but what is mounted. Others are refused, unknown
//! ones too (security rule R6).

/// Whether a container may set the option of the type.
pub fn is_known(kind: &str, option: &str) -> bool {
    let of = OPTIONS.iter().filter(|(kinds, _)| kinds.split(' ').any(|known| known == kind));
    of.flat_map(|(_, options)| options.split_whitespace()).any(|known| known == option)
}

/// Types, and their options.
const OPTIONS: &[(&str, &str)] = &[
    (
        "ext2 ext3 ext4",
        "acl noacl user_xattr nouser_xattr errors grpid nogrpid bsdgroups sysvgroups bsddf minixdf nouid32 quota noquota \
         usrquota grpquota prjquota discard nodiscard",
    ),
    (
        "ext3 ext4",
        "barrier nobarrier commit data noload norecovery delalloc nodelalloc auto_da_alloc noauto_da_alloc dioread_lock \
         dioread_nolock init_itable noinit_itable max_batch_time min_batch_time stripe i_version journal_checksum \
         nojournal_checksum journal_async_commit block_validity noblock_validity max_dir_size_kb",
    ),
    (
        "xfs",
        "allocsize attr2 noattr2 discard nodiscard grpid nogrpid bsdgroups sysvgroups filestreams ikeep noikeep inode32 \
         inode64 largeio nolargeio logbufs logbsize noalign norecovery nouuid noquota quota uquota usrquota gquota grpquota \
         pquota prjquota uqnoenforce gqnoenforce pqnoenforce qnoenforce sunit swidth swalloc wsync",
    ),
    (
        "btrfs",
        "acl noacl autodefrag noautodefrag barrier nobarrier clear_cache commit compress compress-force datacow nodatacow \
         datasum nodatasum degraded discard nodiscard flushoncommit noflushoncommit max_inline norecovery rescue \
         skip_balance space_cache nospace_cache ssd nossd ssd_spread nossd_spread subvol subvolid treelog notreelog \
         user_subvol_rm_allowed",
    ),
    ("exfat msdos ntfs3 vfat", "uid gid umask dmask fmask iocharset discard sys_immutable"),
    ("exfat msdos vfat", "allow_utime errors time_offset"),
    ("msdos vfat", "check codepage dots nodots flush quiet rodir showexec tz usefree"),
    ("vfat", "shortname uni_xlate nonumtail utf8"),
    ("exfat", "keep_last_dots sys_tz zero_size_dir"),
    ("ntfs3", "acl noacl force hide_dot_files nohidden nls prealloc showmeta sparse windows_names"),
    (
        "iso9660",
        "block check conv cruft dmode hide iocharset map mode nocompress nojoliet norock overriderockperm sbsector session \
         showassoc unhide utf8",
    ),
    (
        "udf",
        "adinicb noadinicb anchor bs dmode iocharset lastblock longad shortad mode nostrict session umask undelete unhide \
         utf8",
    ),
    ("squashfs", "errors"),
    ("erofs", "acl noacl cache_strategy user_xattr nouser_xattr"),
    (
        "f2fs",
        "acl noacl active_logs background_gc compress_algorithm discard nodiscard extent_cache noextent_cache flush_merge \
         noflush_merge inline_data noinline_data inline_dentry noinline_dentry inline_xattr noinline_xattr mode norecovery \
         user_xattr nouser_xattr",
    ),
    ("hugetlbfs", "gid mode nr_inodes pagesize size uid"),
    (
        "nfs nfs4",
        "ac noac acdirmax acdirmin acl noacl acregmax acregmin actimeo addr bsize clientaddr cto nocto hard lock nolock \
         local_lock lookupcache minorversion mountaddr mountport mountproto mountvers namlen nconnect nfsvers port proto \
         rdirplus nordirplus resvport noresvport retrans rsize sec sharecache nosharecache soft softerr tcp timeo udp vers \
         wsize",
    ),
    (
        "cifs smb3",
        "actimeo cache dir_mode dom domain file_mode forcegid forceuid hard iocharset ip mapchars mapposix nobrl nolease \
         noperm noserverino serverino password pass port prefixpath rsize sec seal sfu sign soft unc user username vers \
         wsize",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_the_type() {
        assert!(is_known("ext2", "acl") && is_known("ext4", "data") && is_known("vfat", "umask"));
        assert!(
            !is_known("ext2", "data")
                && !is_known("ext", "acl")
                && !is_known("", "acl")
                && !is_known("xfs", "")
        );
    }

    /// What leads to something else, reserves what others need, or says how a device is opened.
    #[test]
    fn no_type_has_these() {
        let refused = "device journal_dev journal_path logdev min_size rtdev source ro rw sync mand dirsync lazytime resuid resgid \
                       usrjquota grpjquota credentials";
        for (kinds, _) in OPTIONS {
            for kind in kinds.split(' ') {
                assert!(refused.split_whitespace().all(|option| !is_known(kind, option)), "{kind}");
            }
        }
    }
}
