//! A request's body on its way over a trunk.

use std::future::{pending, poll_fn};

use bytes::Bytes;
use h2::SendStream;
use tokio::io::{DuplexStream, ReadHalf};

use super::Broken;
use crate::buffer::{Buf, SIZE};
use crate::http1::framing::{Arriving, Framing};
use crate::trunk::WINDOW;

/// What a piece takes that is kept, besides its bytes.
const OVERHEAD: usize = 128;

#[derive(Debug)]
pub(super) struct Upload {
    from: ReadHalf<DuplexStream>,
    buf: Buf,
    arriving: Arriving,
    framing: Framing,
    /// What was sent, as long as all of it is kept, to be sent again over another trunk if the first turns out to be closing.
    said: Option<Vec<Bytes>>,
    kept: usize,
}

impl Upload {
    pub(super) fn new(from: ReadHalf<DuplexStream>, buf: Buf, framing: Framing) -> Self {
        Self {
            from,
            buf,
            arriving: Arriving::new(framing),
            framing,
            said: Some(Vec::new()),
            kept: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.framing == Framing::Empty
    }

    /// Whether it can be sent from its beginning.
    pub(super) const fn can_begin_again(&self) -> bool {
        self.said.is_some()
    }

    /// From the beginning to the end. If the dyno takes no more of it that is no error, and never ready: its answer says why.
    pub(super) async fn send(&mut self, out: &mut SendStream<Bytes>) -> Result<(), Broken> {
        let said = self.said.iter().flatten().cloned();
        for piece in said.collect::<Vec<_>>() {
            put(out, piece, false).await;
        }
        loop {
            self.arriving
                .look(&mut self.buf)
                .map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidData))?;
            let piece = self.arriving.piece(&self.buf);
            if !piece.is_empty() {
                let piece = Bytes::copy_from_slice(piece);
                self.arriving.consume(&mut self.buf, piece.len());
                self.keep(&piece);
                let is_last = self.arriving.is_over();
                put(out, piece, is_last).await;
                if is_last {
                    return Ok(());
                }
            } else if self.arriving.is_over() {
                put(out, Bytes::new(), true).await;
                return Ok(());
            } else {
                let fill = poll_fn(|cx| self.buf.poll_fill(cx, &mut self.from, SIZE));
                if fill.await? == 0 {
                    return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                }
            }
        }
    }

    fn keep(&mut self, piece: &Bytes) {
        self.kept += piece.len() + OVERHEAD;
        match &mut self.said {
            Some(said) if self.kept <= WINDOW as usize => said.push(piece.clone()),
            said => *said = None,
        }
    }
}

/// Sends as much at a time as there is room for; the last piece may be empty.
async fn put(out: &mut SendStream<Bytes>, mut piece: Bytes, is_last: bool) {
    loop {
        let mut some = piece.len();
        if some > 0 {
            out.reserve_capacity(some);
            let room = match out.capacity() {
                0 => poll_fn(|cx| out.poll_capacity(cx)).await,
                room => Some(Ok(room)),
            };
            let Some(Ok(room)) = room else {
                return pending().await;
            };
            some = room.min(some);
        }
        let is_end = is_last && some == piece.len();
        if out.send_data(piece.split_to(some), is_end).is_err() {
            return pending().await;
        }
        if piece.is_empty() {
            return;
        }
    }
}
