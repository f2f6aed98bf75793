//! A virtual function is given away and comes back, in a network namespace of its own (needs root, iproute2). Its `/sys` is
//! invented, its interface is one end of a veth pair.

use std::process::Command;

use lxd_device::nic::{Functions, SriovNic};
use lxd_device::{Context, DeviceType, Volatile};
use lxd_host::netlink::Netlink;
use lxd_types::{Config, Device, Devices, IdMap, InstanceKind};

fn ip(args: &[&str]) {
    assert!(Command::new("ip").args(args).status().unwrap().success(), "{args:?}");
}

fn context(volatile: Volatile) -> Context {
    Context {
        project: "default".parse().unwrap(),
        instance: "c1".parse().unwrap(),
        kind: InstanceKind::Container,
        device: "eth0".parse().unwrap(),
        volatile,
        devices_dir: std::path::PathBuf::new(),
        idmap: IdMap::default(),
        config: Config::new(),
        siblings: Devices::new(),
        network: None,
        shares_parent: false,
        starts: false,
        disk_paths: Default::default(),
    }
}

fn device(more: &[(&str, &str)]) -> Device {
    let all = [("type", "nic"), ("nictype", "sriov"), ("parent", "pf0"), ("name", "eth0")];
    all.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn a_function_goes_and_comes_back() {
    if !lxd_testkit::isolated::inside("a_function_goes_and_comes_back") {
        return;
    }
    ip(&["link", "add", "pf0", "type", "veth", "peer", "name", "pf0p"]);
    ip(&["link", "add", "vf0", "type", "veth", "peer", "name", "vf0p"]);
    let sys = tempfile::tempdir().unwrap();
    let folder = sys.path().join("class/net/pf0/device");
    std::fs::create_dir_all(folder.join("virtfn0/net/vf0")).unwrap();
    for file in ["sriov_numvfs", "sriov_totalvfs"] {
        std::fs::write(folder.join(file), "1\n").unwrap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let netlink = Netlink::open().unwrap();
        let nic = SriovNic::new(netlink.clone(), Functions::new(sys.path()));
        let before = netlink.require("vf0").await.unwrap();
        let wanted = device(&[("hwaddr", "00:16:3e:00:00:07"), ("mtu", "1400")]);
        let started = nic.start(&context(Volatile::new()), &wanted).await.unwrap();
        assert_eq!((started.nics[0].link.as_str(), started.nics[0].name.as_deref()), ("vf0", Some("eth0")));
        let given = netlink.require("vf0").await.unwrap();
        assert_eq!((given.mac.unwrap().to_string().as_str(), given.mtu), ("00:16:3e:00:00:07", 1400));
        let refused = nic.start(&context(Volatile::new()), &device(&[])).await.unwrap_err();
        assert_eq!(refused.chain(), "All virtual functions of parent device \"pf0\" are in use");

        // What an instance leaves behind is put right, and the function is free again.
        let forgotten = nic.stop(&context(started.volatile), &wanted).await.unwrap();
        assert!(forgotten.values().all(String::is_empty) && forgotten.contains_key("last_state.vf.id"));
        let back = netlink.require("vf0").await.unwrap();
        assert_eq!((back.mac, back.mtu), (before.mac, before.mtu));
        let again = nic.start(&context(Volatile::new()), &device(&[("host_name", "vf0")])).await.unwrap();
        nic.stop(&context(again.volatile), &device(&[])).await.unwrap();

        // A parent whose driver knows no functions refuses a VLAN, and everything is as before.
        let error = nic.start(&context(Volatile::new()), &device(&[("vlan", "5")])).await.unwrap_err();
        assert!(
            error.chain().starts_with("Failed to set virtual function 0 of \"pf0\""),
            "{}",
            error.chain()
        );
        assert_eq!(netlink.require("vf0").await.unwrap().mac, before.mac);
        nic.start(&context(Volatile::new()), &device(&[])).await.unwrap();
        let missing = Device::from([("parent".to_owned(), "nosuch".to_owned())]);
        let error = nic.start(&context(Volatile::new()), &missing).await.unwrap_err();
        assert_eq!(error.chain(), "Parent device \"nosuch\" doesn't exist");
    });
}

#[test]
fn functions_are_made_for_the_first_that_asks() {
    if !lxd_testkit::isolated::inside("functions_are_made_for_the_first_that_asks") {
        return;
    }
    ip(&["link", "add", "pf0", "type", "veth", "peer", "name", "pf0p"]);
    let sys = tempfile::tempdir().unwrap();
    let folder = sys.path().join("class/net/pf0/device");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("sriov_numvfs"), "0\n").unwrap();
    std::fs::write(folder.join("sriov_totalvfs"), "2\n").unwrap();
    let hardware = {
        let folder = folder.clone();
        std::thread::spawn(move || {
            while std::fs::read_to_string(folder.join("sriov_numvfs")).unwrap() != "2" {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            for id in 0..2 {
                let (name, peer) = (format!("vf{id}"), format!("vf{id}p"));
                let add = ["link", "add", &name, "type", "veth", "peer", "name", &peer];
                assert!(Command::new("ip").args(add).status().unwrap().success());
                std::fs::create_dir_all(folder.join(format!("virtfn{id}/net/{name}"))).unwrap();
            }
        })
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let nic = SriovNic::new(Netlink::open().unwrap(), Functions::new(sys.path()));
        let started = nic.start(&context(Volatile::new()), &device(&[])).await.unwrap();
        assert_eq!(started.nics[0].link, "vf0");
        // What cannot be restored is free again nevertheless, and told.
        let mut broken = started.volatile;
        broken.insert("last_state.vf.id".to_owned(), "0".to_owned());
        broken.insert("last_state.vf.spoofcheck".to_owned(), "true".to_owned());
        assert!(nic.stop(&context(broken), &device(&[])).await.is_err());
        let again = nic.start(&context(Volatile::new()), &device(&[("host_name", "vf0")])).await.unwrap();
        assert_eq!(again.nics[0].link, "vf0");
    });
    hardware.join().unwrap();
}
