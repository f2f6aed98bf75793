//! Wire structs of `resources` objects (`rest-api.yaml`).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `Resources` represents the system resources available for LXD.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Resources {
    /// cpu.
    pub cpu: ResourcesCpu,
    /// gpu.
    pub gpu: ResourcesGpu,
    /// memory.
    pub memory: ResourcesMemory,
    /// network.
    pub network: ResourcesNetwork,
    /// pci.
    pub pci: ResourcesPci,
    /// storage.
    pub storage: ResourcesStorage,
    /// system.
    pub system: ResourcesSystem,
    /// usb.
    pub usb: ResourcesUsb,
}

/// `ResourcesCPU` represents the cpu resources available on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesCpu {
    /// Architecture name.
    pub architecture: String,
    /// List of CPU sockets.
    pub sockets: Vec<ResourcesCpuSocket>,
    /// Total number of CPU threads (from all sockets and cores).
    pub total: u64,
}

/// `ResourcesCPUCache` represents a CPU cache.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesCpuCache {
    /// Cache level (usually a number from 1 to 3).
    pub level: u64,
    /// Size of the cache (in bytes).
    pub size: u64,
    /// Type of cache (Data, Instruction, Unified, ...).
    #[serde(rename = "type")]
    pub kind: String,
}

/// `ResourcesCPUCore` represents a CPU core on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesCpuCore {
    /// Core identifier within the socket.
    pub core: u64,
    /// What die the CPU is a part of (for chiplet designs).
    pub die: u64,
    /// Current frequency.
    pub frequency: u64,
    /// List of threads.
    pub threads: Vec<ResourcesCpuThread>,
}

/// `ResourcesCPUSocket` represents a CPU socket on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesCpuSocket {
    /// List of CPU caches.
    pub cache: Vec<ResourcesCpuCache>,
    /// List of CPU cores.
    pub cores: Vec<ResourcesCpuCore>,
    /// Current CPU frequency (Mhz).
    pub frequency: u64,
    /// Minimum CPU frequency (Mhz).
    pub frequency_minimum: u64,
    /// Maximum CPU frequency (Mhz).
    pub frequency_turbo: u64,
    /// Product name.
    pub name: String,
    /// Socket number.
    pub socket: u64,
    /// Vendor name.
    pub vendor: String,
}

/// `ResourcesCPUThread` represents a CPU thread on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesCpuThread {
    /// Thread ID (used for CPU pinning).
    pub id: i64,
    /// Whether the thread has been isolated (outside of normal scheduling).
    pub isolated: bool,
    /// NUMA node the thread is a part of.
    pub numa_node: u64,
    /// Whether the thread is online (enabled).
    pub online: bool,
    /// Thread identifier within the core.
    pub thread: u64,
}

/// `ResourcesGPU` represents the GPU resources available on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesGpu {
    /// List of GPUs.
    pub cards: Vec<ResourcesGpuCard>,
    /// Total number of GPUs.
    pub total: u64,
}

/// `ResourcesGPUCard` represents a GPU card on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesGpuCard {
    /// Kernel driver currently associated with the GPU.
    pub driver: String,
    /// Version of the kernel driver.
    pub driver_version: String,
    /// drm.
    pub drm: ResourcesGpuCardDrm,
    /// Map of available mediated device profiles.
    pub mdev: BTreeMap<String, ResourcesGpuCardMdev>,
    /// NUMA node the GPU is a part of.
    pub numa_node: u64,
    /// nvidia.
    pub nvidia: ResourcesGpuCardNvidia,
    /// PCI address.
    pub pci_address: String,
    /// Name of the product.
    pub product: String,
    /// PCI ID of the product.
    pub product_id: String,
    /// sriov.
    pub sriov: ResourcesGpuCardSriov,
    /// USB address (for USB cards).
    pub usb_address: String,
    /// Name of the vendor.
    pub vendor: String,
    /// PCI ID of the vendor.
    pub vendor_id: String,
}

/// `ResourcesGPUCardDRM` represents the Linux DRM configuration of the GPU.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesGpuCardDrm {
    /// Card device number.
    pub card_device: String,
    /// Card device name.
    pub card_name: String,
    /// Control device number.
    pub control_device: String,
    /// Control device name.
    pub control_name: String,
    /// DRM card ID.
    pub id: u64,
    /// Render device number.
    pub render_device: String,
    /// Render device name.
    pub render_name: String,
}

/// `ResourcesGPUCardMdev` represents the mediated devices configuration of the GPU.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesGpuCardMdev {
    /// The mechanism used by this device.
    pub api: String,
    /// Number of available devices of this profile.
    pub available: u64,
    /// Profile description.
    pub description: String,
    /// List of active devices (UUIDs).
    pub devices: Vec<String>,
    /// Profile name.
    pub name: String,
}

/// `ResourcesGPUCardNvidia` represents additional information for NVIDIA GPUs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesGpuCardNvidia {
    /// Architecture (generation).
    pub architecture: String,
    /// Brand name.
    pub brand: String,
    /// Card device number.
    pub card_device: String,
    /// Card device name.
    pub card_name: String,
    /// Version of the CUDA API.
    pub cuda_version: String,
    /// Model name.
    pub model: String,
    /// Version of the NVRM (usually driver version).
    pub nvrm_version: String,
    /// GPU UUID.
    pub uuid: String,
}

/// `ResourcesGPUCardSRIOV` represents the SRIOV configuration of the GPU.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesGpuCardSriov {
    /// Number of VFs currently configured.
    pub current_vfs: u64,
    /// Maximum number of supported VFs.
    pub maximum_vfs: u64,
    /// List of VFs (as additional GPU devices).
    pub vfs: Vec<ResourcesGpuCard>,
}

/// `ResourcesMemory` represents the memory resources available on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesMemory {
    /// Size of memory huge pages (bytes).
    pub hugepages_size: u64,
    /// Total of memory huge pages (bytes).
    pub hugepages_total: u64,
    /// Used memory huge pages (bytes).
    pub hugepages_used: u64,
    /// List of NUMA memory nodes.
    pub nodes: Vec<ResourcesMemoryNode>,
    /// Total system memory (bytes).
    pub total: u64,
    /// Used system memory (bytes).
    pub used: u64,
}

/// `ResourcesMemoryNode` represents the node-specific memory resources available on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesMemoryNode {
    /// Total of memory huge pages (bytes).
    pub hugepages_total: u64,
    /// Used memory huge pages (bytes).
    pub hugepages_used: u64,
    /// NUMA node identifier.
    pub numa_node: u64,
    /// Total system memory (bytes).
    pub total: u64,
    /// Used system memory (bytes).
    pub used: u64,
}

/// `ResourcesNetwork` represents the network cards available on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesNetwork {
    /// List of network cards.
    pub cards: Vec<ResourcesNetworkCard>,
    /// Total number of network cards.
    pub total: u64,
}

/// `ResourcesNetworkCard` represents a network card on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesNetworkCard {
    /// Kernel driver currently associated with the card.
    pub driver: String,
    /// Version of the kernel driver.
    pub driver_version: String,
    /// Current firmware version.
    pub firmware_version: String,
    /// NUMA node the card is a part of.
    pub numa_node: u64,
    /// PCI address (for PCI cards).
    pub pci_address: String,
    /// List of ports on the card.
    pub ports: Vec<ResourcesNetworkCardPort>,
    /// Name of the product.
    pub product: String,
    /// PCI ID of the product.
    pub product_id: String,
    /// sriov.
    pub sriov: ResourcesNetworkCardSriov,
    /// USB address (for USB cards).
    pub usb_address: String,
    /// Name of the vendor.
    pub vendor: String,
    /// PCI ID of the vendor.
    pub vendor_id: String,
}

/// `ResourcesNetworkCardPort` represents a network port on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesNetworkCardPort {
    /// MAC address.
    pub address: String,
    /// Whether auto negotiation is used.
    pub auto_negotiation: bool,
    /// Port identifier (interface name).
    pub id: String,
    /// infiniband.
    pub infiniband: ResourcesNetworkCardPortInfiniband,
    /// Whether a link was detected.
    pub link_detected: bool,
    /// Duplex type.
    pub link_duplex: String,
    /// Current speed (Mbit/s).
    pub link_speed: u64,
    /// Port number.
    pub port: u64,
    /// Current port type.
    pub port_type: String,
    /// Transport protocol.
    pub protocol: String,
    /// List of supported modes.
    pub supported_modes: Vec<String>,
    /// List of supported port types.
    pub supported_ports: Vec<String>,
    /// Type of transceiver used.
    pub transceiver_type: String,
}

/// `ResourcesNetworkCardPortInfiniband` represents the Linux Infiniband configuration for the port.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesNetworkCardPortInfiniband {
    /// ISSM device number.
    pub issm_device: String,
    /// ISSM device name.
    pub issm_name: String,
    /// MAD device number.
    pub mad_device: String,
    /// MAD device name.
    pub mad_name: String,
    /// Verb device number.
    pub verb_device: String,
    /// Verb device name.
    pub verb_name: String,
}

/// `ResourcesNetworkCardSRIOV` represents the SRIOV configuration of the network card.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesNetworkCardSriov {
    /// Number of VFs currently configured.
    pub current_vfs: u64,
    /// Maximum number of supported VFs.
    pub maximum_vfs: u64,
    /// List of VFs (as additional Network devices).
    pub vfs: Vec<ResourcesNetworkCard>,
}

/// `ResourcesPCI` represents the PCI devices available on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesPci {
    /// List of PCI devices.
    pub devices: Vec<ResourcesPciDevice>,
    /// Total number of PCI devices.
    pub total: u64,
}

/// `ResourcesPCIDevice` represents a PCI device.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesPciDevice {
    /// Kernel driver currently associated with the GPU.
    pub driver: String,
    /// Version of the kernel driver.
    pub driver_version: String,
    /// IOMMU group number.
    pub iommu_group: u64,
    /// NUMA node the card is a part of.
    pub numa_node: u64,
    /// PCI address.
    pub pci_address: String,
    /// Name of the product.
    pub product: String,
    /// PCI ID of the product.
    pub product_id: String,
    /// Name of the vendor.
    pub vendor: String,
    /// PCI ID of the vendor.
    pub vendor_id: String,
}

/// `ResourcesStorage` represents the local storage.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesStorage {
    /// List of disks.
    pub disks: Vec<ResourcesStorageDisk>,
    /// Total number of partitions.
    pub total: u64,
}

/// `ResourcesStorageDisk` represents a disk.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesStorageDisk {
    /// Block size.
    pub block_size: u64,
    /// Device number.
    pub device: String,
    /// Device by-id identifier.
    pub device_id: String,
    /// Device by-path identifier.
    pub device_path: String,
    /// Current firmware version.
    pub firmware_version: String,
    /// ID of the disk (device name).
    pub id: String,
    /// Disk model name.
    pub model: String,
    /// NUMA node the disk is a part of.
    pub numa_node: u64,
    /// List of partitions.
    pub partitions: Vec<ResourcesStorageDiskPartition>,
    /// PCI address.
    pub pci_address: String,
    /// Whether the disk is read-only.
    pub read_only: bool,
    /// Whether the disk is removable (hot-plug).
    pub removable: bool,
    /// Rotation speed (RPM).
    pub rpm: u64,
    /// Serial number.
    pub serial: String,
    /// Total size of the disk (bytes).
    pub size: u64,
    /// Storage type.
    #[serde(rename = "type")]
    pub kind: String,
    /// USB address.
    pub usb_address: String,
    /// WWN identifier.
    pub wwn: String,
}

/// `ResourcesStorageDiskPartition` represents a partition on a disk.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesStorageDiskPartition {
    /// Device number.
    pub device: String,
    /// ID of the partition (device name).
    pub id: String,
    /// Partition number.
    pub partition: u64,
    /// Whether the partition is read-only.
    pub read_only: bool,
    /// Size of the partition (bytes).
    pub size: u64,
}

/// `ResourcesStoragePool` represents the resources available to a given storage pool.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesStoragePool {
    /// inodes.
    pub inodes: ResourcesStoragePoolInodes,
    /// space.
    pub space: ResourcesStoragePoolSpace,
}

/// `ResourcesStoragePoolInodes` represents the inodes available to a given storage pool.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesStoragePoolInodes {
    /// Total inodes.
    pub total: u64,
    /// Used inodes.
    pub used: u64,
}

/// `ResourcesStoragePoolSpace` represents the space available to a given storage pool.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesStoragePoolSpace {
    /// Total disk space (bytes).
    pub total: u64,
    /// Used disk space (bytes).
    pub used: u64,
}

/// `ResourcesSystem` represents the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesSystem {
    /// chassis.
    pub chassis: ResourcesSystemChassis,
    /// System family.
    pub family: String,
    /// firmware.
    pub firmware: ResourcesSystemFirmware,
    /// motherboard.
    pub motherboard: ResourcesSystemMotherboard,
    /// System model.
    pub product: String,
    /// System serial number.
    pub serial: String,
    /// System nanufacturer SKU LENOVO_MT_20HR_BU_Think_FM_ThinkPad X1 Carbon 5th.
    pub sku: String,
    /// System type (unknown, physical, virtual-machine, container, ...).
    #[serde(rename = "type")]
    pub kind: String,
    /// System UUID.
    pub uuid: String,
    /// System vendor.
    pub vendor: String,
    /// System version.
    pub version: String,
}

/// `ResourcesSystemChassis` represents the system chassis.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesSystemChassis {
    /// Chassis serial number.
    pub serial: String,
    /// Chassis type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Chassis vendor.
    pub vendor: String,
    /// Chassis version/revision.
    pub version: String,
}

/// `ResourcesSystemFirmware` represents the system firmware.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesSystemFirmware {
    /// Firmware build date.
    pub date: String,
    /// Firmware vendor.
    pub vendor: String,
    /// Firmware version.
    pub version: String,
}

/// `ResourcesSystemMotherboard` represents the motherboard.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesSystemMotherboard {
    /// Motherboard model.
    pub product: String,
    /// Motherboard serial number.
    pub serial: String,
    /// Motherboard vendor.
    pub vendor: String,
    /// Motherboard version/revision.
    pub version: String,
}

/// `ResourcesUSB` represents the USB devices available on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesUsb {
    /// List of USB devices.
    pub devices: Vec<ResourcesUsbDevice>,
    /// Total number of USB devices.
    pub total: u64,
}

/// `ResourcesUSBDevice` represents a USB device.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesUsbDevice {
    /// USB address (bus).
    pub bus_address: u64,
    /// USB address (device).
    pub device_address: u64,
    /// List of USB interfaces.
    pub interfaces: Vec<ResourcesUsbDeviceInterface>,
    /// Name of the product.
    pub product: String,
    /// USB ID of the product.
    pub product_id: String,
    /// Transfer speed (Mbit/s).
    pub speed: f64,
    /// Name of the vendor.
    pub vendor: String,
    /// USB ID of the vendor.
    pub vendor_id: String,
}

/// `ResourcesUSBDeviceInterface` represents a USB device interface.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesUsbDeviceInterface {
    /// Class of USB interface.
    pub class: String,
    /// ID of the USB interface class.
    pub class_id: u64,
    /// Kernel driver currently associated with the device.
    pub driver: String,
    /// Version of the kernel driver.
    pub driver_version: String,
    /// Interface number.
    pub number: u64,
    /// Sub class of the interface.
    pub subclass: String,
    /// ID of the USB interface sub class.
    pub subclass_id: u64,
}
