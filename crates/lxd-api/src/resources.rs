//! Wire structs of `resources` objects (`rest-api.yaml`).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `Resources` represents the system resources available for LXD.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Resources {
    /// cpu.
    pub cpu: ResourcesCpu,
    /// memory.
    pub memory: ResourcesMemory,
    /// gpu.
    pub gpu: ResourcesGpu,
    /// network.
    pub network: ResourcesNetwork,
    /// storage.
    pub storage: ResourcesStorage,
    /// usb.
    pub usb: ResourcesUsb,
    /// pci.
    pub pci: ResourcesPci,
    /// system.
    pub system: ResourcesSystem,
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
    /// Type of cache (Data, Instruction, Unified, ...).
    #[serde(rename = "type")]
    pub kind: String,
    /// Size of the cache (in bytes).
    pub size: u64,
}

/// `ResourcesCPUCore` represents a CPU core on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesCpuCore {
    /// Core identifier within the socket.
    pub core: u64,
    /// What die the CPU is a part of (for chiplet designs).
    pub die: u64,
    /// List of threads.
    pub threads: Vec<ResourcesCpuThread>,
    /// Current frequency.
    #[serde(skip_serializing_if = "crate::wire::is_zero")]
    pub frequency: u64,
}

/// `ResourcesCPUSocket` represents a CPU socket on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesCpuSocket {
    /// Product name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Vendor name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vendor: String,
    /// Socket number.
    pub socket: u64,
    /// List of CPU caches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cache: Vec<ResourcesCpuCache>,
    /// List of CPU cores.
    pub cores: Vec<ResourcesCpuCore>,
    /// Current CPU frequency (Mhz).
    #[serde(skip_serializing_if = "crate::wire::is_zero")]
    pub frequency: u64,
    /// Minimum CPU frequency (Mhz).
    #[serde(skip_serializing_if = "crate::wire::is_zero")]
    pub frequency_minimum: u64,
    /// Maximum CPU frequency (Mhz).
    #[serde(skip_serializing_if = "crate::wire::is_zero")]
    pub frequency_turbo: u64,
}

/// `ResourcesCPUThread` represents a CPU thread on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesCpuThread {
    /// Thread ID (used for CPU pinning).
    pub id: i64,
    /// NUMA node the thread is a part of.
    pub numa_node: u64,
    /// Thread identifier within the core.
    pub thread: u64,
    /// Whether the thread is online (enabled).
    pub online: bool,
    /// Whether the thread has been isolated (outside of normal scheduling).
    pub isolated: bool,
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
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Version of the kernel driver.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver_version: String,
    /// drm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drm: Option<ResourcesGpuCardDrm>,
    /// sriov.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sriov: Option<ResourcesGpuCardSriov>,
    /// nvidia.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvidia: Option<ResourcesGpuCardNvidia>,
    /// Map of available mediated device profiles.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mdev: BTreeMap<String, ResourcesGpuCardMdev>,
    /// NUMA node the GPU is a part of.
    pub numa_node: u64,
    /// PCI address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pci_address: String,
    /// Name of the vendor.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vendor: String,
    /// PCI ID of the vendor.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vendor_id: String,
    /// Name of the product.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub product: String,
    /// PCI ID of the product.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub product_id: String,
    /// USB address (for USB cards).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub usb_address: String,
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
    /// List of NUMA memory nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<ResourcesMemoryNode>,
    /// Total of memory huge pages (bytes).
    pub hugepages_total: u64,
    /// Used memory huge pages (bytes).
    pub hugepages_used: u64,
    /// Size of memory huge pages (bytes).
    pub hugepages_size: u64,
    /// Used system memory (bytes).
    pub used: u64,
    /// Total system memory (bytes).
    pub total: u64,
}

/// `ResourcesMemoryNode` represents the node-specific memory resources available on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesMemoryNode {
    /// NUMA node identifier.
    pub numa_node: u64,
    /// Used memory huge pages (bytes).
    pub hugepages_used: u64,
    /// Total of memory huge pages (bytes).
    pub hugepages_total: u64,
    /// Used system memory (bytes).
    pub used: u64,
    /// Total system memory (bytes).
    pub total: u64,
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
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Version of the kernel driver.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver_version: String,
    /// List of ports on the card.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ResourcesNetworkCardPort>,
    /// sriov.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sriov: Option<ResourcesNetworkCardSriov>,
    /// NUMA node the card is a part of.
    pub numa_node: u64,
    /// PCI address (for PCI cards).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pci_address: String,
    /// Name of the vendor.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vendor: String,
    /// PCI ID of the vendor.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vendor_id: String,
    /// Name of the product.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub product: String,
    /// PCI ID of the product.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub product_id: String,
    /// Current firmware version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub firmware_version: String,
    /// USB address (for USB cards).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub usb_address: String,
}

/// `ResourcesNetworkCardPort` represents a network port on the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesNetworkCardPort {
    /// Port identifier (interface name).
    pub id: String,
    /// MAC address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Port number.
    pub port: u64,
    /// Transport protocol.
    pub protocol: String,
    /// List of supported modes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported_modes: Vec<String>,
    /// List of supported port types.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported_ports: Vec<String>,
    /// Current port type.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub port_type: String,
    /// Type of transceiver used.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub transceiver_type: String,
    /// Whether auto negotiation is used.
    pub auto_negotiation: bool,
    /// Whether a link was detected.
    pub link_detected: bool,
    /// Current speed (Mbit/s).
    #[serde(skip_serializing_if = "crate::wire::is_zero")]
    pub link_speed: u64,
    /// Duplex type.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub link_duplex: String,
    /// infiniband.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infiniband: Option<ResourcesNetworkCardPortInfiniband>,
}

/// `ResourcesNetworkCardPortInfiniband` represents the Linux Infiniband configuration for the port.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesNetworkCardPortInfiniband {
    /// ISSM device number.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issm_device: String,
    /// ISSM device name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issm_name: String,
    /// MAD device number.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mad_device: String,
    /// MAD device name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mad_name: String,
    /// Verb device number.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub verb_device: String,
    /// Verb device name.
    #[serde(skip_serializing_if = "String::is_empty")]
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
    /// NUMA node the card is a part of.
    pub numa_node: u64,
    /// PCI address.
    pub pci_address: String,
    /// Name of the vendor.
    pub vendor: String,
    /// PCI ID of the vendor.
    pub vendor_id: String,
    /// Name of the product.
    pub product: String,
    /// PCI ID of the product.
    pub product_id: String,
    /// IOMMU group number.
    pub iommu_group: u64,
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
    /// ID of the disk (device name).
    pub id: String,
    /// Device number.
    pub device: String,
    /// Disk model name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Storage type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether the disk is read-only.
    pub read_only: bool,
    /// Total size of the disk (bytes).
    pub size: u64,
    /// Whether the disk is removable (hot-plug).
    pub removable: bool,
    /// WWN identifier.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub wwn: String,
    /// NUMA node the disk is a part of.
    pub numa_node: u64,
    /// Device by-path identifier.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device_path: String,
    /// Block size.
    pub block_size: u64,
    /// Current firmware version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub firmware_version: String,
    /// Rotation speed (RPM).
    pub rpm: u64,
    /// Serial number.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// Device by-id identifier.
    pub device_id: String,
    /// List of partitions.
    pub partitions: Vec<ResourcesStorageDiskPartition>,
    /// PCI address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pci_address: String,
    /// USB address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub usb_address: String,
}

/// `ResourcesStorageDiskPartition` represents a partition on a disk.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesStorageDiskPartition {
    /// ID of the partition (device name).
    pub id: String,
    /// Device number.
    pub device: String,
    /// Whether the partition is read-only.
    pub read_only: bool,
    /// Size of the partition (bytes).
    pub size: u64,
    /// Partition number.
    pub partition: u64,
}

/// `ResourcesStoragePool` represents the resources available to a given storage pool.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesStoragePool {
    /// space.
    pub space: ResourcesStoragePoolSpace,
    /// inodes.
    pub inodes: ResourcesStoragePoolInodes,
}

/// `ResourcesStoragePoolInodes` represents the inodes available to a given storage pool.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesStoragePoolInodes {
    /// Used inodes.
    pub used: u64,
    /// Total inodes.
    pub total: u64,
}

/// `ResourcesStoragePoolSpace` represents the space available to a given storage pool.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesStoragePoolSpace {
    /// Used disk space (bytes).
    pub used: u64,
    /// Total disk space (bytes).
    pub total: u64,
}

/// `ResourcesSystem` represents the system.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesSystem {
    /// System UUID.
    pub uuid: String,
    /// System vendor.
    pub vendor: String,
    /// System model.
    pub product: String,
    /// System family.
    pub family: String,
    /// System version.
    pub version: String,
    /// System nanufacturer SKU LENOVO_MT_20HR_BU_Think_FM_ThinkPad X1 Carbon 5th.
    pub sku: String,
    /// System serial number.
    pub serial: String,
    /// System type (unknown, physical, virtual-machine, container, ...).
    #[serde(rename = "type")]
    pub kind: String,
    /// firmware.
    pub firmware: Option<ResourcesSystemFirmware>,
    /// chassis.
    pub chassis: Option<ResourcesSystemChassis>,
    /// motherboard.
    pub motherboard: Option<ResourcesSystemMotherboard>,
}

/// `ResourcesSystemChassis` represents the system chassis.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesSystemChassis {
    /// Chassis vendor.
    pub vendor: String,
    /// Chassis type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Chassis serial number.
    pub serial: String,
    /// Chassis version/revision.
    pub version: String,
}

/// `ResourcesSystemFirmware` represents the system firmware.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesSystemFirmware {
    /// Firmware vendor.
    pub vendor: String,
    /// Firmware build date.
    pub date: String,
    /// Firmware version.
    pub version: String,
}

/// `ResourcesSystemMotherboard` represents the motherboard.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ResourcesSystemMotherboard {
    /// Motherboard vendor.
    pub vendor: String,
    /// Motherboard model.
    pub product: String,
    /// Motherboard serial number.
    pub serial: String,
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
