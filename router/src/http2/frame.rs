//! Frames: the head of one that comes, what is in it besides padding, and frames of ours (RFC 9113, sections 4 and 6).

/// Bytes of a frame before its payload.
pub(crate) const HEAD: usize = 9;
/// The longest payload that we take, and that we send: what everybody has to take.
pub(crate) const MAX_PAYLOAD: usize = 16_384;

pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const PRIORITY: u8 = 0x2;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PUSH_PROMISE: u8 = 0x5;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const WINDOW_UPDATE: u8 = 0x8;
pub(crate) const CONTINUATION: u8 = 0x9;

/// Of `SETTINGS` and `PING`.
pub(crate) const ACK: u8 = 0x1;
/// Of `DATA` and `HEADERS`.
pub(crate) const END_STREAM: u8 = 0x1;
/// Of `HEADERS` and `CONTINUATION`.
pub(crate) const END_HEADERS: u8 = 0x4;
/// Of `DATA` and `HEADERS`.
const PADDED: u8 = 0x8;
/// Of `HEADERS`.
const PRIORITIZED: u8 = 0x20;

/// Why a stream or a connection ends (RFC 9113, 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    NoError = 0x0,
    Protocol = 0x1,
    Internal = 0x2,
    FlowControl = 0x3,
    StreamClosed = 0x5,
    FrameSize = 0x6,
    RefusedStream = 0x7,
    Compression = 0x9,
    EnhanceYourCalm = 0xb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// Of the payload, in bytes.
    pub(crate) length: usize,
    pub(crate) stream: u32,
}

impl Head {
    /// Of the frame that `bytes` begin with, if so much of it is there.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<HEAD>()?;
        Some(Self {
            kind,
            flags,
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            stream: number(stream),
        })
    }

    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn write(&self) -> [u8; HEAD] {
        // Nobody writes a frame of 16 MiB.
        let [_, a, b, c] = u32::try_from(self.length).unwrap_or(u32::MAX).to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }
}

/// 31 bits, behind one that means nothing.
const fn number(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes) & 0x7fff_ffff
}

/// A payload that is one number.
pub(crate) fn read_number(payload: &[u8]) -> Option<u32> {
    payload.try_into().ok().map(number)
}

/// What is between the padding of a `DATA` or `HEADERS` frame, its length included.
pub(crate) fn without_padding<'p>(head: &Head, payload: &'p [u8]) -> Result<&'p [u8], Reason> {
    if !head.has(PADDED) {
        return Ok(payload);
    }
    let (&padding, rest) = payload.split_first().ok_or(Reason::FrameSize)?;
    let length = rest.len().checked_sub(padding.into());
    length
        .and_then(|length| rest.get(..length))
        .ok_or(Reason::Protocol)
}

/// The header block of a `HEADERS` frame without its padding, and the stream that it depends on, if it says so.
pub(crate) fn without_priority<'p>(
    head: &Head,
    payload: &'p [u8],
) -> Result<(&'p [u8], Option<u32>), Reason> {
    if !head.has(PRIORITIZED) {
        return Ok((payload, None));
    }
    let (priority, block) = payload.split_at_checked(5).ok_or(Reason::FrameSize)?;
    Ok((block, read_number(&priority[..4])))
}

/// A frame whose payload is two numbers at most.
fn of_numbers<const N: usize>(kind: u8, stream: u32, payload: [u8; N]) -> Vec<u8> {
    let head = Head {
        kind,
        flags: 0,
        length: N,
        stream,
    };
    [head.write().as_slice(), &payload].concat()
}

pub(crate) fn reset(stream: u32, reason: Reason) -> Vec<u8> {
    of_numbers(RST_STREAM, stream, (reason as u32).to_be_bytes())
}

/// `stream` 0: the connection's.
pub(crate) fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    of_numbers(WINDOW_UPDATE, stream, bytes.to_be_bytes())
}

pub(crate) fn go_away(last_stream: u32, reason: Reason) -> Vec<u8> {
    let payload = u64::from(last_stream) << 32 | u64::from(reason as u32);
    of_numbers(GOAWAY, 0, payload.to_be_bytes())
}

pub(crate) fn ping(flags: u8, payload: [u8; 8]) -> [u8; HEAD + 8] {
    let head = Head {
        kind: PING,
        flags,
        length: 8,
        stream: 0,
    };
    let mut frame = [0; HEAD + 8];
    frame[..HEAD].copy_from_slice(&head.write());
    frame[HEAD..].copy_from_slice(&payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: u8, flags: u8) -> Head {
        Head {
            kind,
            flags,
            length: 3,
            stream: 5,
        }
    }

    #[test]
    fn a_head_is_read_as_it_was_written_once_it_is_whole() {
        let head = Head {
            kind: HEADERS,
            flags: END_STREAM | END_HEADERS,
            length: 0x01_02_03,
            stream: 0x7fff_fffe,
        };
        let bytes = head.write();
        assert_eq!(Head::read(&bytes), Some(head));
        assert_eq!(Head::read(&bytes[..8]), None);
        let mut reserved = bytes;
        reserved[5] |= 0x80;
        assert_eq!(Head::read(&reserved), Some(head));
    }

    #[test]
    fn padding_is_taken_off_and_may_not_be_longer_than_the_frame() {
        let padded = of(DATA, PADDED);
        assert_eq!(without_padding(&of(DATA, 0), b"abc"), Ok(&b"abc"[..]));
        assert_eq!(without_padding(&padded, b"\x02abc"), Ok(&b"a"[..]));
        assert_eq!(without_padding(&padded, b"\x03abc"), Ok(&b""[..]));
        assert_eq!(without_padding(&padded, b"\x04abc"), Err(Reason::Protocol));
        assert_eq!(without_padding(&padded, b""), Err(Reason::FrameSize));
    }

    #[test]
    fn a_priority_is_taken_off() {
        let prioritized = of(HEADERS, PRIORITIZED);
        let payload = b"\x80\0\0\x07\x10block";
        let read = without_priority(&prioritized, payload);
        assert_eq!(read, Ok((&b"block"[..], Some(7))));
        let short = without_priority(&prioritized, b"\0\0\0\x07");
        assert_eq!(short, Err(Reason::FrameSize));
    }

    #[test]
    fn frames_of_ours_are_as_the_rfc_has_them() {
        assert_eq!(
            reset(3, Reason::RefusedStream),
            *b"\0\0\x04\x03\0\0\0\0\x03\0\0\0\x07"
        );
        assert_eq!(
            window_update(0, 258),
            *b"\0\0\x04\x08\0\0\0\0\0\0\0\x01\x02"
        );
        let bye = go_away(0x7fff_ffff, Reason::EnhanceYourCalm);
        assert_eq!(bye, *b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\x0b");
        assert_eq!(
            ping(ACK, *b"12345678"),
            *b"\0\0\x08\x06\x01\0\0\0\x0012345678"
        );
    }
}
