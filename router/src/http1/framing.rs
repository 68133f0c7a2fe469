//! How a body is told from what follows it, and a body as it is taken from a buffer.

use crate::buffer::Buf;
use crate::http1::chunks::{BadChunk, Chunks};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Empty,
    /// Of so many bytes, at least one.
    Length(u64),
    Chunked,
    /// The rest of what the connection brings.
    UntilClose,
}

/// A body that arrives in a [`Buf`], piece by piece.
#[derive(Debug)]
pub(crate) struct Arriving {
    left: Left,
    /// Bytes at the front of the buffer that are of the body.
    ready: usize,
    /// Bytes behind those that only framed it.
    gap: usize,
}

#[derive(Debug)]
enum Left {
    Nothing,
    Length(u64),
    Chunks(Box<Chunks>),
    UntilClose,
}

/// The connection ended in the middle of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CutShort;

impl Arriving {
    pub(crate) fn new(framing: Framing) -> Self {
        let left = match framing {
            Framing::Empty => Left::Nothing,
            Framing::Length(length) => Left::Length(length),
            Framing::Chunked => Left::Chunks(Box::new(Chunks::new())),
            Framing::UntilClose => Left::UntilClose,
        };
        Self {
            left,
            ready: 0,
            gap: 0,
        }
    }

    /// Whether nothing more is to come than what is ready.
    pub(crate) fn is_last(&self) -> bool {
        match &self.left {
            Left::Nothing => true,
            Left::Length(left) => *left == 0,
            Left::Chunks(chunks) => chunks.is_over(),
            Left::UntilClose => false,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ready == 0 && self.is_last()
    }

    /// Looks at what is in the buffer. Call when nothing is ready.
    pub(crate) fn look(&mut self, buf: &mut Buf) -> Result<(), BadChunk> {
        let there = buf.len();
        if self.ready > 0 || there == 0 {
            return Ok(());
        }
        match &mut self.left {
            Left::Nothing => {}
            Left::Length(left) => {
                self.ready = there.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= self.ready as u64;
            }
            Left::UntilClose => self.ready = there,
            Left::Chunks(chunks) => {
                let taken = chunks.take(buf.data_mut())?;
                self.ready = taken.data;
                self.gap = taken.raw - taken.data;
                self.skip_gap(buf);
            }
        }
        Ok(())
    }

    /// What is there of the body.
    pub(crate) fn piece<'b>(&self, buf: &'b Buf) -> &'b [u8] {
        &buf.data()[..self.ready]
    }

    /// So much of the piece has been passed on.
    pub(crate) fn consume(&mut self, buf: &mut Buf, count: usize) {
        buf.advance(count);
        self.ready -= count;
        self.skip_gap(buf);
    }

    fn skip_gap(&mut self, buf: &mut Buf) {
        if self.ready == 0 && self.gap > 0 {
            buf.advance(self.gap);
            self.gap = 0;
        }
    }

    /// Nothing more comes over the connection.
    pub(crate) fn end(&mut self) -> Result<(), CutShort> {
        if matches!(self.left, Left::UntilClose) {
            self.left = Left::Nothing;
        }
        if self.is_last() {
            Ok(())
        } else {
            Err(CutShort)
        }
    }

    /// The lines after the last chunk, when it is over.
    pub(crate) fn trailers(&self) -> &[u8] {
        match &self.left {
            Left::Chunks(chunks) => chunks.trailers(),
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Buffers;

    /// The body that arrives in such pieces, and what is left in the buffer.
    fn read(framing: Framing, pieces: &[&str]) -> Result<(String, String), BadChunk> {
        let mut buf = Buf::new(Buffers::new());
        let (mut body, mut arriving) = (String::new(), Arriving::new(framing));
        for piece in pieces {
            buf.push(piece.as_bytes());
            loop {
                arriving.look(&mut buf)?;
                let piece = arriving.piece(&buf);
                if piece.is_empty() {
                    break;
                }
                // Not all at once.
                let some = piece.len().div_ceil(2);
                body.push_str(std::str::from_utf8(&piece[..some]).unwrap());
                arriving.consume(&mut buf, some);
            }
        }
        assert!(arriving.is_over());
        Ok((body, String::from_utf8(buf.data().to_vec()).unwrap()))
    }

    fn is(body: &str, rest: &str) -> Result<(String, String), BadChunk> {
        Ok((body.to_owned(), rest.to_owned()))
    }

    #[test]
    fn each_framing_ends_where_it_says() {
        assert_eq!(read(Framing::Empty, &["GET"]), is("", "GET"));
        assert_eq!(
            read(Framing::Length(5), &["he", "lloGET"]),
            is("hello", "GET")
        );
        assert_eq!(
            read(
                Framing::Chunked,
                &["5\r\nhel", "lo\r\n1\r\n!\r\n0\r\n", "\r\nGET"]
            ),
            is("hello!", "GET")
        );
    }

    #[test]
    fn only_a_body_without_an_end_ends_with_its_connection() {
        let mut arriving = Arriving::new(Framing::UntilClose);
        assert!(!arriving.is_over());
        assert_eq!(arriving.end(), Ok(()));
        assert!(arriving.is_over());
        assert_eq!(Arriving::new(Framing::Length(1)).end(), Err(CutShort));
        assert_eq!(Arriving::new(Framing::Chunked).end(), Err(CutShort));
        assert_eq!(Arriving::new(Framing::Empty).end(), Ok(()));
    }
}
