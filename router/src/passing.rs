//! A dyno's body as its client gets it: as it comes, or compressed.

use crate::buffer::{Buf, SIZE};
use crate::coding::Coder;
use crate::fault::Fault;
use crate::http1::framing::{Arriving, CutShort, Framing};

#[derive(Debug)]
pub(crate) struct Passing {
    arriving: Arriving,
    coder: Option<Box<Coder>>,
}

impl Passing {
    pub(crate) fn new(framing: Framing, coder: Option<Coder>) -> Self {
        Self {
            arriving: Arriving::new(framing),
            coder: coder.map(Box::new),
        }
    }

    /// Looks at what is in the buffer. Call when nothing is ready.
    pub(crate) fn look(&mut self, buf: &mut Buf) -> Result<(), Fault> {
        self.look_plain(buf)?;
        let Some(coder) = &mut self.coder else {
            return Ok(());
        };
        while coder.out().len() < SIZE && !self.arriving.piece(buf).is_empty() {
            let piece = self.arriving.piece(buf);
            let length = piece.len();
            coder.put(piece).map_err(|_| Fault::Platform)?;
            self.arriving.consume(buf, length);
            self.arriving
                .look(buf)
                .map_err(|_| Fault::BackendInterrupted)?;
        }
        if self.arriving.is_over() {
            coder.finish().map_err(|_| Fault::Platform)?;
        }
        Ok(())
    }

    fn look_plain(&mut self, buf: &mut Buf) -> Result<(), Fault> {
        self.arriving
            .look(buf)
            .map_err(|_| Fault::BackendInterrupted)
    }

    /// What is there to be passed on.
    pub(crate) fn piece<'b>(&'b self, buf: &'b Buf) -> &'b [u8] {
        match &self.coder {
            None => self.arriving.piece(buf),
            Some(coder) => coder.out(),
        }
    }

    /// So much of the piece has been passed on.
    pub(crate) fn consume(&mut self, buf: &mut Buf, count: usize) {
        match &mut self.coder {
            None => self.arriving.consume(buf, count),
            Some(coder) => coder.consume(count),
        }
    }

    /// Nothing comes for now: what was kept back for better compression is not to wait for more. Whether there was any.
    pub(crate) fn flush(&mut self) -> Result<bool, Fault> {
        match &mut self.coder {
            None => Ok(false),
            Some(coder) => coder.flush().map_err(|_| Fault::Platform),
        }
    }

    /// Whether nothing more is to come than what is there.
    pub(crate) fn is_last(&self) -> bool {
        match &self.coder {
            None => self.arriving.is_last(),
            Some(coder) => coder.is_finished(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        match &self.coder {
            None => self.arriving.is_over(),
            Some(coder) => coder.is_finished() && coder.out().is_empty(),
        }
    }

    /// Nothing more comes over the dyno's connection.
    pub(crate) fn end(&mut self) -> Result<(), CutShort> {
        self.arriving.end()
    }

    /// The lines after the last chunk, when it is over.
    pub(crate) fn trailers(&self) -> &[u8] {
        self.arriving.trailers()
    }
}
