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
