//! Capabilities of the calling thread.

use std::io;

pub use rustix::thread::{CapabilitySet, CapabilitySets};

/// Whether the calling thread has a capability (`CapabilitySet::SYS_ADMIN` …) in effect.
pub fn has(capability: CapabilitySet) -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(capability))
}

/// Gives up every capability but `keep`: from the bounding, ambient, inheritable, permitted and effective sets; sets
/// "no new privileges". For a helper before it touches foreign input. Only the calling thread: call it before others are
/// started.
///
/// # Errors
/// As `capset` and `prctl`.
pub fn keep_only(keep: CapabilitySet) -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    rustix::thread::clear_ambient_capability_set()?;
    for number in 0..64_u32 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::capability_is_in_bounding_set(one) {
            Ok(true) if !keep.contains(one) => rustix::thread::remove_capability_from_bounding_set(one)?,
            Ok(_) => {}
            Err(_) => break, // The kernel knows no more.
        }
    }
    let now = rustix::thread::capabilities(None)?;
    let left = now.permitted & keep;
    let sets = CapabilitySets { effective: left, permitted: left, inheritable: CapabilitySet::empty() };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}
