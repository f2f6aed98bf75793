//! Which process listens on a port.

use std::fs;
use std::net::IpAddr;

/// State of a TCP socket that listens, in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// A process that holds a port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Holder {
    /// Its process id.
    pub pid: i32,
    /// Its name.
    pub name: String,
}

/// The process that holds a port of an address (or of all addresses) in this network namespace. Walks all processes: for
/// error messages only.
pub fn holder(address: IpAddr, port: u16) -> Option<Holder> {
    let inodes: Vec<String> = ["udp", "tcp", "udp6", "tcp6"]
        .iter()
        .flat_map(|table| {
            let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
            inodes(&text, table.starts_with("tcp"), address, port)
        })
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes =
        fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let pid = processes.filter_map(|name| name.parse::<i32>().ok()).find(|pid| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut targets = open.filter_map(|fd| fs::read_link(fd.path()).ok());
        targets.any(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(Holder { pid, name: name.trim_end().to_owned() })
}

/// The numbers of the sockets in a table of the kernel that hold a port of an address.
fn inodes(table: &str, tcp: bool, address: IpAddr, port: u16) -> Vec<String> {
    let fits = |local: &str| {
        let Some((at, number)) = local.split_once(':') else { return false };
        let any = at.bytes().all(|byte| byte == b'0');
        let same = match address {
            IpAddr::V4(v4) => at.len() == 8 && at == format!("{:08X}", u32::from(v4).swap_bytes()),
            IpAddr::V6(v6) => {
                let words = v6.octets();
                let words = words.chunks_exact(4).filter_map(|four| <[u8; 4]>::try_from(four).ok());
                at == words.map(|four| format!("{:08X}", u32::from_le_bytes(four))).collect::<String>()
            }
        };
        u16::from_str_radix(number, 16) == Ok(port) && (any || same)
    };
    let sockets = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (local, state) = (*columns.get(1)?, *columns.get(3)?);
        (fits(local) && (!tcp || state == LISTEN)).then(|| (*columns.get(9).unwrap_or(&"0")).to_owned())
    });
    sockets.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_socket_is_found() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let found = holder("127.0.0.1".parse().unwrap(), port).unwrap();
        assert_eq!(found.pid, i32::try_from(std::process::id()).unwrap());
        drop(socket);
    }

    #[test]
    fn addresses_are_those_of_the_kernel() {
        let table = "head\n 0: 0100007F:0035 00000000:0000 0A 0 0 0 0 0 4711 1\n 1: 00000000:0036 x 0A 0 0 0 0 0 4712 1\n";
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(inodes(table, true, local, 53), ["4711"]);
        assert_eq!(inodes(table, true, local, 54), ["4712"]);
        assert!(inodes(table, true, "10.0.0.1".parse().unwrap(), 53).is_empty());
        assert!(
            inodes(&table.replace("0A", "01"), true, local, 53).is_empty(),
            "a connection is no listener"
        );
    }
}
