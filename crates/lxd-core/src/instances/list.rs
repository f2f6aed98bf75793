//! `GET /1.0/instances` and `GET /1.0/instances/{name}`.

use std::sync::Arc;

use lxd_auth::Permit;
use lxd_db::instances;
use lxd_types::names::InstanceName;
use lxd_types::{InstanceKind, Result};

use super::list_cache::{self, Single};
use super::listed::{Listed, Shown};
use super::{InstanceKey, full};
use crate::SharedCore;

/// Which instances are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct List {
    /// Of one kind only.
    pub kind: Option<InstanceKind>,
    /// Of all projects that the caller may see.
    pub all_projects: bool,
}

/// Instances that were found, sorted by project and name.
pub struct Found<'c> {
    core: &'c SharedCore,
    all: Arc<Listed>,
    /// Which of them.
    places: Vec<usize>,
}

/// The instances that the caller may see.
///
/// # Errors
/// A failure of the database.
pub async fn list<'c>(core: &'c SharedCore, permit: &Permit, wanted: List) -> Result<Found<'c>> {
    let project = permit.project();
    let (caller, kind) = (permit.caller(), wanted.kind.map(kind_number));
    let all = list_cache::all(core).await?;
    let shown = |(place, one): (usize, Shown<'_>)| {
        let wanted = (wanted.all_projects || one.key().project == *project)
            && kind.is_none_or(|kind| kind == one.kind())
            && caller.sees(one.key().project.as_str());
        wanted.then_some(place)
    };
    let places = all.iter().enumerate().filter_map(shown).collect();
    Ok(Found { core, all, places })
}

impl Found<'_> {
    /// Keeps those whose object passes.
    ///
    /// # Errors
    /// What `passes` answers.
    pub fn retain(&mut self, mut passes: impl FnMut(&[u8]) -> Result<bool>) -> Result<()> {
        let (mut kept, mut object) = (Vec::new(), Vec::new());
        for place in &self.places {
            object.clear();
            let one = self.all.at(*place);
            one.write(self.core.runtime.status(one.key()), &mut object);
            if passes(&object)? {
                kept.push(*place);
            }
        }
        self.places = kept;
        Ok(())
    }

    /// Projects and names.
    pub fn keys(&self) -> impl Iterator<Item = &InstanceKey> {
        self.shown().map(|one| one.key())
    }

    /// Writes the objects as a JSON array.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, one) in self.shown().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            one.write(self.core.runtime.status(one.key()), out);
        }
        out.push(b']');
    }

    /// Writes the objects with their run-time state as a JSON array.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn write_full(&self, out: &mut Vec<u8>) -> Result<()> {
        out.push(b'[');
        full::write(self.core, &self.shown().collect::<Vec<_>>(), out).await?;
        out.push(b']');
        Ok(())
    }

    fn shown(&self) -> impl Iterator<Item = Shown<'_>> {
        self.places.iter().map(|place| self.all.at(*place))
    }
}

/// One instance.
pub struct One<'c> {
    core: &'c SharedCore,
    single: Arc<Single>,
}

/// One instance.
///
/// # Errors
/// Not found.
pub async fn get<'c>(core: &'c SharedCore, permit: &Permit, name: &InstanceName) -> Result<One<'c>> {
    let single = list_cache::single(core, &InstanceKey::new(permit.project(), name)).await?;
    Ok(One { core, single })
}

impl One<'_> {
    /// The JSON of the members that can be changed: the version of the object is a hash of it.
    pub fn fields(&self) -> &[u8] {
        &self.single.fields
    }

    /// Writes the object.
    pub fn write(&self, out: &mut Vec<u8>) {
        for one in self.single.listed.iter() {
            one.write(self.core.runtime.status(one.key()), out);
        }
    }

    /// Writes the object with its run-time state.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn write_full(&self, out: &mut Vec<u8>) -> Result<()> {
        full::write(self.core, &self.single.listed.iter().collect::<Vec<_>>(), out).await
    }
}

/// The number of a kind in the database.
pub(super) fn kind_number(kind: InstanceKind) -> i64 {
    match kind {
        InstanceKind::Container => instances::CONTAINER,
        InstanceKind::VirtualMachine => instances::VIRTUAL_MACHINE,
    }
}
