//! The bodies of both directions, frame by frame: nothing is gathered, and who reads slowly slows the writer.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::exchange::{Exchange, Sent};
use crate::fault::Fault;

/// The body was cut short; why is in the app's log.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the body was cut short")]
pub(crate) struct CutShort;

/// From the client, on its way to a dyno. Several may be made of one request, one after the other, as long as the
/// body is untouched.
#[derive(Debug)]
pub(crate) struct Upload(pub(crate) Rc<Exchange>);

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let exchange = &self.0;
        let mut body = exchange.upload.borrow_mut();
        let Some(incoming) = body.as_mut() else {
            return Poll::Ready(Some(Err(CutShort)));
        };
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                let is_end =
                    frame.is_trailers() || body.as_ref().is_some_and(HttpBody::is_end_stream);
                drop(body);
                exchange.touch();
                if is_end {
                    exchange.end_upload();
                } else {
                    exchange.sent.set(Sent::Some);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                drop(body);
                exchange.end_upload();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                let fault = if is_nonsense(&error) {
                    Fault::BadChunk
                } else {
                    Fault::ClientInterrupted
                };
                exchange.sent.set(Sent::Broken(fault));
                Poll::Ready(Some(Err(CutShort)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0
            .upload
            .borrow()
            .as_ref()
            .is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .upload
            .borrow()
            .as_ref()
            .map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

/// Chunks that are none, as against a client that went away.
fn is_nonsense(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
            );
        }
        source = error.source();
    }
    false
}

/// From a dyno, on its way to the client.
#[derive(Debug)]
pub(crate) struct Download(pub(crate) Rc<Exchange>);

/// What the client is sent.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Bytes),
    Stream(Download),
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(download) => download.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(download) => download.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(Download(exchange)) => exchange
                .download
                .borrow()
                .as_ref()
                .map_or_else(SizeHint::default, HttpBody::size_hint),
        }
    }
}

impl Download {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let exchange = &self.0;
        let mut body = exchange.download.borrow_mut();
        let Some(incoming) = body.as_mut() else {
            // Ended well, or cut: whoever cut it has said why.
            return Poll::Ready(if exchange.is_received() {
                None
            } else {
                Some(Err(CutShort))
            });
        };
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Pending => {
                let mut waiting = exchange.waiting.borrow_mut();
                if !waiting
                    .as_ref()
                    .is_some_and(|waker| waker.will_wake(cx.waker()))
                {
                    *waiting = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                let is_end =
                    frame.is_trailers() || body.as_ref().is_some_and(HttpBody::is_end_stream);
                drop(body);
                exchange.touch();
                if let Some(data) = frame.data_ref() {
                    exchange.bytes.set(exchange.bytes.get() + data.len() as u64);
                }
                if is_end {
                    exchange.end_download();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                drop(body);
                exchange.end_download();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) => {
                drop(body);
                exchange.cut(match exchange.sent.get() {
                    Sent::Broken(fault) => fault,
                    _ => Fault::BackendInterrupted,
                });
                Poll::Ready(Some(Err(CutShort)))
            }
        }
    }

    fn is_end(&self) -> bool {
        self.0.is_received()
    }
}
