//! Virtual functions of an SR-IOV interface, as `/sys` shows them, and which of them are given away.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use lxd_types::error::Context;
use lxd_types::{Error, Result};

/// A virtual function.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Function {
    /// Its number.
    pub id: u32,
    /// Its interface.
    pub interface: String,
}

/// The virtual functions of a host. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Functions {
    sysfs: PathBuf,
    /// Functions that are being given away, by interface, with the device that gets each.
    taken: Arc<Mutex<HashMap<String, String>>>,
}

impl Functions {
    /// The functions of the host whose `/sys` is here.
    pub fn new(sysfs: impl Into<PathBuf>) -> Self {
        Self { sysfs: sysfs.into(), taken: Arc::default() }
    }

    /// Takes the first free function of an interface for a device, or the one with this interface. `usable` says whether
    /// an interface is there and nobody's. When all are in use, as many as the hardware has are made.
    ///
    /// # Errors
    /// The interface has none, or all are in use.
    pub fn take(
        &self,
        parent: &str,
        wanted: Option<&str>,
        device: &str,
        usable: impl Fn(&str) -> bool,
    ) -> Result<Function> {
        let folder = self.sysfs.join("class/net").join(parent).join("device");
        let total = number(&folder.join("sriov_totalvfs"))
            .map_err(|_| Error::bad_request(format!("Parent device {parent:?} doesn't support SR-IOV")))?;
        let present = number(&folder.join("sriov_numvfs")).context("Failed to read sriov_numvfs")?;
        if let Some(found) = self.first(&folder, 0..present, wanted, device, &usable) {
            return Ok(found);
        }
        let all_used = || match wanted {
            Some(name) => {
                Error::conflict(format!("Virtual function {name:?} of {parent:?} is in use or not there"))
            }
            None => Error::conflict(format!("All virtual functions of parent device {parent:?} are in use")),
        };
        if present >= total || wanted.is_some() {
            return Err(all_used());
        }
        // Some drivers take another number only when there is none: the error says so.
        std::fs::write(folder.join("sriov_numvfs"), total.to_string())
            .context(format!("Failed to make more virtual functions of {parent:?}"))?;
        self.first(&folder, present..total, None, device, &usable).ok_or_else(all_used)
    }

    fn first(
        &self,
        folder: &Path,
        ids: std::ops::Range<u32>,
        wanted: Option<&str>,
        device: &str,
        usable: &impl Fn(&str) -> bool,
    ) -> Option<Function> {
        let mut taken = self.taken.lock().expect("no panic happens while the lock is held");
        let interfaces = ids.filter_map(|id| Some((id, interface(&folder.join(format!("virtfn{id}/net")))?)));
        let mut fitting = interfaces.filter(|(_, name)| wanted.is_none_or(|wanted| wanted == name));
        let (id, interface) = fitting.find(|(_, name)| !taken.contains_key(name) && usable(name))?;
        taken.insert(interface.clone(), device.to_owned());
        Some(Function { id, interface })
    }

    /// The function is nobody's again.
    pub fn release(&self, interface: &str) {
        self.taken.lock().expect("no panic happens while the lock is held").remove(interface);
    }
}

/// The name of the only interface in a `net` folder.
fn interface(folder: &Path) -> Option<String> {
    std::fs::read_dir(folder).ok()?.find_map(|entry| entry.ok()?.file_name().into_string().ok())
}

fn number(file: &Path) -> io::Result<u32> {
    let text = std::fs::read_to_string(file)?;
    text.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of `/sys` in which `pf0` has functions with these interfaces.
    fn tree(present: u32, total: u32, interfaces: &[&str]) -> tempfile::TempDir {
        let temp = tempfile::tempdir().unwrap();
        let device = temp.path().join("class/net/pf0/device");
        for (id, name) in interfaces.iter().enumerate() {
            std::fs::create_dir_all(device.join(format!("virtfn{id}/net/{name}"))).unwrap();
        }
        std::fs::create_dir_all(&device).unwrap();
        std::fs::create_dir_all(temp.path().join("class/net/eth0/device")).unwrap();
        std::fs::write(device.join("sriov_numvfs"), format!("{present}\n")).unwrap();
        std::fs::write(device.join("sriov_totalvfs"), format!("{total}\n")).unwrap();
        temp
    }

    #[test]
    fn the_first_free_one_is_taken_and_more_are_made_when_there_is_none() {
        let temp = tree(2, 4, &["vf0", "vf1", "vf2", "vf3"]);
        let functions = Functions::new(temp.path());
        let take = |device: &str| functions.take("pf0", None, device, |name| name != "vf0");
        assert_eq!(take("a").unwrap(), Function { id: 1, interface: "vf1".to_owned() });
        assert_eq!(take("b").unwrap(), Function { id: 2, interface: "vf2".to_owned() });
        let numvfs = temp.path().join("class/net/pf0/device/sriov_numvfs");
        assert_eq!(std::fs::read_to_string(numvfs).unwrap(), "4");
        assert_eq!(take("c").unwrap().id, 3);
        assert_eq!(
            take("d").unwrap_err().chain(),
            "All virtual functions of parent device \"pf0\" are in use"
        );
        functions.release("vf2");
        assert_eq!(take("d").unwrap().id, 2);
    }

    #[test]
    fn one_can_be_asked_for_by_name() {
        let temp = tree(2, 2, &["vf0", "vf1"]);
        let functions = Functions::new(temp.path());
        assert_eq!(functions.take("pf0", Some("vf1"), "a", |_| true).unwrap().id, 1);
        let error = functions.take("pf0", Some("vf1"), "b", |_| true).unwrap_err().chain();
        assert_eq!(error, "Virtual function \"vf1\" of \"pf0\" is in use or not there");
        let error = functions.take("eth0", None, "b", |_| true).unwrap_err().chain();
        assert_eq!(error, "Parent device \"eth0\" doesn't support SR-IOV");
    }
}
