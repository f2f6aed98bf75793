//! Virtual functions of an SR-IOV interface, as `/sys` shows them, and which of them are given away.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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
    /// Functions are made by one at a time.
    making: Arc<tokio::sync::Mutex<()>>,
}

/// How long new functions may take to get their interfaces, and the pause between two looks.
const APPEAR: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Functions {
    /// The functions of the host whose `/sys` is here.
    pub fn new(sysfs: impl Into<PathBuf>) -> Self {
        Self { sysfs: sysfs.into(), taken: Arc::default(), making: Arc::default() }
    }

    /// Takes the first free function of an interface for a device, or the one with this interface. `free` are the interfaces
    /// of the host that are nobody's.
    ///
    /// # Errors
    /// The interface has no functions.
    pub fn find(
        &self,
        parent: &str,
        wanted: Option<&str>,
        device: &str,
        free: &HashSet<String>,
    ) -> Result<Option<Function>> {
        let (total, _) = self.numbers(parent)?;
        let mut taken = self.taken.lock().expect("no panic happens while the lock is held");
        let interfaces = (0..total).filter_map(|id| Some((id, self.interface(parent, id)?)));
        let mut fitting = interfaces.filter(|(_, name)| wanted.is_none_or(|wanted| wanted == name));
        let found = fitting.find(|(_, name)| !taken.contains_key(name) && free.contains(name));
        Ok(found.map(|(id, interface)| {
            taken.insert(interface.clone(), device.to_owned());
            Function { id, interface }
        }))
    }

    /// Makes as many functions as the hardware has, if there are fewer, and waits until each has its interface.
    ///
    /// # Errors
    /// The interface has none, or its driver refuses.
    pub async fn make_all(&self, parent: &str) -> Result<()> {
        // Two who find none make them once.
        let _turn = self.making.lock().await;
        let (total, present) = self.numbers(parent)?;
        match present < total {
            true => self.make(parent, total).await,
            false => Ok(()),
        }
    }

    /// How many functions the hardware of an interface has, and how many are made.
    fn numbers(&self, parent: &str) -> Result<(u32, u32)> {
        let folder = self.folder(parent);
        let total = number(&folder.join("sriov_totalvfs"))
            .map_err(|_| Error::bad_request(format!("Parent device {parent:?} doesn't support SR-IOV")))?;
        Ok((total, number(&folder.join("sriov_numvfs")).context("Failed to read sriov_numvfs")?))
    }

    /// Makes all functions, and waits until each has its interface.
    async fn make(&self, parent: &str, total: u32) -> Result<()> {
        let file = self.folder(parent).join("sriov_numvfs");
        // The hardware takes its time. Some drivers take another number only when there is none: the error says so.
        let written = tokio::task::spawn_blocking(move || std::fs::write(file, total.to_string()));
        let written = written.await.map_err(io::Error::other).flatten();
        written.context(format!("Failed to make more virtual functions of {parent:?}"))?;
        let deadline = Instant::now() + APPEAR;
        while (0..total).any(|id| self.interface(parent, id).is_none()) && Instant::now() < deadline {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    fn folder(&self, parent: &str) -> PathBuf {
        self.sysfs.join("class/net").join(parent).join("device")
    }

    /// The interface of a function.
    fn interface(&self, parent: &str, id: u32) -> Option<String> {
        let folder = self.folder(parent).join(format!("virtfn{id}/net"));
        std::fs::read_dir(folder).ok()?.find_map(|entry| entry.ok()?.file_name().into_string().ok())
    }

    /// The function is nobody's again.
    pub fn release(&self, interface: &str) {
        self.taken.lock().expect("no panic happens while the lock is held").remove(interface);
    }
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

    fn free(names: &[&str]) -> HashSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_first_free_one_is_taken() {
        let temp = tree(4, 4, &["vf0", "vf1", "vf2", "vf3"]);
        let functions = Functions::new(temp.path());
        let free = free(&["vf1", "vf2"]);
        let take = |device: &str| functions.find("pf0", None, device, &free).unwrap();
        assert_eq!(take("a"), Some(Function { id: 1, interface: "vf1".to_owned() }));
        assert_eq!(take("b"), Some(Function { id: 2, interface: "vf2".to_owned() }));
        assert_eq!(take("d"), None);
        functions.release("vf2");
        assert_eq!(take("d").unwrap().id, 2);
    }

    #[tokio::test]
    async fn all_are_made_when_there_is_none() {
        let temp = tree(0, 2, &[]);
        let device = temp.path().join("class/net/pf0/device");
        let functions = Functions::new(temp.path());
        assert_eq!(functions.find("pf0", None, "a", &free(&[])).unwrap(), None);
        // The hardware: its interfaces come some time after the number was written.
        let hardware = async {
            while std::fs::read_to_string(device.join("sriov_numvfs")).unwrap() != "2" {
                tokio::time::sleep(LOOK_AGAIN / 4).await;
            }
            tokio::time::sleep(LOOK_AGAIN * 3).await;
            for (id, name) in ["vf0", "vf1"].iter().enumerate() {
                std::fs::create_dir_all(device.join(format!("virtfn{id}/net/{name}"))).unwrap();
            }
        };
        let (one, other, ()) = tokio::join!(functions.make_all("pf0"), functions.make_all("pf0"), hardware);
        one.and(other).unwrap();
        let free = free(&["vf0", "vf1"]);
        assert_eq!(functions.find("pf0", None, "a", &free).unwrap().unwrap().id, 0);
        assert_eq!(functions.find("pf0", None, "b", &free).unwrap().unwrap().id, 1);
    }

    #[test]
    fn one_can_be_asked_for_by_name() {
        let temp = tree(2, 2, &["vf0", "vf1"]);
        let functions = Functions::new(temp.path());
        let all = free(&["vf0", "vf1"]);
        assert_eq!(functions.find("pf0", Some("vf1"), "a", &all).unwrap().unwrap().id, 1);
        assert_eq!(functions.find("pf0", Some("vf1"), "b", &all).unwrap(), None);
        let error = functions.find("eth0", None, "b", &all).unwrap_err().chain();
        assert_eq!(error, "Parent device \"eth0\" doesn't support SR-IOV");
    }
}
