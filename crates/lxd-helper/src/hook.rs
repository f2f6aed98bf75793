//! `hook LXD_DIR PROJECT INSTANCE stop`: liblxc runs this when a container has ended.
//!
//! It speaks to the daemon only when the container wants to be started again (`LXC_TARGET=reboot`): if the daemon takes that over,
//! this process fails on purpose, which makes the monitor end; otherwise the monitor starts the container again by itself.
//! Whatever happens it ends within five seconds and never blocks a stop.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long the daemon has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the hook.
pub fn run(arguments: &[OsString]) -> ExitCode {
    if std::env::var_os("LXC_TARGET").is_none_or(|target| target != "reboot") {
        return ExitCode::SUCCESS;
    }
    let [dir, project, instance, ..] = arguments else { return ExitCode::SUCCESS };
    let (Some(project), Some(instance)) = (project.to_str(), instance.to_str()) else {
        return ExitCode::SUCCESS;
    };
    let path = format!("/internal/containers/{}/{}/onstop?target=reboot", escape(project), escape(instance));
    let socket = Path::new(dir).join("unix.socket");
    let (answer, answered) = channel();
    // Connecting to a socket whose daemon hangs blocks without a limit, so it happens beside.
    std::thread::spawn(move || answer.send(taken_over(&socket, &path)));
    match answered.recv_timeout(PATIENCE) {
        Ok(Ok(true)) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Asks the daemon; true when it answers with success.
fn taken_over(socket: &Path, path: &str) -> io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(
        format!("POST {path} HTTP/1.1\r\nHost: lxd\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .as_bytes(),
    )?;
    let mut head = [0_u8; 12];
    stream.read_exact(&mut head)?;
    Ok(&head == b"HTTP/1.1 200")
}

/// Percent-encodes what may not stand in a path segment.
fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_escaped() {
        assert_eq!(escape("my project/\u{e9}"), "my%20project%2F%C3%A9");
    }

    #[test]
    fn the_daemon_decides() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("unix.socket");
        assert!(taken_over(&path, "/x").is_err());
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut text = [0; 5];
            stream.read_exact(&mut text).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            text
        });
        assert!(taken_over(&path, "/x").unwrap());
        assert_eq!(&server.join().unwrap(), b"POST ");
    }
}
