//! Tests of the collectors on trees of their own.

use super::collect;
use super::fake::Fake;

const CPU: &str = "sys/devices/system/cpu";

#[test]
fn an_empty_tree_is_no_error() {
    let fake = Fake::new();
    let resources = collect(fake.root());
    assert_eq!((resources.cpu.total, resources.memory.total, resources.pci.total), (0, 0, 0));
    assert_eq!(resources.system.kind, "physical");
    assert_eq!(resources.system.firmware, None);
}

#[test]
fn threads_belong_to_cores_and_cores_to_sockets() {
    let fake = Fake::new();
    for (id, package, core) in [(0, 0, 0), (1, 0, 1), (2, 0, 0), (3, 1, 0)] {
        fake.files(
            &format!("{CPU}/cpu{id}"),
            &[
                ("topology/physical_package_id", &package.to_string()),
                ("topology/core_id", &core.to_string()),
                ("topology/die_id", "0"),
                ("node1/x", ""),
                ("cpufreq/scaling_cur_freq", "2400000"),
                ("cpufreq/cpuinfo_max_freq", "3500000"),
            ],
        );
    }
    fake.files(
        &format!("{CPU}/cpu0/cache"),
        &[("index0/level", "1"), ("index0/type", "Data"), ("index0/size", "48K")],
    );
    fake.files(CPU, &[("isolated", "2-3"), ("cpu2/online", "0"), ("cpufreq/x", ""), ("cpu9/online", "0")]);
    fake.files("proc", &[("cpuinfo", "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\n")]);
    let cpu = collect(fake.root()).cpu;
    assert_eq!((cpu.total, cpu.sockets.len()), (4, 2));
    let first = &cpu.sockets[0];
    assert_eq!(
        (first.name.as_str(), first.vendor.as_str(), first.cores.len()),
        ("AMD EPYC", "AuthenticAMD", 2)
    );
    assert_eq!((first.frequency, first.frequency_turbo), (2400, 3500));
    assert_eq!((first.cache[0].level, first.cache[0].size), (1, 49152));
    let threads = &first.cores[0].threads;
    assert_eq!(threads.iter().map(|t| (t.id, t.thread)).collect::<Vec<_>>(), [(0, 0), (2, 1)]);
    assert!(threads[0].online && !threads[0].isolated && !threads[1].online && threads[1].isolated);
    assert_eq!(threads[0].numa_node, 1);
}

#[test]
fn memory_counts_plugged_blocks() {
    let fake = Fake::new();
    fake.files(
        "sys/devices/system/memory",
        &[
            ("block_size_bytes", "8000000"),
            ("memory0/online", "1"),
            ("memory1/online", "1"),
            ("memory2/online", "0"),
        ],
    );
    let node = "Node 0 MemTotal: 200000 kB\nNode 0 MemUsed: 1000 kB\nNode 0 HugePages_Total: 4\nNode 0 HugePages_Free: 1";
    fake.files("sys/devices/system/node/node0", &[("meminfo", node), ("memory0/online", "1")]);
    let info = "MemTotal: 260000 kB\nMemFree: 100000 kB\nBuffers: 10 kB\nCached: 20 kB\nHugePages_Total: 4\nHugePages_Free: 1\nHugepagesize: 2048 kB";
    fake.files("proc", &[("meminfo", info)]);
    let memory = collect(fake.root()).memory;
    assert_eq!(memory.total, 2 * 0x800_0000);
    assert_eq!(memory.used, memory.total - 100_030 * 1024);
    assert_eq!(
        (memory.hugepages_size, memory.hugepages_total, memory.hugepages_used),
        (2 << 20, 8 << 20, 6 << 20)
    );
    let node = &memory.nodes[0];
    assert_eq!((node.total, node.used, node.hugepages_used), (0x800_0000, 1000 * 1024, 6 << 20));
}

/// A PCI bus with a virtio card, a disk, and a graphics card.
fn bus() -> Fake {
    let fake = Fake::new();
    let pci = "sys/devices/pci0000:00";
    fake.files("proc/sys/kernel", &[("osrelease", "6.1.0")]);
    for (address, vendor, device, class) in [
        ("0000:00:02.0", "0x1af4", "0x1042", "0x018000"),
        ("0000:00:03.0", "0x1af4", "0x1041", "0x020000"),
        ("0000:00:04.0", "0x10de", "0x1eb8", "0x030200"),
    ] {
        let dir = format!("{pci}/{address}");
        fake.files(&dir, &[("vendor", vendor), ("device", device), ("class", class), ("numa_node", "-1")]);
        fake.link(&format!("sys/bus/pci/devices/{address}"), &dir);
    }
    fake.link(&format!("{pci}/0000:00:03.0/iommu_group"), "sys/kernel/iommu_groups/7");
    fake.files("sys/bus/virtio/drivers/virtio_net", &[("x", "")]);
    fake.files("usr/share/hwdata", &[("pci.ids", "1af4  Red Hat, Inc.\n\t1041  Virtio network device")]);
    fake
}

#[test]
fn pci_devices() {
    let pci = collect(bus().root()).pci;
    assert_eq!(pci.total, 3);
    let card = &pci.devices[1];
    assert_eq!(
        (card.pci_address.as_str(), card.vendor_id.as_str(), card.product_id.as_str()),
        ("0000:00:03.0", "1af4", "1041")
    );
    assert_eq!((card.vendor.as_str(), card.product.as_str()), ("Red Hat, Inc.", "Virtio network device"));
    assert_eq!((card.iommu_group, card.numa_node, card.driver.as_str()), (7, 0, ""));
}

#[test]
fn network_cards_and_ports() {
    let fake = bus();
    let device = "sys/devices/pci0000:00/0000:00:03.0/virtio2";
    fake.files(device, &[("vendor", "0x1af4"), ("device", "0x0001")]);
    fake.link(&format!("{device}/driver"), "sys/bus/virtio/drivers/virtio_net");
    let port = [
        ("address", "02:fc:00:00:00:01"),
        ("type", "1"),
        ("carrier", "1"),
        ("dev_port", "0"),
        ("speed", "-1"),
        ("duplex", "unknown"),
    ];
    fake.files(&format!("{device}/net/eth0"), &port);
    fake.link(&format!("{device}/net/eth0/device"), device);
    fake.link("sys/class/net/eth0", &format!("{device}/net/eth0"));
    fake.files("sys/devices/virtual/net/lo", &[("type", "772")]);
    fake.link("sys/class/net/lo", "sys/devices/virtual/net/lo");
    let network = collect(fake.root()).network;
    assert_eq!((network.total, network.cards.len()), (1, 1));
    let card = &network.cards[0];
    assert_eq!((card.driver.as_str(), card.driver_version.as_str()), ("virtio_net", "6.1.0"));
    assert_eq!((card.pci_address.as_str(), card.product_id.as_str()), ("0000:00:03.0", "0001"));
    let port = &card.ports[0];
    assert_eq!(
        (port.id.as_str(), port.protocol.as_str(), port.link_detected, port.link_speed),
        ("eth0", "ethernet", true, 0)
    );
}

#[test]
fn virtual_functions_stand_below_their_card() {
    let fake = Fake::new();
    let pci = "sys/devices/pci0000:00";
    for (address, name) in [("0000:00:03.0", "eth0"), ("0000:00:03.1", "eth1")] {
        fake.files(&format!("{pci}/{address}/net/{name}"), &[("type", "1")]);
        fake.link(&format!("{pci}/{address}/net/{name}/device"), &format!("{pci}/{address}"));
        fake.link(&format!("sys/class/net/{name}"), &format!("{pci}/{address}/net/{name}"));
    }
    fake.files(&format!("{pci}/0000:00:03.0"), &[("sriov_totalvfs", "8"), ("sriov_numvfs", "1")]);
    fake.link(&format!("{pci}/0000:00:03.1/physfn"), &format!("{pci}/0000:00:03.0"));
    let network = collect(fake.root()).network;
    assert_eq!((network.total, network.cards.len()), (2, 1));
    let sriov = network.cards[0].sriov.as_ref().unwrap();
    assert_eq!((sriov.current_vfs, sriov.maximum_vfs, sriov.vfs[0].ports[0].id.as_str()), (1, 8, "eth1"));
}

#[test]
fn disks_and_partitions() {
    let fake = bus();
    let device = "sys/devices/pci0000:00/0000:00:02.0/virtio1";
    let block = format!("{device}/block/vda");
    fake.files(
        &block,
        &[
            ("dev", "254:0"),
            ("size", "2048"),
            ("ro", "0"),
            ("removable", "0"),
            ("queue/rotational", "1"),
            ("queue/physical_block_size", "4096"),
        ],
    );
    fake.files(
        &format!("{block}/vda1"),
        &[("partition", "1"), ("dev", "254:1"), ("size", "1024"), ("ro", "1")],
    );
    fake.link(&format!("{block}/device"), device);
    fake.link(&format!("{device}/subsystem"), "sys/bus/virtio");
    fake.link("sys/class/block/vda", &block);
    fake.link("sys/class/block/vda1", &format!("{block}/vda1"));
    fake.files("sys/devices/virtual/block/loop0", &[("size", "8")]);
    fake.link("sys/class/block/loop0", "sys/devices/virtual/block/loop0");
    fake.files("run/udev/data", &[("b254:0", "E:ID_SERIAL_SHORT=S1\nE:ID_MODEL=Disk")]);
    fake.link("dev/disk/by-id/virtio-S1", "dev/vda");
    let storage = collect(fake.root()).storage;
    assert_eq!((storage.total, storage.disks.len()), (2, 1));
    let disk = &storage.disks[0];
    assert_eq!((disk.id.as_str(), disk.kind.as_str(), disk.size, disk.rpm), ("vda", "virtio", 1 << 20, 1));
    assert_eq!(
        (disk.serial.as_str(), disk.model.as_str(), disk.device_id.as_str()),
        ("S1", "Disk", "virtio-S1")
    );
    assert_eq!((disk.pci_address.as_str(), disk.block_size), ("0000:00:02.0", 4096));
    let part = &disk.partitions[0];
    assert_eq!((part.id.as_str(), part.partition, part.size, part.read_only), ("vda1", 1, 512 * 1024, true));
}

#[test]
fn graphics_cards() {
    let fake = bus();
    let device = "sys/devices/pci0000:00/0000:00:04.0";
    fake.files(&format!("{device}/drm"), &[("card0/dev", "226:0"), ("renderD128/dev", "226:128")]);
    fake.link(&format!("{device}/drm/card0/device"), device);
    fake.link("sys/class/drm/card0", &format!("{device}/drm/card0"));
    fake.link("sys/class/drm/card0-HDMI-A-1", &format!("{device}/drm/card0"));
    let types = [("nv-1/name", "GRID"), ("nv-1/available_instances", "4"), ("nv-1/device_api", "vfio-pci")];
    fake.files(&format!("{device}/mdev_supported_types"), &types);
    let gpu = collect(fake.root()).gpu;
    assert_eq!(gpu.total, 1);
    let card = &gpu.cards[0];
    let drm = card.drm.as_ref().unwrap();
    assert_eq!((drm.id, drm.card_device.as_str(), drm.render_name.as_str()), (0, "226:0", "renderD128"));
    assert_eq!((card.pci_address.as_str(), card.vendor_id.as_str()), ("0000:00:04.0", "10de"));
    assert_eq!(card.mdev["nv-1"].available, 4);
}

#[test]
fn usb_devices_without_hubs() {
    let fake = Fake::new();
    let base = "sys/devices/pci0000:00/0000:00:14.0/usb1";
    fake.files(base, &[("busnum", "1"), ("devnum", "1"), ("bDeviceClass", "09")]);
    fake.files(
        &format!("{base}/1-2"),
        &[
            ("busnum", "1"),
            ("devnum", "4"),
            ("bDeviceClass", "00"),
            ("idVendor", "046d"),
            ("idProduct", "c31c"),
            ("product", "Keyboard"),
            ("speed", "1.5"),
            ("1-2:1.0/bInterfaceClass", "03"),
            ("1-2:1.0/bInterfaceNumber", "00"),
            ("1-2:1.0/bInterfaceSubClass", "01"),
        ],
    );
    fake.link("sys/bus/usb/devices/usb1", base);
    fake.link("sys/bus/usb/devices/1-2", &format!("{base}/1-2"));
    fake.link("sys/bus/usb/devices/1-2:1.0", &format!("{base}/1-2/1-2:1.0"));
    let usb = collect(fake.root()).usb;
    assert_eq!(usb.total, 1);
    let device = &usb.devices[0];
    assert_eq!((device.bus_address, device.device_address, device.product.as_str()), (1, 4, "Keyboard"));
    assert!((device.speed - 1.5).abs() < f64::EPSILON);
    assert_eq!(
        (device.interfaces[0].class.as_str(), device.interfaces[0].class_id),
        ("Human Interface Device", 3)
    );
}

#[test]
fn the_machine() {
    let fake = Fake::new();
    fake.files(
        "sys/class/dmi/id",
        &[("sys_vendor", "LENOVO"), ("chassis_type", "10"), ("bios_date", "01/02/2020")],
    );
    fake.files("proc", &[("cpuinfo", "flags : fpu hypervisor")]);
    let system = collect(fake.root()).system;
    assert_eq!((system.vendor.as_str(), system.kind.as_str()), ("LENOVO", "virtual-machine"));
    assert_eq!(system.chassis.unwrap().kind, "Notebook");
    assert_eq!(system.firmware.unwrap().date, "01/02/2020");
    fake.files("run/systemd", &[("container", "lxc")]);
    assert_eq!(collect(fake.root()).system.kind, "container");
}
