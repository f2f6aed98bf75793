//! What a network driver tells about its port and its firmware, by the ethtool requests that every driver has.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::AsRawFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// The ioctl for all ethtool requests.
const SIOCETHTOOL: libc::c_ulong = 0x8946;
/// Request: settings of the port.
const GET_SETTINGS: u32 = 0x1;
/// Request: driver and firmware.
const GET_DRIVER_INFO: u32 = 0x3;

/// `struct ethtool_cmd`.
#[repr(C)]
struct Command {
    request: u32,
    supported: u32,
    advertising: u32,
    speed: u16,
    duplex: u8,
    port: u8,
    phy_address: u8,
    transceiver: u8,
    autoneg: u8,
    mdio_support: u8,
    max_tx_packets: u32,
    max_rx_packets: u32,
    speed_high: u16,
    mdi_x: u8,
    mdi_x_control: u8,
    partner_advertising: u32,
    reserved: [u32; 2],
}

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    request: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware: [u8; 32],
    bus: [u8; 32],
    rom: [u8; 32],
    reserved: [u8; 12],
    private_flags: u32,
    statistics: u32,
    tests: u32,
    eeprom: u32,
    registers: u32,
}

const _: () = assert!(size_of::<Command>() == 44 && size_of::<DriverInfo>() == 196);

/// Settings of a port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Port {
    /// Bits of supported modes and kinds of ports (`SUPPORTED_*` of `linux/ethtool.h`).
    pub supported: u32,
    /// Kind of the present port (`PORT_*`).
    pub port: u8,
    /// 0 internal, 1 external.
    pub transceiver: u8,
    /// Speed and duplex are agreed on with the other side.
    pub autoneg: bool,
}

/// Settings of an interface's port.
///
/// # Errors
/// There is no such interface, or its driver does not tell.
pub fn port(interface: &str) -> io::Result<Port> {
    // SAFETY: the struct has only integers, for which zero is a value.
    let mut command: Command = unsafe { zeroed() };
    command.request = GET_SETTINGS;
    ask(interface, &mut command)?;
    Ok(Port {
        supported: command.supported,
        port: command.port,
        transceiver: command.transceiver,
        autoneg: command.autoneg == 1,
    })
}

/// Version of the firmware of an interface's card; often empty.
///
/// # Errors
/// There is no such interface, or its driver does not tell.
pub fn firmware(interface: &str) -> io::Result<String> {
    // SAFETY: the struct has only integers, for which zero is a value.
    let mut info: DriverInfo = unsafe { zeroed() };
    info.request = GET_DRIVER_INFO;
    ask(interface, &mut info)?;
    let text = info.firmware.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).trim().to_owned())
}

/// Sends a request, whose struct begins with its number, and takes the answer into the same struct.
fn ask<T>(interface: &str, request: &mut T) -> io::Result<()> {
    // SAFETY: the struct has integers, a byte array and a pointer, for which zero is a value.
    let mut message: libc::ifreq = unsafe { zeroed() };
    if interface.len() >= message.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (place, byte) in message.ifr_name.iter_mut().zip(interface.bytes()) {
        *place = byte.cast_signed();
    }
    message.ifr_ifru.ifru_data = std::ptr::from_mut(request).cast();
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: the message is a whole ifreq whose pointer leads to a struct of the request's size (checked above against
    // the kernel's sizes), both live until the call returns, and the kernel writes no further than that struct.
    let code = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut message) };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_interfaces_are_errors() {
        assert!(port("nosuchif0").is_err());
        assert!(firmware("a-name-that-is-too-long-for-the-kernel").is_err());
    }

    #[test]
    fn the_loopback_interface_does_not_tell() {
        assert!(port("lo").is_err());
    }
}
