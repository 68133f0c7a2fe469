//! Chunked bodies, taken apart: strictly, for a byte that two parties count differently is where one request is smuggled
//! into another.

use std::ops::Range;

/// As far as a body has come.
#[derive(Debug)]
pub(crate) struct Chunks {
    state: State,
    /// Of the chunk that is under way.
    left: u64,
    /// Digits of a size, or bytes of an extension.
    count: usize,
    /// Lines after the last chunk, as they came.
    trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeEnd,
    Data,
    DataEnd,
    DataEndLine,
    /// At the beginning of a line after the last chunk.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    LastEnd,
    Over,
}

/// They are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not chunks of a body")]
pub(crate) struct BadChunk;

/// What became of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Bytes of the body, at the front now.
    pub(crate) data: usize,
    /// Bytes that were looked at; what follows them is of something else.
    pub(crate) raw: usize,
}

const MAX_SIZE_DIGITS: usize = 15;
const MAX_EXTENSION: usize = 256;
/// Details of an error of gRPC are among them.
const MAX_TRAILERS: usize = 32 * 1024;

impl Chunks {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Size,
            left: 0,
            count: 0,
            trailers: Vec::new(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Lines of a head, each with its end; complete when the body is over.
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Takes `bytes` apart where they are.
    pub(crate) fn take(&mut self, bytes: &mut [u8]) -> Result<Taken, BadChunk> {
        let (mut at, mut data) = (0, 0);
        while at < bytes.len() && self.state != State::Over {
            if self.state == State::Data {
                let part = self.part(at, bytes.len());
                at = part.end;
                let length = part.len();
                if part.start != data {
                    bytes.copy_within(part, data);
                }
                data += length;
                self.left -= length as u64;
                if self.left == 0 {
                    self.state = State::DataEnd;
                }
            } else {
                self.step(bytes[at])?;
                at += 1;
            }
        }
        Ok(Taken { data, raw: at })
    }

    fn part(&self, at: usize, end: usize) -> Range<usize> {
        let there = end - at;
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        at..at + there.min(wanted)
    }

    fn step(&mut self, byte: u8) -> Result<(), BadChunk> {
        use State::{
            Data, DataEnd, DataEndLine, Extension, LastEnd, Over, Size, SizeEnd, Trailer,
            TrailerEnd, TrailerName, TrailerValue,
        };
        self.state = match (self.state, byte) {
            (Size, _) if byte.is_ascii_hexdigit() && self.count < MAX_SIZE_DIGITS => {
                self.count += 1;
                self.left = self.left * 16 + u64::from(hex(byte));
                Size
            }
            (Size, b'\r') if self.count > 0 => SizeEnd,
            (Size, b';') if self.count > 0 => {
                self.count = 0;
                Extension
            }
            (Extension, b'\r') => SizeEnd,
            (Extension, b'\t' | b' '..=b'~') if self.count < MAX_EXTENSION => {
                self.count += 1;
                Extension
            }
            (SizeEnd, b'\n') => {
                self.count = 0;
                if self.left == 0 { Trailer } else { Data }
            }
            (DataEnd, b'\r') => DataEndLine,
            (DataEndLine, b'\n') => Size,
            (Trailer, b'\r') => LastEnd,
            // A line that is no field may be the first one of another request.
            (Trailer | TrailerName, _) if is_of_name(byte) => {
                self.keep(byte)?;
                TrailerName
            }
            (TrailerName, b':') => {
                self.keep(byte)?;
                TrailerValue
            }
            (TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => {
                self.keep(byte)?;
                TrailerValue
            }
            (TrailerValue, b'\r') => TrailerEnd,
            (TrailerEnd, b'\n') => {
                self.keep(b'\r')?;
                self.keep(b'\n')?;
                Trailer
            }
            (LastEnd, b'\n') => Over,
            _ => return Err(BadChunk),
        };
        Ok(())
    }

    fn keep(&mut self, byte: u8) -> Result<(), BadChunk> {
        if self.trailers.len() >= MAX_TRAILERS {
            return Err(BadChunk);
        }
        self.trailers.push(byte);
        Ok(())
    }
}

/// RFC 9110, section 5.6.2.
const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// The line before a chunk of `length` bytes, which are not none.
pub(crate) fn push_size(front: &mut Vec<u8>, length: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        front.push(DIGITS[(length >> (digit * 4)) & 0xf]);
    }
    front.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All of it in pieces of that size: the body, and what was left over.
    fn read(text: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>, bool), BadChunk> {
        let (mut chunks, mut body, mut at) = (Chunks::new(), Vec::new(), 0);
        while at < text.len() && !chunks.is_over() {
            let end = (at + piece).min(text.len());
            let mut bytes = text[at..end].to_vec();
            let taken = chunks.take(&mut bytes)?;
            body.extend_from_slice(&bytes[..taken.data]);
            at += taken.raw;
        }
        Ok((body, text[at..].to_vec(), chunks.is_over()))
    }

    fn body(text: &str) -> Result<String, BadChunk> {
        let (body, _, over) = read(text.as_bytes(), text.len().max(1))?;
        assert!(over, "{text:?}");
        Ok(String::from_utf8(body).unwrap())
    }

    #[test]
    fn chunks_are_put_together_and_what_follows_is_left() {
        let text = b"5\r\nhello\r\n6;name=\"v\"\r\n world\r\n0\r\n\r\nGET";
        for piece in 1..text.len() {
            let (body, rest, over) = read(text, piece).unwrap();
            assert_eq!((body.as_slice(), over), (&b"hello world"[..], true));
            assert_eq!(rest, b"GET");
        }
    }

    #[test]
    fn trailers_are_kept() {
        let mut chunks = Chunks::new();
        let mut text = b"1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n".to_vec();
        assert_eq!(chunks.take(&mut text), Ok(Taken { data: 1, raw: 23 }));
        assert!(chunks.is_over());
        assert_eq!(chunks.trailers(), b"A: b\r\nC: d\r\n");
    }

    #[test]
    fn what_could_be_counted_differently_is_refused() {
        for bad in [
            "zz\r\n",
            "\r\n",
            " 1\r\nx\r\n0\r\n\r\n",
            "1 \r\nx\r\n0\r\n\r\n",
            "1\nx\n0\n\n",
            "1\r\nx\n0\r\n\r\n",
            "1\r\nxy\r\n0\r\n\r\n",
            "0x1\r\nx\r\n0\r\n\r\n",
            "+1\r\nx\r\n0\r\n\r\n",
            "-1\r\nx\r\n0\r\n\r\n",
            "1;a=\rb\r\nx\r\n0\r\n\r\n",
            "1;a\nb\r\nx\r\n0\r\n\r\n",
            "1;\0\r\nx\r\n0\r\n\r\n",
            "FFFFFFFFFFFFFFFFF\r\n",
            "10000000000000001\r\nx\r\n0\r\n\r\n",
            "0\r\nA: b\nC: d\r\n\r\n",
            "0\r\nGET / HTTP/1.1\r\nA: b\r\n\r\n",
            "0\r\nA : b\r\n\r\n",
            "0\r\n: b\r\n\r\n",
            "0\r\n A: b\r\n\r\n",
            "0\r\nA: \0\r\n\r\n",
            "0\r\n\n",
            "1\r\nx\r\r\n0\r\n\r\n",
        ] {
            let read = read(bad.as_bytes(), bad.len());
            assert_eq!(read, Err(BadChunk), "{bad:?}");
        }
        assert_eq!(
            body("a\r\n0123456789\r\n0\r\n\r\n").as_deref(),
            Ok("0123456789")
        );
        assert_eq!(body("000\r\n\r\n").as_deref(), Ok(""));
    }

    #[test]
    fn nothing_grows_without_bound() {
        let trailers = format!("0\r\n{}", "A: b\r\n".repeat(MAX_TRAILERS / 6 + 1));
        assert_eq!(read(trailers.as_bytes(), 100), Err(BadChunk));
        let extension = format!("1;{}", "x".repeat(300));
        assert_eq!(read(extension.as_bytes(), 100), Err(BadChunk));
    }

    proptest! {
        #[test]
        fn what_is_written_in_chunks_is_read_back_in_any_pieces(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..6),
            piece in 1usize..400,
        ) {
            let mut text = Vec::new();
            for part in &parts {
                push_size(&mut text, part.len());
                text.extend_from_slice(part);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            let (body, rest, over) = read(&text, piece).unwrap();
            prop_assert!(over && rest.is_empty());
            prop_assert_eq!(body, parts.concat());
        }

        #[test]
        fn nonsense_never_panics(text in prop::collection::vec(any::<u8>(), 0..100), piece in 1usize..20) {
            let _ = read(&text, piece);
        }
    }
}
