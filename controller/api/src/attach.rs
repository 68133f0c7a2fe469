//! The stream of an attached one-off dyno: WebSocket frames between whoever runs `paas run`, the controller in the
//! middle, and the agent of the dyno's node.
//!
//! Binary frames are bytes: the first byte says which stream ([`Stream`]), the rest is data. With a terminal only
//! [`Stream::Stdin`] and [`Stream::Stdout`] are used. Text frames are one [`Control`] each. The controller passes
//! frames on unread and in order.

use serde::{Deserialize, Serialize};

/// The largest frame either end sends; the controller cuts connections that send larger ones.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;

/// How long either end waits for the other.
pub const MEET_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stream {
    /// Towards the dyno.
    Stdin = 0,
    /// From the dyno; all of a terminal's output.
    Stdout = 1,
    /// From the dyno.
    Stderr = 2,
}

impl Stream {
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Stdin),
            1 => Some(Self::Stdout),
            2 => Some(Self::Stderr),
            _ => None,
        }
    }

    /// The binary frame that carries `data`.
    pub fn frame(self, data: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(data.len() + 1);
        frame.push(self as u8);
        frame.extend_from_slice(data);
        frame
    }
}

/// What a binary frame carries; `None` for an empty one or one of no known stream.
pub fn read_frame(frame: &[u8]) -> Option<(Stream, &[u8])> {
    let (first, data) = frame.split_first()?;
    Some((Stream::from_byte(*first)?, data))
}

/// A text frame: `{"resize":{"columns":80,"lines":24}}`, `{"eof":true}`, `{"signal":"INT"}`, `{"exit":{"status":0}}`,
/// `{"error":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Control {
    /// The client's terminal has this size now.
    Resize { columns: u16, lines: u16 },
    /// The client's stdin has ended.
    Eof(bool),
    /// `INT`, `TERM`, `HUP`, `QUIT`: for the dyno's foreground process. For clients without a terminal.
    Signal(String),
    /// The process has ended; the agent's last frame.
    Exit { status: i64 },
    /// It could not be run or carried on; the last frame, in words for the user.
    Error(String),
}

impl Control {
    pub fn to_text(&self) -> String {
        // An enum of plain strings and numbers: writing it as JSON cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// `None` for anything that is not a control frame this version knows: ignore it.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_frames_have_the_agreed_text() {
        for (control, text) in [
            (
                Control::Resize {
                    columns: 80,
                    lines: 24,
                },
                r#"{"resize":{"columns":80,"lines":24}}"#,
            ),
            (Control::Eof(true), r#"{"eof":true}"#),
            (Control::Signal("INT".to_owned()), r#"{"signal":"INT"}"#),
            (Control::Exit { status: 137 }, r#"{"exit":{"status":137}}"#),
            (
                Control::Error("no such command".to_owned()),
                r#"{"error":"no such command"}"#,
            ),
        ] {
            assert_eq!(control.to_text(), text);
            assert_eq!(Control::from_text(text), Some(control));
        }
        assert_eq!(Control::from_text(r#"{"from":"the future"}"#), None);
    }

    #[test]
    fn data_frames_read_back() {
        let frame = Stream::Stderr.frame(b"oops");
        assert_eq!(
            read_frame(&frame),
            Some((Stream::Stderr, b"oops".as_slice()))
        );
        assert_eq!(read_frame(&[]), None);
        assert_eq!(read_frame(&[9, 1]), None);
    }
}
