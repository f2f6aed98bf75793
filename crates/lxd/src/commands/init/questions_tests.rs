//! Whole sessions of `lxd init` through pipes; the words are those that the reference prints.

use std::io::Cursor;
use std::sync::{Arc, Mutex};

use super::super::facts::Interface;
use super::*;

/// A writer that the test can read afterwards.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Outcome, standard output and complaints of a session.
fn session(facts: &Facts, answers: &[&str]) -> (Result<(Preseed, bool)>, String, String) {
    let input = answers.iter().map(|answer| format!("{answer}\n")).collect::<String>();
    let (out, complaints) = (Screen::default(), Screen::default());
    let mut terminal =
        Ask::new(Box::new(Cursor::new(input)), Box::new(out.clone()), Box::new(complaints.clone()));
    let outcome = ask(&mut terminal, facts);
    (outcome, out.text(), complaints.text())
}

fn facts(backends: &[&str]) -> Facts {
    Facts {
        backends: backends.iter().map(|name| (*name).to_owned()).collect(),
        interfaces: vec![
            Interface { name: "dbe0".into(), bridge: false },
            Interface { name: "br0".into(), bridge: true },
        ],
        loop_size: 30,
        host: "vm".into(),
        ..Facts::default()
    }
}

#[test]
fn the_shortest_way_with_one_backend() {
    let (outcome, out, complaints) = session(
        &facts(&["dir"]),
        &["no", "", "", "no", "", "dbrlbr0", "10.33.0.1/24", "", "none", "no", "", "yes"],
    );
    let (preseed, show) = outcome.unwrap();
    assert!(show && complaints.is_empty());
    assert_eq!(
        out,
        "Would you like to use LXD clustering? (yes/no) [default=no]: \
         Do you want to configure a new storage pool? (yes/no) [default=yes]: \
         Name of the new storage pool [default=default]: \
         Would you like to connect to a MAAS server? (yes/no) [default=no]: \
         Would you like to create a new local network bridge? (yes/no) [default=yes]: \
         What should the new bridge be called? [default=lxdbr0]: \
         What IPv4 address should be used? (CIDR subnet notation, “auto” or “none”) [default=auto]: \
         Would you like LXD to NAT IPv4 traffic on your bridge? [default=yes]: \
         What IPv6 address should be used? (CIDR subnet notation, “auto” or “none”) [default=auto]: \
         Would you like the LXD server to be available over the network? (yes/no) [default=no]: \
         Would you like stale cached images to be updated automatically? (yes/no) [default=yes]: \
         Would you like a YAML \"lxd init\" preseed to be printed? (yes/no) [default=no]: "
    );
    assert_eq!(
        preseed.text(true).unwrap(),
        "config: {}\nnetworks:\n- config:\n    ipv4.address: 10.33.0.1/24\n    ipv4.nat: \"true\"\n    \
         ipv6.address: none\n  description: \"\"\n  name: dbrlbr0\n  type: \"\"\n  project: default\n\
         storage_pools:\n- config: {}\n  description: \"\"\n  name: default\n  driver: dir\nprofiles:\n\
         - config: {}\n  description: \"\"\n  devices:\n    eth0:\n      name: eth0\n      network: dbrlbr0\n      \
         type: nic\n    root:\n      path: /\n      pool: default\n      type: disk\n  name: default\n\
         projects: []\ncluster: null\n"
    );
}

#[test]
fn a_loop_pool_and_the_network() {
    let (outcome, out, complaints) = session(
        &facts(&["btrfs", "dir"]),
        &[
            "no", "yes", "p1", "nosuch", "btrfs", "yes", "no", "abc", "1", "no", "no", "no", "yes", "foo",
            "all", "70000", "9453", "a", "b", "sekret", "sekret", "no", "",
        ],
    );
    let (preseed, show) = outcome.unwrap();
    assert!(!show);
    assert!(out.contains(
        "Name of the storage backend to use (btrfs, dir) [default=btrfs]: \
         Name of the storage backend to use (btrfs, dir) [default=btrfs]: \
         Create a new BTRFS pool? (yes/no) [default=yes]: \
         Would you like to use an existing empty block device (e.g. a disk or partition)? (yes/no) [default=no]: \
         Size in GiB of the new loop device (1GiB minimum) [default=30GiB]: "
    ));
    assert!(out.contains("Port to bind LXD to [default=8443]: Trust password for new clients: \nAgain: \n"));
    assert_eq!(
        complaints,
        "Invalid input, try again.\n\nInvalid input: strconv.ParseInt: parsing \"abc\": invalid syntax\n\n\
         Invalid input: \"foo\" is not an IP address\n\nInvalid input: out of range\n\nInvalid input, try again.\n\n"
    );
    assert_eq!(preseed.storage_pools[0].config["size"], "1GiB");
    assert_eq!(preseed.config["core.https_address"], "[::]:9453");
    assert_eq!(preseed.config["core.trust_password"], "sekret");
    assert_eq!(preseed.config["images.auto_update_interval"], "0");
}

#[test]
fn existing_interfaces() {
    for (name, kind) in [("dbe0", "macvlan"), ("br0", "bridged")] {
        let (outcome, out, _) =
            session(&facts(&["dir"]), &["no", "no", "no", "no", "yes", "nosuch", name, "no", "", ""]);
        let (preseed, _) = outcome.unwrap();
        assert_eq!(
            preseed.profiles[0].devices["eth0"],
            device(&[("name", "eth0"), ("nictype", kind), ("parent", name), ("type", "nic")])
        );
        assert!(out.contains("The requested interface doesn't exist. Please choose another one.\n"));
    }
}

#[test]
fn taken_names_are_asked_again() {
    let facts = Facts { pools: vec!["default".into()], networks: vec!["lxdbr0".into()], ..facts(&["dir"]) };
    let answers = ["", "", "", "p2", "", "", "", "bad/name", "br7", "", "x", "none", "", "", ""];
    let (outcome, out, complaints) = session(&facts, &answers);
    let (preseed, _) = outcome.unwrap();
    assert!(
        out.contains("The requested storage pool \"default\" already exists. Please choose another name.\n")
    );
    assert_eq!((preseed.storage_pools[0].name.as_str(), preseed.networks[0].name.as_str()), ("p2", "br7"));
    assert!(complaints.contains("Invalid input: invalid CIDR address: x\n\n"), "{complaints}");
}

#[test]
fn the_end_of_the_input_is_an_error() {
    let (outcome, ..) = session(&facts(&["dir"]), &["no", "yes"]);
    assert_eq!(outcome.unwrap_err().chain(), "EOF");
    let (outcome, ..) = session(&facts(&["dir"]), &["yes"]);
    assert_eq!(outcome.unwrap_err().kind(), lxd_types::Kind::NotImplemented);
}
