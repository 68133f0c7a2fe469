//! The heads of HTTP/2 frames as they pass by, in either direction: what is counted in [`calm`](super::calm), and where a
//! frame of our own may go.

/// RFC 9113, section 4.1.
const HEAD: usize = 9;

pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const PING: u8 = 0x6;
pub(super) const GOAWAY: u8 = 0x7;
pub(super) const WINDOW_UPDATE: u8 = 0x8;
pub(super) const CONTINUATION: u8 = 0x9;

/// Of `DATA` and `HEADERS`.
const END_STREAM: u8 = 0x1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// Of the payload, in bytes.
    pub(super) length: u32,
    pub(super) stream: u32,
}

impl Head {
    fn of([a, b, c, kind, flags, stream @ ..]: [u8; HEAD]) -> Self {
        Self {
            kind,
            flags,
            length: u32::from_be_bytes([0, a, b, c]),
            stream: u32::from_be_bytes(stream) & !(1 << 31),
        }
    }

    /// Whether it neither carries anything nor ends anything.
    pub(super) const fn is_empty_data(&self) -> bool {
        self.kind == DATA && self.length == 0 && self.flags & END_STREAM == 0
    }
}

/// Where in a connection's bytes frames begin.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD],
    /// So much of the next head is known.
    known: usize,
    /// What is left of a payload, or of the preface.
    left: usize,
}

impl Frames {
    /// `preface` bytes come before the first frame.
    pub(super) const fn after(preface: usize) -> Self {
        Self {
            head: [0; HEAD],
            known: 0,
            left: preface,
        }
    }

    /// More has passed: `each` is told of the frames that begin in it.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut each: impl FnMut(Head)) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let some = self.left.min(bytes.len());
                self.left -= some;
                bytes = &bytes[some..];
                continue;
            }
            let some = (HEAD - self.known).min(bytes.len());
            self.head[self.known..self.known + some].copy_from_slice(&bytes[..some]);
            self.known += some;
            bytes = &bytes[some..];
            if self.known == HEAD {
                let head = Head::of(self.head);
                self.known = 0;
                self.left = head.length as usize;
                each(head);
            }
        }
    }

    /// Whether the last frame is complete, and none has begun.
    pub(super) const fn is_between(&self) -> bool {
        self.left == 0 && self.known == 0
    }
}

/// The same frames in whatever pieces they come.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let Some((&by, bytes)) = bytes.split_first() else {
        return;
    };
    let read = |by: usize| {
        let (mut frames, mut seen) = (Frames::after(0), Vec::new());
        for piece in bytes.chunks(by) {
            frames.pass(piece, |head| seen.push(head));
        }
        (seen, frames.is_between())
    };
    assert_eq!(read(usize::from(by).max(1)), read(bytes.len().max(1)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let mut bytes = PREFACE.to_vec();
        bytes.extend([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]);
        bytes.extend([0, 0, 3, DATA, END_STREAM, 0x80, 0, 0, 5, 1, 2, 3]);
        bytes.extend([0, 0, 0, DATA, 0, 0, 0, 0, 5]);
        for size in 1..bytes.len() {
            let (mut frames, mut seen) = (Frames::after(PREFACE.len()), Vec::new());
            for piece in bytes.chunks(size) {
                frames.pass(piece, |head| seen.push(head));
            }
            let told: Vec<_> = seen.iter().map(|h| (h.kind, h.length, h.stream)).collect();
            assert_eq!(told, [(SETTINGS, 0, 0), (DATA, 3, 5), (DATA, 0, 5)]);
            assert!(frames.is_between());
            assert!(!seen[1].is_empty_data() && seen[2].is_empty_data());
        }
    }

    #[test]
    fn in_the_middle_of_a_frame_is_not_between_two() {
        let mut frames = Frames::after(0);
        for byte in [0, 0, 1, DATA, 0, 0, 0, 0, 1] {
            frames.pass(&[byte], |_| {});
            assert!(!frames.is_between());
        }
        frames.pass(&[7], |_| {});
        assert!(frames.is_between());
    }
}
