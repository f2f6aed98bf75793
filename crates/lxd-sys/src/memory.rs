//! The C library's allocator.

/// Blocks from this size on are mapped one by one, and given back to the kernel when they are freed.
const MAPPED: i32 = 256 << 10;

/// Most pools that threads allocate from, each of which keeps what was freed in it.
const POOLS: i32 = 2;

/// Lets a process with many threads keep little of what it has freed: a list of a thousand instances is a short peak.
/// To be called before there are threads.
pub fn keep_little() {
    let settings =
        [(libc::M_ARENA_MAX, POOLS), (libc::M_MMAP_THRESHOLD, MAPPED), (libc::M_TRIM_THRESHOLD, MAPPED)];
    for (setting, value) in settings {
        // SAFETY: takes two numbers and checks them; one that is not known changes nothing.
        unsafe { libc::mallopt(setting, value) };
    }
}
