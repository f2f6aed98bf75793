//! What liblxc's monitors send when a system call of their container waits for an answer, and what they want to hear. Pure.
//!
//! A message is a header, the kernel's notice, room for the answer, and the cookie of `lxc.seccomp.notify.cookie`; descriptors
//! come along: the directory of the calling thread in `/proc`, its memory, the listener. The answer repeats the first three
//! parts.

use lxd_sys::notify::{Answer, Call};
use lxd_types::helper::{HARMLESS_DEVICES, InterceptedCall, MountRules};

/// Bytes of the header.
const HEADER: usize = 32;

/// Most bytes of a message; a cookie is a project and a name.
pub const MESSAGE_MAX: usize = 1024;

/// A message of a monitor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notice {
    /// The call that waits.
    pub call: Call,
    /// What names the container.
    pub cookie: String,
    /// Header and kernel's notice as they came.
    head: Vec<u8>,
    /// Bytes that the kernel's answer has.
    answer: usize,
}

impl Notice {
    /// Reads a message; `None` when it is none.
    pub fn parse(message: &[u8]) -> Option<Self> {
        let two =
            |at: usize| Some(usize::from(u16::from_ne_bytes(message.get(at..at + 2)?.try_into().ok()?)));
        let (notice, answer) = (two(16)?, two(18)?);
        let cookie = u64::from_ne_bytes(message.get(24..32)?.try_into().ok()?);
        let head = HEADER + notice;
        let begin = head + answer;
        let end = begin.checked_add(usize::try_from(cookie).ok()?)?;
        if notice < Call::SIZE || answer < Answer::SIZE || end != message.len() {
            return None;
        }
        // liblxc counts the end of the text or does not.
        let cookie = message[begin..end].strip_suffix(b"\0").unwrap_or(&message[begin..end]);
        Some(Self {
            call: Call::parse(&message[HEADER..head])?,
            cookie: String::from_utf8(cookie.to_vec()).ok()?,
            head: message[..head].to_vec(),
            answer,
        })
    }

    /// The message that answers.
    pub fn reply(&self, answer: Answer) -> Vec<u8> {
        let mut message = self.head.clone();
        // No cookie in the answer.
        message[24..32].fill(0);
        message.extend_from_slice(&answer.to_bytes(self.call.id));
        message.resize(self.head.len() + self.answer, 0);
        message
    }
}

/// The system calls that are known here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Name {
    Mknod,
    MknodAt,
    SetXattr,
    Mount,
    Bpf,
}

/// `AUDIT_ARCH_…` and the numbers that the calls have there.
const NUMBERS: &[(u32, [(Name, i32); 5])] = &[
    // x86_64
    (
        0xc000_003e,
        [
            (Name::Mknod, 133),
            (Name::MknodAt, 259),
            (Name::SetXattr, 188),
            (Name::Mount, 165),
            (Name::Bpf, 321),
        ],
    ),
    // i386
    (
        0x4000_0003,
        [(Name::Mknod, 14), (Name::MknodAt, 297), (Name::SetXattr, 226), (Name::Mount, 21), (Name::Bpf, 357)],
    ),
    // aarch64 and riscv64, which have no mknod
    (
        0xc000_00b7,
        [(Name::Mknod, -1), (Name::MknodAt, 33), (Name::SetXattr, 5), (Name::Mount, 40), (Name::Bpf, 280)],
    ),
    (
        0xc000_00f3,
        [(Name::Mknod, -1), (Name::MknodAt, 33), (Name::SetXattr, 5), (Name::Mount, 40), (Name::Bpf, 280)],
    ),
    // arm
    (
        0x4000_0028,
        [(Name::Mknod, 14), (Name::MknodAt, 324), (Name::SetXattr, 226), (Name::Mount, 21), (Name::Bpf, 386)],
    ),
];

/// x86_64 programs with short pointers set this bit in the numbers.
const X32: i32 = 0x4000_0000;

/// `/dev/console`, which a container may make beside the harmless devices (manual 3.6.7).
const CONSOLE: (u32, u32) = (5, 1);

/// What the daemon does about a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Plan {
    /// Answers at once.
    Answer(Answer),
    /// Has it done.
    Do(InterceptedCall),
    /// Looks up what the instance may mount, and has it done.
    Mount(InterceptedCall),
}

/// What is to be done about a call. Whatever is not ours goes on to the kernel, which asks for the caller's own rights.
pub fn plan(call: &Call) -> Plan {
    let [first, second, third, fourth, fifth, _] = call.arguments;
    match name(call) {
        Some(Name::Mknod) => mknod(libc::AT_FDCWD, first, second, third),
        // Registers are wider than what is in them.
        Some(Name::MknodAt) => mknod(first as u32 as i32, second, third, fourth),
        Some(Name::SetXattr) => Plan::Do(InterceptedCall::SetXattr {
            path: first,
            name: second,
            value: third,
            flags: fifth as u32,
        }),
        Some(Name::Mount) => Plan::Mount(InterceptedCall::Mount {
            source: first,
            target: second,
            kind: third,
            flags: fourth,
            data: fifth,
            rules: MountRules::default(),
        }),
        Some(Name::Bpf) => {
            Plan::Do(InterceptedCall::Bpf { command: first as u32, attributes: second, size: third as u32 })
        }
        None => Plan::Answer(Answer::Continue),
    }
}

fn name(call: &Call) -> Option<Name> {
    let (_, numbers) = NUMBERS.iter().find(|(architecture, _)| *architecture == call.architecture)?;
    let number = call.number & !X32;
    numbers.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}

fn mknod(at: i32, path: u64, mode: u64, device: u64) -> Plan {
    let (mode, device) = (mode as u32 & 0xffff, numbers(device as u32));
    if mode & libc::S_IFMT != libc::S_IFCHR || device != CONSOLE && !HARMLESS_DEVICES.contains(&device) {
        return Plan::Answer(Answer::Continue);
    }
    Plan::Do(InterceptedCall::Mknod { at, path, mode: mode & 0o7777, device })
}

/// Major and minor number as system calls take them.
fn numbers(device: u32) -> (u32, u32) {
    ((device & 0xfff00) >> 8, (device & 0xff) | ((device >> 12) & 0xfff00))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const X86_64: u32 = 0xc000_003e;

    fn call(architecture: u32, number: i32, arguments: [u64; 6]) -> Call {
        Call { id: 5, thread: 6, number, architecture, arguments }
    }

    fn message(cookie: &[u8]) -> Vec<u8> {
        let mut message = vec![0; HEADER + Call::SIZE + Answer::SIZE];
        message[16..18].copy_from_slice(&80_u16.to_ne_bytes());
        message[18..20].copy_from_slice(&24_u16.to_ne_bytes());
        message[20..22].copy_from_slice(&64_u16.to_ne_bytes());
        message[24..32].copy_from_slice(&(cookie.len() as u64).to_ne_bytes());
        message[32..40].copy_from_slice(&9_u64.to_ne_bytes());
        message.extend_from_slice(cookie);
        message
    }

    #[test]
    fn a_message_and_its_answer() {
        let notice = Notice::parse(&message(b"default/c1\0")).unwrap();
        assert_eq!((notice.call.id, &*notice.cookie), (9, "default/c1"));
        let reply = notice.reply(Answer::Value(3));
        assert_eq!(reply.len(), HEADER + 80 + 24);
        assert_eq!(reply[112..], Answer::Value(3).to_bytes(9));
        let mut short = message(b"x");
        short.pop();
        assert_eq!(Notice::parse(&short), None);
        let mut small = message(b"");
        small[16..18].copy_from_slice(&8_u16.to_ne_bytes());
        assert_eq!(Notice::parse(&small), None);
    }

    #[test]
    fn eight_nodes_and_no_other() {
        let node = |mode: u32, device: u64| {
            plan(&call(X86_64, 259, [u64::from(u32::MAX - 99), 1, mode.into(), device, 0, 0]))
        };
        let mut made = 0;
        for major in 0..300_u64 {
            for minor in 0..300_u64 {
                let device = (major << 8) | (minor & 0xff) | ((minor & !0xff) << 12);
                made += usize::from(node(libc::S_IFCHR | 0o666, device) != Plan::Answer(Answer::Continue));
                assert_eq!(node(libc::S_IFBLK | 0o666, device), Plan::Answer(Answer::Continue));
            }
        }
        assert_eq!(made, 8);
        let null = InterceptedCall::Mknod { at: libc::AT_FDCWD, path: 1, mode: 0o600, device: (1, 3) };
        assert_eq!(node(libc::S_IFCHR | 0o600, 0x103), Plan::Do(null));
    }

    #[test]
    fn numbers_are_those_of_the_architecture() {
        let node = [7, u64::from(libc::S_IFCHR), 0x103, 0, 0, 0];
        for (architecture, number, known) in [
            (X86_64, 133, true),
            (X86_64, X32 | 133, true),
            (0x4000_0003, 14, true),
            (0xc000_00b7, 133, false),
            (0xc000_00b7, -1, false),
            (1, 133, false),
        ] {
            let other = plan(&call(architecture, number, node)) == Plan::Answer(Answer::Continue);
            assert_eq!(!other, known, "{architecture:x} {number}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Notice::parse(&bytes);
        }
    }
}
