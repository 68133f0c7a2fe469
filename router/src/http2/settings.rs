//! Settings: what each end tells the other of what it will take (RFC 9113, 6.5).

use super::frame::{self, Head, Reason};
use super::window::MOST;

const HEADER_TABLE_SIZE: u16 = 0x1;
const ENABLE_PUSH: u16 = 0x2;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const MAX_FRAME_SIZE: u16 = 0x5;
const MAX_HEADER_LIST_SIZE: u16 = 0x6;
/// RFC 8441.
const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;

/// Requests at a time on a connection.
pub(crate) const STREAMS: u32 = 250;
/// What of one body may be on its way or wait for its dyno, in bytes.
pub(crate) const STREAM_WINDOW: u32 = 256 * 1024;
/// What of all bodies of a connection may.
pub(crate) const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Names and values of a request, and 32 bytes for each of them.
pub(crate) const HEADER_LIST: u32 = 64 * 1024;

/// What the client has changed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Bytes that our header blocks may have it keep.
    pub(crate) header_table: Option<u32>,
    /// What of each body it takes before it has said more.
    pub(crate) stream_window: Option<i32>,
}

/// What is in a frame of settings. Of what is said twice the last counts.
pub(crate) fn read(payload: &[u8]) -> Result<Changed, Reason> {
    let (each, rest) = payload.as_chunks::<6>();
    if !rest.is_empty() {
        return Err(Reason::FrameSize);
    }
    let mut changed = Changed::default();
    for [a, b, value @ ..] in each {
        let value = u32::from_be_bytes(*value);
        match u16::from_be_bytes([*a, *b]) {
            HEADER_TABLE_SIZE => changed.header_table = Some(value),
            ENABLE_PUSH if value > 1 => return Err(Reason::Protocol),
            ENABLE_CONNECT_PROTOCOL if value > 1 => return Err(Reason::Protocol),
            INITIAL_WINDOW_SIZE => {
                let window = i32::try_from(value).map_err(|_| Reason::FlowControl)?;
                changed.stream_window = Some(window);
            }
            // Ours are never longer than all have to take.
            MAX_FRAME_SIZE if !(16_384..=0x00ff_ffff).contains(&value) => {
                return Err(Reason::Protocol);
            }
            // Nothing is pushed, and a head that is too long for the client is for it to refuse.
            _ => {}
        }
    }
    Ok(changed)
}

/// The frames that we begin with.
pub(crate) fn ours() -> Vec<u8> {
    let settings = [
        (MAX_CONCURRENT_STREAMS, STREAMS),
        (INITIAL_WINDOW_SIZE, STREAM_WINDOW),
        (MAX_HEADER_LIST_SIZE, HEADER_LIST),
        (ENABLE_CONNECT_PROTOCOL, 1),
    ];
    let head = Head {
        kind: frame::SETTINGS,
        flags: 0,
        length: 6 * settings.len(),
        stream: 0,
    };
    let mut frames = head.write().to_vec();
    for (id, value) in settings {
        frames.extend(id.to_be_bytes());
        frames.extend(value.to_be_bytes());
    }
    // The connection's window is no setting.
    let more = CONNECTION_WINDOW - super::window::AT_FIRST;
    frames.extend(frame::window_update(0, more));
    frames
}

/// What the client's settings are answered with.
pub(crate) fn acknowledgement() -> [u8; frame::HEAD] {
    let head = Head {
        kind: frame::SETTINGS,
        flags: frame::ACK,
        length: 0,
        stream: 0,
    };
    head.write()
}

const _: () = assert!(CONNECTION_WINDOW <= MOST && STREAM_WINDOW <= MOST);

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(id: u16, value: u32) -> Vec<u8> {
        [id.to_be_bytes().as_slice(), &value.to_be_bytes()].concat()
    }

    #[test]
    fn what_was_said_last_counts_and_what_is_unknown_does_not() {
        let payload = [
            setting(INITIAL_WINDOW_SIZE, 1),
            setting(0xff, u32::MAX),
            setting(INITIAL_WINDOW_SIZE, 100),
            setting(HEADER_TABLE_SIZE, 0),
        ];
        let expected = Changed {
            header_table: Some(0),
            stream_window: Some(100),
        };
        assert_eq!(read(&payload.concat()), Ok(expected));
        assert_eq!(read(&[]), Ok(Changed::default()));
    }

    #[test]
    fn values_that_may_not_be_are_refused() {
        for (id, value, reason) in [
            (ENABLE_PUSH, 2, Reason::Protocol),
            (ENABLE_CONNECT_PROTOCOL, 2, Reason::Protocol),
            (INITIAL_WINDOW_SIZE, 1 << 31, Reason::FlowControl),
            (MAX_FRAME_SIZE, 16_383, Reason::Protocol),
            (MAX_FRAME_SIZE, 1 << 24, Reason::Protocol),
        ] {
            assert_eq!(read(&setting(id, value)), Err(reason), "{id} {value}");
        }
        assert_eq!(read(&[0; 5]), Err(Reason::FrameSize));
    }

    #[test]
    fn ours_can_be_read() {
        let frames = ours();
        let head = Head::read(&frames).unwrap();
        let payload = &frames[frame::HEAD..frame::HEAD + head.length];
        let window = i32::try_from(STREAM_WINDOW).unwrap();
        assert_eq!(read(payload).unwrap().stream_window, Some(window));
    }
}
