//! Programs on a terminal of their own.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

/// A program with a pseudo terminal as standard input, output and error, and as its controlling terminal: what is typed as
/// `\x03` interrupts it. Killed when dropped.
pub struct Terminal {
    child: Child,
    master: File,
    output: Receiver<Vec<u8>>,
    seen: String,
}

/// The leader of the terminal's session: when it ends, the kernel throws away what was shown and not read yet, so it waits for
/// a line after the program.
const LEADER: &str =
    r#"trap : INT; "$@"; status=$?; printf '\001'; while ! read -r line; do :; done; exit $status"#;

/// What the leader shows after the program.
const ENDED: char = '\u{1}';

impl Terminal {
    /// Starts `program` of `command`, with its arguments and environment, by `setsid` of util-linux.
    ///
    /// # Panics
    /// There is no terminal or no `setsid`.
    pub fn spawn(command: &Command) -> Self {
        let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("there is a free terminal");
        rustix::pty::grantpt(&master).expect("it is ours");
        rustix::pty::unlockpt(&master).expect("it is ours");
        let name = rustix::pty::ptsname(&master, Vec::new()).expect("it is ours");
        let size = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).expect("it is a terminal");
        let name = name.to_str().expect("it is a path").to_owned();
        let end = || Stdio::from(File::options().read(true).write(true).open(&name).expect("it is unlocked"));
        let mut whole = Command::new("setsid");
        whole.args(["--ctty", "--wait", "sh", "-c", LEADER, "sh"]);
        whole.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => whole.env(key, value),
                None => whole.env_remove(key),
            };
        }
        let child = whole.stdin(end()).stdout(end()).stderr(end()).spawn().expect("setsid is there");
        drop(whole); // It holds the other side open.
        let master = File::from(master);
        let mut reader = master.try_clone().expect("a descriptor is free");
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // The end of the other side is an error here.
            while let Ok(count @ 1..) = reader.read(&mut piece) {
                if sender.send(piece[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, master, output, seen: String::new() }
    }

    /// Types.
    ///
    /// # Panics
    /// The terminal is closed.
    pub fn send(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("the terminal is open");
    }

    /// Waits until the program has shown a text since the last one that was waited for.
    ///
    /// # Panics
    /// It did not within the seconds.
    pub fn expect(&mut self, text: &str, seconds: u64) {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.seen.push_str(&String::from_utf8_lossy(&piece)),
                Err(error) => panic!("waiting for {text:?}: {error}; shown: {:?}", self.seen),
            }
        }
    }

    /// What the program has shown, once a text is in it.
    pub fn shows(&mut self, text: &str) -> Option<String> {
        while let Ok(piece) = self.output.try_recv() {
            self.seen.push_str(&String::from_utf8_lossy(&piece));
        }
        self.seen.contains(text).then(|| self.seen.clone())
    }

    /// Waits until the program takes what is typed as it is, as programs do that pass it on to a terminal elsewhere.
    ///
    /// # Panics
    /// It does not within the seconds.
    pub fn wait_raw(&self, seconds: u64) {
        crate::wait_for("a terminal in raw mode", seconds, || {
            let modes = rustix::termios::tcgetattr(&self.master).expect("it is a terminal").local_modes;
            (!modes.contains(rustix::termios::LocalModes::ECHO)).then_some(())
        });
    }

    /// Waits for the program's end; its status and what it has shown since.
    ///
    /// # Panics
    /// It does not end within the seconds.
    pub fn end(mut self, seconds: u64) -> (ExitStatus, String) {
        let end = Instant::now() + Duration::from_secs(seconds);
        while !self.seen.contains(ENDED) {
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.seen.push_str(&String::from_utf8_lossy(&piece)),
                Err(error) => panic!("the program does not end: {error}; shown: {:?}", self.seen),
            }
        }
        self.send("\n");
        self.seen = self.seen.replace(ENDED, "");
        let status = self.child.wait().expect("it is our child");
        (status, std::mem::take(&mut self.seen))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
