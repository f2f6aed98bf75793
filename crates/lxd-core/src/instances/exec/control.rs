//! Control messages: JSON in text messages of the socket `control`.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use lxd_task::stream::{Message, Reader};
use rustix::termios::Winsize;
use serde::Deserialize;

/// The longest control message in bytes.
const LONGEST: usize = 64 << 10;

/// What a client may ask of a running command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Control {
    /// The terminal has another size.
    Resize {
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// Send the command this signal.
    Signal(i32),
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    command: String,
    args: Option<BTreeMap<String, String>>,
    #[serde(default)]
    signal: i32,
}

impl Control {
    /// Reads one message; none for what is unknown (a newer client's) or wrong.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let wire: Wire = serde_json::from_slice(text).ok()?;
        let number = |key: &str| wire.args.as_ref()?.get(key)?.parse().ok();
        match wire.command.as_str() {
            "window-resize" => Some(Self::Resize { width: number("width")?, height: number("height")? }),
            "signal" if (1..=64).contains(&wire.signal) => Some(Self::Signal(wire.signal)),
            _ => None,
        }
    }
}

/// Acts on control messages until the client goes; answers how it went.
pub async fn listen(reader: &mut Reader, mut act: impl FnMut(Control)) -> Message {
    let mut message = Vec::new();
    loop {
        match reader.next().await {
            Message::Text { text, last } => {
                if message.len() + text.len() > LONGEST {
                    return Message::Broken;
                }
                message.extend_from_slice(&text);
                if last {
                    match Control::parse(&message) {
                        Some(control) => act(control),
                        None => tracing::debug!("Unknown control message"),
                    }
                    message.clear();
                }
            }
            Message::Data(_) => {}
            gone => return gone,
        }
    }
}

/// Sets the size of a terminal.
pub fn resize(terminal: &OwnedFd, width: u16, height: u16) {
    let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    if let Err(error) = lxd_container::exec::resize(terminal, size) {
        tracing::debug!(error = error.chain(), "Terminal not resized");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let parse = |text: &str| Control::parse(text.as_bytes());
        let resize = r#"{"command":"window-resize","args":{"width":"80","height":"24"}}"#;
        assert_eq!(parse(resize), Some(Control::Resize { width: 80, height: 24 }));
        assert_eq!(parse(r#"{"command":"signal","args":null,"signal":15}"#), Some(Control::Signal(15)));
        assert_eq!(parse(r#"{"command":"signal","signal":-1}"#), None);
        assert_eq!(parse("{}"), None);
        assert_eq!(parse("x"), None);
    }
}
