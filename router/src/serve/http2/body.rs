//! The bodies of a stream: nothing is gathered, and who reads slowly slows the writer.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::pressure::Pressure;
use super::streams;
use crate::alarm::Alarm;
use crate::buffer;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::http1::field;
use crate::http1::framing::Framing;
use crate::passing::Passing;
use crate::pool::Link;
use crate::upload::{Sending, Sent, Upload};

/// The body was cut short; why is in the app's log.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the body was cut short")]
pub(crate) struct CutShort;

/// From the client, on its way to a dyno.
#[derive(Debug)]
pub(crate) struct StreamUpload {
    body: Incoming,
    framing: Framing,
    piece: Bytes,
    is_last: bool,
    passed_on: u64,
}

impl StreamUpload {
    pub(super) fn new(body: Incoming, framing: Framing) -> Self {
        Self {
            body,
            framing,
            piece: Bytes::new(),
            is_last: framing == Framing::Empty,
            passed_on: 0,
        }
    }
}

impl Upload for StreamUpload {
    fn framing(&self) -> Framing {
        self.framing
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while self.piece.is_empty() && !self.is_last {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => self.is_last = true,
                Some(Err(_)) => return Poll::Ready(Err(Fault::ClientInterrupted)),
                Some(Ok(frame)) => {
                    // Trailers of requests stay behind: no app could tell who vouches for them.
                    self.piece = frame.into_data().unwrap_or_default();
                    self.is_last = self.body.is_end_stream();
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn piece(&self) -> &[u8] {
        &self.piece
    }

    fn consume(&mut self, count: usize) {
        self.piece.advance(count);
        self.passed_on += count as u64;
    }

    fn passed_on(&self) -> u64 {
        self.passed_on
    }

    fn is_last(&self) -> bool {
        self.is_last
    }

    /// Who resets a stream has whatever answers it dropped.
    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// What the client is sent.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Bytes),
    Stream(Download),
}

/// From a dyno, on its way to the client.
#[derive(Debug)]
pub(crate) struct Download {
    /// `None`: it was cut. By whom is in the log.
    carried: Rc<RefCell<Option<Carried>>>,
    pressure: Rc<Pressure>,
    /// Dropped with it.
    _alarm: Rc<Alarm>,
}

#[derive(Debug)]
struct Carried {
    exchange: Exchange,
    link: Link,
    link_stays: bool,
    body: Passing,
    upload: StreamUpload,
    sending: Sending,
    is_refused: bool,
    alarm: Rc<Alarm>,
}

impl Download {
    pub(super) fn begin(
        mut exchange: Exchange,
        link: Link,
        link_stays: bool,
        body: Passing,
        (upload, sending): (StreamUpload, Sending),
        alarm: Rc<Alarm>,
        pressure: Rc<Pressure>,
    ) -> Body {
        if body.is_over() {
            // The head says that nothing follows, even while the client still sends: clients of gRPC expect no frame then.
            exchange.received();
            let is_whole = link_stays && sending.is_over(&link);
            exchange.end(Some(link).filter(|_| is_whole));
            return Body::Whole(Bytes::new());
        }
        alarm.set(exchange.idle);
        let carried = Rc::new(RefCell::new(Some(Carried {
            exchange,
            link,
            link_stays,
            body,
            upload,
            sending,
            is_refused: false,
            alarm: alarm.clone(),
        })));
        // While the client takes nothing, nobody asks the body for more: waking its task would do nothing.
        let (late, cut) = (Rc::downgrade(&carried), streams::cut());
        alarm.call(move || {
            if let Some(carried) = late.upgrade()
                && cut_if_idle(&carried) == Some(Fault::ClientIdle)
                && let Some(cut) = &cut
            {
                cut.cut();
            }
        });
        Body::Stream(Self {
            carried,
            pressure,
            _alarm: alarm,
        })
    }
}

/// Whose fault it was, if it was not over.
fn cut_if_idle(carried: &RefCell<Option<Carried>>) -> Option<Fault> {
    let mut late = carried.borrow_mut().take()?;
    let has_more = !late.link.buf.is_empty() || !late.link.stream.is_quiet();
    let fault = match has_more {
        true => Fault::ClientIdle,
        false => Fault::BackendIdle,
    };
    late.exchange.cut(fault);
    Some(fault)
}

impl Carried {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, Fault>> {
        self.send(cx);
        loop {
            self.body.look(&mut self.link.buf)?;
            let piece = self.body.piece(&self.link.buf);
            if !piece.is_empty() {
                let data = Bytes::copy_from_slice(piece);
                self.body.consume(&mut self.link.buf, data.len());
                self.exchange.bytes += data.len() as u64;
                self.alarm.set(self.exchange.idle);
                return Poll::Ready(Ok(Some(Frame::data(data))));
            }
            if self.body.is_last() {
                let trailers = trailers(self.body.trailers());
                return Poll::Ready(Ok(trailers.map(Frame::trailers)));
            }
            match self.link.poll_fill(cx, buffer::SIZE) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) => self.body.end().map_err(|_| Fault::BackendInterrupted)?,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::BackendInterrupted)),
                Poll::Pending if self.body.flush()? => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// What is left of the request.
    fn send(&mut self, cx: &mut Context<'_>) {
        if self.is_refused || self.sending.is_over(&self.link) {
            return;
        }
        let sent = self.sending.go_on(cx, &mut self.link, &mut self.upload);
        self.exchange.bytes_in = self.upload.passed_on();
        match sent {
            Sent::More { moved: false } => {}
            Sent::All | Sent::More { moved: true } => self.alarm.set(self.exchange.idle),
            Sent::Broken(_) | Sent::Refused(_) => self.is_refused = true,
        }
    }

    /// The answer is complete. An HTTP/2 client is told so, and has no use for what is left of its request.
    fn end(mut self) {
        self.exchange.received();
        let is_whole = self.link_stays && self.sending.is_over(&self.link);
        self.exchange.end(Some(self.link).filter(|_| is_whole));
    }
}

/// As a map, if there are any that may go on.
fn trailers(lines: &[u8]) -> Option<HeaderMap> {
    let lines = field::trailing(lines);
    let mut map = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value[1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    Some(map).filter(|map| !map.is_empty())
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let this = self.get_mut();
        let download = match this {
            Self::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Self::Whole(bytes) => {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))));
            }
            Self::Stream(download) => download,
        };
        ready!(download.pressure.poll_room(cx));
        let mut carried = download.carried.borrow_mut();
        let polled = match carried.as_mut() {
            Some(carried) => ready!(carried.poll(cx)),
            None => return Poll::Ready(Some(Err(CutShort))),
        };
        if let Ok(Some(frame)) = &polled {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            download.pressure.handed(bytes);
        }
        let is_end = match &polled {
            Ok(Some(frame)) => {
                frame.is_trailers()
                    || carried.as_ref().is_some_and(|carried| {
                        carried.body.is_over() && carried.body.trailers().is_empty()
                    })
            }
            Ok(None) | Err(_) => true,
        };
        if is_end && let Some(mut over) = carried.take() {
            match polled {
                Ok(_) => over.end(),
                Err(fault) => over.exchange.cut(fault),
            }
        }
        drop(carried);
        if is_end && polled.is_ok() {
            *this = Self::Whole(Bytes::new());
        }
        Poll::Ready(polled.map_err(|_| CutShort).transpose())
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        let exactly = match self {
            Self::Whole(bytes) => Some(bytes.len() as u64),
            Self::Stream(download) => download
                .carried
                .borrow()
                .as_ref()
                .and_then(|carried| carried.body.exactly()),
        };
        exactly.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_of_a_dyno_become_a_map() {
        let map = trailers(b"Grpc-Status: 0\r\nX: a b \r\nContent-Length: 3\r\n").unwrap();
        assert_eq!(
            (&map["grpc-status"], &map["x"]),
            (&"0".parse().unwrap(), &"a b".parse().unwrap())
        );
        assert_eq!(map.len(), 2);
        assert!(trailers(b"").is_none());
    }
}
