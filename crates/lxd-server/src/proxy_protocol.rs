//! The PROXY protocol, versions 1 and 2: a trusted proxy tells the address of its client before the TLS handshake
//! (server key `core.https_trusted_proxy`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The longest header of version 1, line end included.
const LINE: usize = 107;
/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest addresses and extensions of version 2 that are read.
const LONGEST: usize = 4096;

/// True when the list of proxies has this address.
pub fn is_trusted(proxies: &str, address: IpAddr) -> bool {
    let same = |text: &str| {
        text.trim().parse::<IpAddr>().is_ok_and(|proxy| proxy.to_canonical() == address.to_canonical())
    };
    proxies.split(',').any(same)
}

/// Takes the header off a new connection, if there is one: the address of the client where it tells one. Connections
/// without a header (a TLS handshake begins at once) are left as they are.
///
/// # Errors
/// The header is malformed or the connection ends in it.
pub async fn source(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Ok(None);
    }
    match first[0] {
        b'P' => line(stream).await,
        b'\r' => binary(stream).await,
        _ => Ok(None),
    }
}

async fn line(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut line = Vec::with_capacity(LINE);
    while !line.ends_with(b"\r\n") {
        if line.len() >= LINE {
            return Err(malformed());
        }
        line.push(stream.read_u8().await?);
    }
    std::str::from_utf8(&line).ok().and_then(parse_line).ok_or_else(malformed)
}

/// `Some(None)`: a header that tells no address.
fn parse_line(line: &str) -> Option<Option<SocketAddr>> {
    let words: Vec<&str> = line.trim_end_matches("\r\n").split(' ').collect();
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => Some(None),
        ["PROXY", family @ ("TCP4" | "TCP6"), source, _, port, _] => {
            let ip: IpAddr = source.parse().ok()?;
            let fits = ip.is_ipv4() == (family == "TCP4");
            fits.then_some(Some(SocketAddr::new(ip, port.parse().ok()?)))
        }
        _ => None,
    }
}

async fn binary(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if head[..12] != SIGNATURE || head[12] >> 4 != 2 || length > LONGEST {
        return Err(malformed());
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    parse_binary(head[12] & 15, head[13], &rest).ok_or_else(malformed)
}

fn parse_binary(command: u8, family: u8, rest: &[u8]) -> Option<Option<SocketAddr>> {
    match (command, family) {
        // The proxy itself connects, to see whether we are there.
        (0, _) => Some(None),
        (1, 0x11) => {
            let ip: [u8; 4] = rest.get(..4)?.try_into().ok()?;
            Some(Some(SocketAddr::new(Ipv4Addr::from(ip).into(), port(rest.get(8..10)?))))
        }
        (1, 0x21) => {
            let ip: [u8; 16] = rest.get(..16)?.try_into().ok()?;
            Some(Some(SocketAddr::new(Ipv6Addr::from(ip).into(), port(rest.get(32..34)?))))
        }
        (1, _) => Some(None),
        _ => None,
    }
}

fn port(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |port, byte| port << 8 | u16::from(*byte))
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed PROXY header")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines() {
        let address = |text: &str| Some(Some(text.parse().unwrap()));
        assert_eq!(parse_line("PROXY TCP4 10.0.0.1 10.0.0.2 1234 8443\r\n"), address("10.0.0.1:1234"));
        assert_eq!(parse_line("PROXY TCP6 ::1 ::2 1234 8443\r\n"), address("[::1]:1234"));
        assert_eq!(parse_line("PROXY UNKNOWN\r\n"), Some(None));
        for bad in
            ["PROXY\r\n", "PROXY TCP4 ::1 ::2 1 2\r\n", "PROXY TCP4 10.0.0.1 10.0.0.2 99999 1\r\n", "P\r\n"]
        {
            assert_eq!(parse_line(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn bytes() {
        let four = [10, 0, 0, 1, 10, 0, 0, 2, 4, 210, 32, 251];
        assert_eq!(parse_binary(1, 0x11, &four), Some(Some("10.0.0.1:1234".parse().unwrap())));
        assert_eq!(parse_binary(1, 0x11, &four[..9]), None);
        let mut six = [0; 36];
        six[15] = 1;
        (six[32], six[33]) = (4, 210);
        assert_eq!(parse_binary(1, 0x21, &six), Some(Some("[::1]:1234".parse().unwrap())));
        assert_eq!(parse_binary(0, 0, &[]), Some(None));
        assert_eq!(parse_binary(2, 0x11, &four), None);
    }

    #[tokio::test]
    async fn headers_are_taken_off_and_nothing_else() {
        use tokio::io::AsyncWriteExt;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut binary = SIGNATURE.to_vec();
        binary.extend([0x21, 0x11, 0, 12, 10, 0, 0, 1, 10, 0, 0, 2, 4, 210, 32, 251]);
        let told = Some("10.0.0.1:1234".parse().unwrap());
        for (header, expected) in [
            (b"PROXY TCP4 10.0.0.1 10.0.0.2 1234 8443\r\n".to_vec(), told),
            (binary, told),
            (Vec::new(), None),
        ] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            client.write_all(&[&header[..], b"\x16rest"].concat()).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_eq!(source(&mut stream).await.unwrap(), expected);
            let mut rest = [0; 5];
            stream.read_exact(&mut rest).await.unwrap();
            assert_eq!(&rest, b"\x16rest");
        }
    }

    #[test]
    fn proxies_are_a_list() {
        let v4 = "10.0.0.1".parse().unwrap();
        assert!(
            is_trusted("10.0.0.2, 10.0.0.1", v4)
                && is_trusted("10.0.0.1", "::ffff:10.0.0.1".parse().unwrap())
        );
        assert!(!is_trusted("10.0.0.10", v4) && !is_trusted("", v4));
    }

    proptest! {
        #[test]
        fn any_header_is_read(
            text: String,
            near in "PROXY (TCP4|TCP6|UNKNOWN) [0-9.:a-f]{0,10} ::1 [0-9]{0,6} 1\r\n",
            command: u8,
            family in prop_oneof![Just(0x11_u8), Just(0x21), any::<u8>()],
            rest in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = (parse_line(&text), parse_line(&near), parse_binary(command & 15, family, &rest));
        }

        #[test]
        fn a_told_address_is_read(ip: std::net::IpAddr, port: u16) {
            let family = if ip.is_ipv4() { "TCP4" } else { "TCP6" };
            let line = format!("PROXY {family} {ip} {ip} {port} 8443\r\n");
            prop_assert_eq!(parse_line(&line), Some(Some(SocketAddr::new(ip, port))));
        }
    }
}
