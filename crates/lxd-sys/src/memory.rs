//! The C library's allocator, and the pages of the program.

/// Blocks from this size on are mapped one by one, and given back to the kernel when they are freed. Above what a request
/// reads and writes at once: mapping costs a page fault for every 4 KiB.
const MAPPED: i32 = 1 << 20;

/// Freed memory at the end of a pool that is kept for the next request.
const KEPT: i32 = 2 << 20;

/// Pools that threads allocate from, each of which keeps what was freed in it. Small blocks come from a store of each thread; the
/// pools beside the first grow by single pages, with a system call for each.
const POOLS: i32 = 1;

/// Lets a process with many threads keep little of what it has freed: a list of a thousand instances is a short peak.
/// To be called before there are threads.
pub fn keep_little() {
    let settings =
        [(libc::M_ARENA_MAX, POOLS), (libc::M_MMAP_THRESHOLD, MAPPED), (libc::M_TRIM_THRESHOLD, KEPT)];
    for (setting, value) in settings {
        // SAFETY: takes two numbers and checks them; one that is not known changes nothing.
        unsafe { libc::mallopt(setting, value) };
    }
}

/// Gives freed memory back to the kernel, wherever it lies. Takes about a millisecond.
pub fn give_back() {
    // SAFETY: takes a number; locks the pools by itself.
    unsafe { libc::malloc_trim(0) };
}

/// For a process that has nothing to do at present: gives freed memory back, and forgets the pages of the program and its
/// libraries. They stay in the page cache; those that are needed again are mapped again at their first use.
pub fn rest() {
    give_back();
    // SAFETY: the callback takes no data, unwinds never, and reads only what it is given.
    unsafe { libc::dl_iterate_phdr(Some(forget), std::ptr::null_mut()) };
}

/// Forgets the pages of one object that nobody can have written to.
unsafe extern "C" fn forget(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the C library hands out a valid object with as many headers as it says, for the time of this call.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    for header in headers.iter().filter(|header| is_constant(header)) {
        let (start, end) = (base + header.p_vaddr, base + header.p_vaddr + header.p_memsz);
        // Whole pages only: the last one may be shared with a segment that is written to.
        let (start, end) = (start.next_multiple_of(PAGE), end - end % PAGE);
        if start < end {
            let length = (end - start) as usize;
            // SAFETY: the range lies in a segment that is mapped from a file without the right to write, so each page is read
            // again from the file as it was. Where it is something else (the vDSO) the kernel refuses.
            unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
        }
    }
    0
}

/// Smallest pages of the machine; larger ones make the kernel refuse, which does no harm.
const PAGE: u64 = 4096;

/// Whether a segment is in the file as it is in memory: relocations touch only those that can be written to.
fn is_constant(header: &libc::Elf64_Phdr) -> bool {
    header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kilobytes of a line of `/proc/self/smaps_rollup`.
    fn rollup(name: &str) -> u64 {
        let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn a_resting_process_is_small_and_goes_on() {
        let text = "constant data".repeat(3);
        drop(vec![1_u8; 512 << 10]);
        let before = rollup("Rss:");
        rest();
        assert!(rollup("Rss:") < before, "{before} KiB");
        assert_eq!(text, format!("{0}{0}{0}", "constant data"));
        assert_eq!(std::thread::spawn(|| "7".parse::<u32>()).join().unwrap(), Ok(7));
    }
}
