//! `recursion=2`: instances with their run-time state and snapshots.

use futures_util::{StreamExt, stream};
use lxd_api::instance_state::InstanceState;
use lxd_types::Result;

use super::listed::Shown;
use super::{snapshots, state};
use crate::SharedCore;

/// States that are read at once.
const WIDTH: usize = 8;

/// Writes the objects with their run-time state, with commas between. Stopped instances cost nothing; one that does
/// not answer has no state.
///
/// # Errors
/// The database cannot be read.
pub(super) async fn write(core: &SharedCore, all: &[Shown<'_>], out: &mut Vec<u8>) -> Result<()> {
    let snapshots = snapshots::of_many(core, all.iter().map(Shown::id).collect()).await?;
    let states: Vec<_> = all.iter().map(|one| state_of(core, *one)).collect();
    let mut states = stream::iter(states).buffered(WIDTH);
    let mut first = true;
    for one in all {
        let state = states.next().await.unwrap_or_default();
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        let snapshots = snapshots.get(&one.id()).map_or(&[][..], Vec::as_slice);
        one.write_full(core.runtime.status(one.key()), &state, snapshots, out)?;
    }
    Ok(())
}

async fn state_of(core: &SharedCore, one: Shown<'_>) -> InstanceState {
    state::of(core, one.key(), one.nics()).await.unwrap_or_else(|error| {
        tracing::warn!(instance = %one.key(), error = error.chain(), "The state of an instance cannot be read");
        InstanceState::default()
    })
}
