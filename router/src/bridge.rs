//! Dynos that speak HTTP/2, as gRPC servers do: each request goes over a bridge that speaks HTTP/1.1 to us and a stream of
//! a [trunk](crate::trunk) to the dyno. So all that is said of tries, limits and time-outs is said once.

mod answer;
mod upload;

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::Reason;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use tokio::io::{
    AsyncRead, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, ReadHalf, WriteHalf, duplex,
    split,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::buffer::{Buf, Buffers, SIZE};
use crate::http1::field::Field;
use crate::http1::request::{self, Fields as _, Line, Lines, Terms};
use crate::pool::ConnectError;
use crate::trunk::{OnTrunk, Trunks};
use answer::answer;
use upload::Upload;

/// The longest head we write: what a client may send, and what we add.
const MAX_HEAD: usize = 2 * request::MAX_HEAD;
/// Trunks that are tried one after the other for a request that none of them takes.
const MAX_TRIES: u32 = 3;
/// For another trunk when one closes: as long as for any dyno that is the only one.
const PATIENCE: Duration = Duration::from_secs(5);

const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Our end of a bridge. Whoever drops it has no use for the request any more.
#[derive(Debug)]
pub(crate) struct Bridge {
    stream: DuplexStream,
    /// Why it ended, if it was not the end of an answer.
    why: Rc<Cell<Option<io::ErrorKind>>>,
    gone: CancellationToken,
}

/// What is said when the dyno has given up the request alone, and not its connection: it would do so again.
const GIVEN_UP: io::ErrorKind = io::ErrorKind::ConnectionAborted;

/// Whether the dyno has given up this request.
pub(crate) fn is_given_up(error: &io::Error) -> bool {
    error.kind() == GIVEN_UP
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

/// Takes one request, in HTTP/1.1, and gives its answer.
pub(crate) fn bridge(on_trunk: OnTrunk, trunks: Rc<Trunks>, buffers: Rc<Buffers>) -> Bridge {
    let (stream, theirs) = duplex(SIZE);
    let (gone, why) = (CancellationToken::new(), Rc::default());
    let bridge = Bridge {
        stream,
        why: Rc::clone(&why),
        gone: gone.clone(),
    };
    // Owned by the worker's runtime; it ends with the bridge.
    tokio::task::spawn_local(async move {
        tokio::select! {
            () = gone.cancelled() => {}
            carried = carry(on_trunk, &trunks, theirs, buffers) => if let Err(broken) = carried {
                debug!(error = &broken as &dyn std::error::Error, "A request over HTTP/2 was not answered");
                why.set(Some(broken.kind()));
            },
        }
    });
    bridge
}

/// Why there is no answer, or no end of it.
#[derive(Debug, thiserror::Error)]
enum Broken {
    /// Nothing was done for the request: it may be asked again.
    #[error("the dyno did not look at the request")]
    Refused {
        /// Whether the connection takes no more of them.
        is_goodbye: bool,
    },
    #[error("the dyno has given up the request")]
    GivenUp(#[source] h2::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Broken {
    /// Of what became of a request that was sent.
    fn of(error: h2::Error) -> Self {
        let is_of_stream = error.is_reset() && error.is_remote();
        if error.is_go_away() && error.is_remote() {
            Self::Refused { is_goodbye: true }
        } else if is_of_stream && error.reason() == Some(Reason::REFUSED_STREAM) {
            Self::Refused { is_goodbye: false }
        } else if is_of_stream {
            Self::GivenUp(error)
        } else {
            Self::Io(into_io(error))
        }
    }

    /// Of a request that could not be sent.
    fn before(error: h2::Error) -> Self {
        match (error.is_go_away() && error.is_remote()) || error.is_io() {
            true => Self::Refused { is_goodbye: true },
            false => Self::Io(into_io(error)),
        }
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Refused { .. } | Self::GivenUp(_) => GIVEN_UP,
            Self::Io(error) => error.kind(),
        }
    }
}

fn into_io(error: h2::Error) -> io::Error {
    match error.is_io() {
        true => error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()),
        false => io::Error::other(error),
    }
}

/// An error ends the bridge, which looks to the other end like a dyno that has closed its connection.
async fn carry(
    mut on_trunk: OnTrunk,
    trunks: &Trunks,
    theirs: DuplexStream,
    buffers: Rc<Buffers>,
) -> Result<(), Broken> {
    let (mut from, mut to) = split(theirs);
    let mut buf = Buf::new(buffers);
    let length = head_in(&mut from, &mut buf).await?;
    let read = request::parse(&buf.data()[..length], |line, fields| {
        let framing = Terms::of(&line, fields).framing;
        head(&line, fields).map(|head| (head, framing))
    });
    let Ok(Ok((head, framing))) = read else {
        // HTTP/1.1 has it, and HTTP/2's grammar does not. It is the request's fault, and no reason to connect anew.
        to.write_all(BAD_REQUEST).await?;
        return Ok(to.shutdown().await?);
    };
    buf.advance(length);
    let mut upload = Upload::new(from, buf, framing);
    for _ in 1..MAX_TRIES {
        match ask(&mut on_trunk, &head, &mut upload, &mut to).await {
            // Servers say goodbye that restart or have served for long enough.
            Err(Broken::Refused { is_goodbye }) if upload.can_begin_again() => {
                if is_goodbye {
                    on_trunk.close();
                }
            }
            ended => return ended,
        }
        let backend = on_trunk.backend().clone();
        on_trunk = match trunks.reach(&backend, PATIENCE).await {
            Ok((on_trunk, _)) => on_trunk,
            Err(ConnectError::Silence) => return Err(Broken::Io(io::ErrorKind::TimedOut.into())),
            Err(ConnectError::Refused(error) | ConnectError::Ours(error)) => {
                return Err(Broken::Io(error));
            }
        };
    }
    ask(&mut on_trunk, &head, &mut upload, &mut to).await
}

/// Dropped before its end, it has the stream reset.
async fn ask(
    on_trunk: &mut OnTrunk,
    head: &Request<()>,
    upload: &mut Upload,
    to: &mut WriteHalf<DuplexStream>,
) -> Result<(), Broken> {
    let asked = on_trunk
        .sender()
        .send_request(head.clone(), upload.is_empty());
    let (response, mut out) = asked.map_err(Broken::before)?;
    let is_head = head.method() == Method::HEAD;
    let mut answering = pin!(async {
        let response = response.await.map_err(Broken::of)?;
        Ok(answer(response, is_head, to).await?)
    });
    if !upload.is_empty() {
        let _uploading = on_trunk.upload();
        // Whoever has answered needs no more of the request.
        tokio::select! {
            biased;
            answered = &mut answering => return answered,
            sent = upload.send(&mut out) => sent?,
        }
    }
    answering.await
}

async fn head_in(from: &mut ReadHalf<DuplexStream>, buf: &mut Buf) -> io::Result<usize> {
    loop {
        if let Some(end) = memchr::memmem::find(buf.data(), b"\r\n\r\n") {
            return Ok(end + 4);
        }
        let count = poll_fn(|cx| buf.poll_fill(cx, from, MAX_HEAD)).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A head of HTTP/1.1, as we write it, as a stream has it.
fn head(line: &Line<'_>, fields: Lines<'_>) -> io::Result<Request<()>> {
    let mut headers = HeaderMap::new();
    let mut host: &[u8] = b"";
    for (name, value) in fields.each() {
        match Field::of(name) {
            Field::Host => host = value,
            field if field.is_of_the_hop() => {}
            _ => {
                let name = HeaderName::from_bytes(name).map_err(io::Error::other)?;
                let value = HeaderValue::from_bytes(value).map_err(io::Error::other)?;
                headers.append(name, value);
            }
        }
    }
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        // Some servers of gRPC answer nobody who does not say so.
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    let uri = Uri::builder()
        .scheme("http")
        .authority(host)
        .path_and_query(line.path)
        .build()
        .map_err(io::Error::other)?;
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(line.method).map_err(io::Error::other)?;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

impl AsyncRead for Bridge {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let had = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        match this.why.get() {
            Some(why) if buf.filled().len() == had => Poll::Ready(Err(why.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Bridge {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
