//! Instances as they are sent, kept as text: only the status changes without a commit, and is filled in.

use std::collections::BTreeMap;
use std::ops::Range;

use lxd_api::StatusCode;
use lxd_api::instance::{Instance, InstanceSnapshot};
use lxd_api::instance_state::{InstanceState, InstanceStateNetwork};
use lxd_types::config::{ConfigExt, DeviceExt};
use lxd_types::{Error, Result};
use serde::Serialize;

use super::{InstanceKey, Model, instance_view};

/// How the members that are filled in stand in the text. No string can hold it: its quotes would be escaped.
const HOLE: &str = r#""status":"","status_code":0"#;

/// Instances, sorted by project and name.
#[derive(Debug, Default)]
pub struct Listed {
    /// The JSON of all, one after the other.
    text: Box<str>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    id: i64,
    key: InstanceKey,
    kind: i64,
    nics: Vec<NicNames>,
    /// Where its text is, and in it the hole.
    text: Range<usize>,
    hole: usize,
}

/// A NIC of an instance, inside and on the host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NicNames {
    hwaddr: String,
    host_name: String,
}

/// One instance of a list.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'l> {
    entry: &'l Entry,
    text: &'l str,
}

impl Listed {
    /// The instances in this order.
    ///
    /// # Errors
    /// One cannot be written as JSON.
    pub fn new<'m>(models: impl IntoIterator<Item = &'m Model>) -> Result<Self> {
        let (mut text, mut entries) = (Vec::new(), Vec::new());
        for model in models {
            let start = text.len();
            let view = Instance { status: String::new(), ..instance_view(model, StatusCode(0)) };
            write(&mut text, &view)?;
            entries.push((model, start..text.len()));
        }
        let text = String::from_utf8(text).map_err(|error| Error::internal(error.to_string()))?;
        let entry = |(model, range): (&Model, Range<usize>)| {
            let hole = text[range.clone()].rfind(HOLE);
            let hole = hole.ok_or_else(|| Error::internal("An instance was written without its status"))?;
            Ok(Entry {
                id: model.row.id,
                key: model.key.clone(),
                kind: model.row.kind,
                nics: NicNames::of(model),
                text: range,
                hole,
            })
        };
        let entries = entries.into_iter().map(entry).collect::<Result<_>>()?;
        Ok(Self { text: text.into(), entries })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Shown<'_>> {
        self.entries.iter().map(|entry| self.shown(entry))
    }

    /// That at this place.
    pub fn at(&self, place: usize) -> Shown<'_> {
        self.shown(&self.entries[place])
    }

    fn shown<'l>(&'l self, entry: &'l Entry) -> Shown<'l> {
        Shown { entry, text: &self.text[entry.text.clone()] }
    }
}

impl<'l> Shown<'l> {
    /// Its id.
    pub fn id(&self) -> i64 {
        self.entry.id
    }

    /// Project and name.
    pub fn key(&self) -> &'l InstanceKey {
        &self.entry.key
    }

    /// The number of its kind in the database.
    pub fn kind(&self) -> i64 {
        self.entry.kind
    }

    /// Its NICs.
    pub fn nics(&self) -> &'l [NicNames] {
        &self.entry.nics
    }

    /// Appends the object of `recursion=1`.
    pub fn write(&self, status: StatusCode, out: &mut Vec<u8>) {
        let (head, tail) = self.text.split_at(self.entry.hole);
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(b"\"status\":\"");
        out.extend_from_slice(status.text().as_bytes());
        out.extend_from_slice(b"\",\"status_code\":");
        out.extend_from_slice(status.0.to_string().as_bytes());
        out.extend_from_slice(&tail.as_bytes()[HOLE.len()..]);
    }

    /// Appends the object of `recursion=2`: the same and what is known at run time.
    ///
    /// # Errors
    /// The state cannot be written as JSON.
    pub fn write_full(
        &self,
        status: StatusCode,
        state: &InstanceState,
        snapshots: &[InstanceSnapshot],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.write(status, out);
        out.pop();
        out.extend_from_slice(b",\"backups\":null,\"state\":");
        write(out, state)?;
        out.extend_from_slice(b",\"snapshots\":");
        write(out, &(!snapshots.is_empty()).then_some(snapshots))?;
        out.push(b'}');
        Ok(())
    }
}

impl NicNames {
    fn of(model: &Model) -> Vec<Self> {
        let nics = model.devices.iter().filter(|(_, device)| device.kind() == "nic");
        let names = nics.map(|(name, device)| {
            let kept = |key: &str| model.row.config.value(&format!("volatile.{name}.{key}")).to_owned();
            let hwaddr = device.set("hwaddr").map_or_else(|| kept("hwaddr"), str::to_ascii_lowercase);
            Self { hwaddr, host_name: kept("host_name") }
        });
        names.filter(|nic| !nic.hwaddr.is_empty()).collect()
    }

    /// Adds to interfaces, as they were seen inside, their names on the host.
    pub fn add(nics: &[Self], found: &mut BTreeMap<String, InstanceStateNetwork>) {
        for nic in nics {
            if let Some(same) = found.values_mut().find(|interface| interface.hwaddr == nic.hwaddr) {
                same.host_name.clone_from(&nic.host_name);
            }
        }
    }
}

fn write(out: &mut Vec<u8>, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer(out, value)
        .map_err(|error| Error::internal(format!("Failed to write the answer: {error}")))
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use lxd_api::instance::InstanceFull;
    use lxd_db::instances;

    use super::*;

    fn model(name: &str, description: &str) -> Model {
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let config: lxd_types::Config = pairs(&[("user.hole", HOLE), ("volatile.eth0.host_name", "veth1")]);
        let nic: lxd_types::Config =
            pairs(&[("type", "nic"), ("hwaddr", "00:16:3E:00:00:01"), ("status", "")]);
        let devices = lxd_types::Devices::from([("eth0".to_owned(), nic)]);
        let row = instances::Instance {
            id: 7,
            project_id: 1,
            project: "default".into(),
            node_id: 1,
            node: "none".into(),
            name: name.into(),
            architecture: 2,
            kind: instances::CONTAINER,
            ephemeral: false,
            created: Utc::now(),
            stateful: false,
            last_used: None,
            description: description.into(),
            config: config.clone(),
            devices: devices.clone(),
            profiles: vec!["default".into()],
        };
        Model { key: InstanceKey::stored("default", name).unwrap(), row, config, devices }
    }

    #[test]
    fn the_text_is_that_of_the_objects() {
        let models = [model("c1", "a \"quoted\" \u{1} text"), model("c2", HOLE)];
        let listed = Listed::new(&models).unwrap();
        assert_eq!(listed.iter().count(), 2);
        for (shown, model) in listed.iter().zip(&models) {
            assert_eq!((shown.id(), shown.key(), shown.kind()), (7, &model.key, instances::CONTAINER));
            for status in [StatusCode::RUNNING, StatusCode::STOPPED, StatusCode(0)] {
                let mut text = Vec::new();
                shown.write(status, &mut text);
                assert_eq!(text, serde_json::to_vec(&instance_view(model, status)).unwrap());
                let state = InstanceState { pid: 9, ..InstanceState::default() };
                for snapshots in [vec![], vec![InstanceSnapshot { name: "s".into(), ..Default::default() }]] {
                    text.clear();
                    shown.write_full(status, &state, &snapshots, &mut text).unwrap();
                    let full: InstanceFull = serde_json::from_slice(&{
                        let mut plain = Vec::new();
                        shown.write(status, &mut plain);
                        plain
                    })
                    .unwrap();
                    let full = InstanceFull { state: state.clone(), snapshots, ..full };
                    assert_eq!(text, serde_json::to_vec(&full).unwrap());
                }
            }
        }
    }

    #[test]
    fn nics_get_their_names_on_the_host() {
        let listed = Listed::new([&model("c1", "")]).unwrap();
        let interface = |hwaddr: &str| InstanceStateNetwork { hwaddr: hwaddr.into(), ..Default::default() };
        let mut found = BTreeMap::from([
            ("eth0".to_owned(), interface("00:16:3e:00:00:01")),
            ("lo".to_owned(), interface("")),
        ]);
        NicNames::add(listed.at(0).nics(), &mut found);
        assert_eq!((&*found["eth0"].host_name, &*found["lo"].host_name), ("veth1", ""));
    }
}
