//! Waiting until somebody changes rules of the kernel's packet filter (nftables).

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The group of events of nftables (`NFNLGRP_NFTABLES`), as a bit.
const GROUP: u32 = 1 << (7 - 1);
/// Kinds of events (`NFNL_SUBSYS_NFTABLES`): a table, a chain, a rule is gone; a chain, a rule is new.
const GONE_TABLE: u16 = (10 << 8) | 2;
const GONE_CHAIN: u16 = (10 << 8) | 5;
const GONE_RULE: u16 = (10 << 8) | 8;
const NEW_CHAIN: u16 = (10 << 8) | 3;
const NEW_RULE: u16 = (10 << 8) | 6;
/// The name of tables of daemons like this one.
const OURS: &str = "lxd";
/// Length of the header of a message, and of that with the header of its subsystem.
const HEADER: usize = 16;
const HEADERS: usize = HEADER + 4;

/// Changes of rules by anybody in this network namespace.
#[derive(Debug)]
pub struct RuleEvents(AsyncFd<OwnedFd>);

/// What was changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RuleEvent {
    /// A rule of this chain, or the chain.
    Chain {
        /// The table of the chain.
        table: String,
        /// Its name.
        chain: String,
        /// The process that did it, as it numbers itself.
        by: i32,
    },
    /// Rules of another table than `lxd` were added or removed.
    Others,
    /// More was removed than could be told.
    Many,
}

impl RuleEvents {
    /// Watches from now on.
    ///
    /// # Errors
    /// The kernel has no nftables, or gives no descriptor.
    // As in `device_events`.
    #[expect(deprecated)]
    pub fn new() -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(NETFILTER))?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUP))?;
        Ok(Self(AsyncFd::with_interest(socket, Interest::READABLE)?))
    }

    /// Waits for the next change, and answers all that can be read then.
    ///
    /// # Errors
    /// As the system calls.
    pub async fn next(&mut self) -> io::Result<Vec<RuleEvent>> {
        loop {
            let mut ready = self.0.readable().await?;
            let (events, rest) = read(self.0.get_ref());
            rest?;
            ready.clear_ready();
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }
}

/// Reads until nothing is left.
fn read(socket: &OwnedFd) -> (Vec<RuleEvent>, io::Result<()>) {
    let mut events = Vec::new();
    // The kernel sends at most this much at once.
    let mut space = vec![0_u8; 32 * 1024];
    loop {
        match rustix::net::recv(socket, &mut space[..], RecvFlags::empty()) {
            Ok((_, length)) => parse(&space[..length.min(space.len())], &mut events),
            Err(rustix::io::Errno::AGAIN) => return (events, Ok(())),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::NOBUFS) => push(&mut events, RuleEvent::Many),
            Err(error) => return (events, Err(error.into())),
        }
    }
}

/// Neighbouring events are the same ones again and again when a chain with many rules goes.
fn push(events: &mut Vec<RuleEvent>, event: RuleEvent) {
    if events.last() != Some(&event) {
        events.push(event);
    }
}

/// The messages of a datagram.
fn parse(mut bytes: &[u8], events: &mut Vec<RuleEvent>) {
    while let Some(length) = number(bytes, 0).map(|length| length as usize) {
        if length < HEADER || length > bytes.len() {
            return;
        }
        let (message, rest) = bytes.split_at(length);
        if let Some(event) = event(message) {
            push(events, event);
        }
        bytes = rest.get(aligned(length) - length..).unwrap_or_default();
    }
}

fn event(message: &[u8]) -> Option<RuleEvent> {
    let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
    // The number of the attribute with the chain's name; that of the table is the first.
    let chain = match kind {
        GONE_TABLE | NEW_CHAIN | NEW_RULE => None,
        GONE_CHAIN => Some(3),
        GONE_RULE => Some(2),
        _ => return None,
    };
    let by = i32::from_ne_bytes(message.get(12..16)?.try_into().ok()?);
    let attributes = message.get(HEADERS..)?;
    let table = attribute(attributes, 1)?;
    if table != OURS {
        return Some(RuleEvent::Others);
    }
    if matches!(kind, NEW_CHAIN | NEW_RULE) {
        return None;
    }
    let chain = match chain {
        Some(number) => attribute(attributes, number)?,
        None => String::new(),
    };
    Some(RuleEvent::Chain { table, chain, by })
}

/// The text of an attribute.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<String> {
    loop {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let value = bytes.get(4..length)?;
        if kind == wanted {
            let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        bytes = bytes.get(aligned(length)..)?;
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, by: i32, attributes: &[(u16, &str)]) -> Vec<u8> {
        let mut body = vec![1, 0, 0, 0];
        for (number, text) in attributes {
            let length = u16::try_from(4 + text.len() + 1).unwrap();
            body.extend(length.to_ne_bytes());
            body.extend(number.to_ne_bytes());
            body.extend(text.as_bytes());
            body.push(0);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut all = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
        all.extend(kind.to_ne_bytes());
        all.extend([0; 6]);
        all.extend(by.to_ne_bytes());
        all.extend(body);
        all
    }

    #[test]
    fn removals_are_read_and_the_rest_is_not() {
        let mut bytes = message(GONE_RULE, 7, &[(1, "lxd"), (2, "in.c1.eth0"), (3, "x")]);
        bytes.extend(message(GONE_RULE, 7, &[(1, "lxd"), (2, "in.c1.eth0")]));
        bytes.extend(message(GONE_CHAIN, 7, &[(1, "lxd"), (2, "handle"), (3, "in.c1.eth0")]));
        bytes.extend(message((10 << 8) | 6, 7, &[(1, "lxd"), (2, "new")]));
        bytes.extend(message(GONE_TABLE, 8, &[(1, "lxd")]));
        let mut events = Vec::new();
        parse(&bytes, &mut events);
        let chain = |chain: &str, by| RuleEvent::Chain { table: "lxd".into(), chain: chain.into(), by };
        assert_eq!(events, [chain("in.c1.eth0", 7), chain("", 8)]);
        // Whatever comes, nothing breaks.
        for end in 0..bytes.len() {
            parse(&bytes[..end], &mut Vec::new());
            parse(&bytes[end..], &mut Vec::new());
        }
        parse(&[0; 64], &mut Vec::new());
    }
}
