//! Dynos that speak HTTP/2, as gRPC servers do: each request goes over a bridge that speaks HTTP/1.1 to us and a stream of
//! a shared connection to the dyno. So all that is said of tries, limits and time-outs is said once.
//!
//! HTTP/2 without TLS and without asking first (RFC 9113, 3.3).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::backend::Backend;
use crate::buffer::{Buf, Buffers, SIZE};
use crate::http1::chunks::push_size;
use crate::http1::field::Field;
use crate::http1::framing::{Arriving, Framing};
use crate::http1::request::{self, Fields as _, Line, Lines, Terms};
use crate::http1::{push_decimal, push_field};

/// Streams of one connection; for more another one is opened. Many servers allow no more.
const MAX_STREAMS: u32 = 100;
/// What is under way of one body, each way.
const WINDOW: u32 = 64 * 1024;
/// Of all bodies of a connection: clients that read slowly leave room for the others'.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * WINDOW;
/// As long as any dyno's may be.
const MAX_ANSWER_HEAD: u32 = 1024 * 1024;
/// The longest head we write: what a client may send, and what we add.
const MAX_HEAD: usize = 2 * request::MAX_HEAD;

/// One worker's connections to such dynos.
#[derive(Debug, Default)]
pub(crate) struct Trunks {
    /// By the backend's serial.
    open: RefCell<HashMap<u64, Vec<Trunk>>>,
    /// Held by whoever opens one: others who need one meanwhile wait, and share it.
    turns: RefCell<HashMap<u64, Weak<Mutex<()>>>>,
}

/// A connection to a dyno, shared by requests.
#[derive(Debug, Clone)]
pub(crate) struct Trunk {
    backend: Arc<Backend>,
    sender: SendRequest<Upload>,
    streams: Rc<Cell<u32>>,
    used: Rc<Cell<Instant>>,
}

const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Runs what a connection is made of on the worker's own thread.
#[derive(Debug, Clone, Copy)]
struct OnThisThread;

impl<F: Future<Output = ()> + 'static> Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        // Owned by the worker's runtime; it ends with its connection.
        tokio::task::spawn_local(future);
    }
}

/// Counted among a trunk's streams until it is dropped.
struct OnTrunk(Trunk);

impl OnTrunk {
    fn get(trunk: &Trunk) -> Self {
        trunk.streams.set(trunk.streams.get() + 1);
        Self(trunk.clone())
    }
}

impl Drop for OnTrunk {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.used.set(Instant::now());
    }
}

impl Trunks {
    /// One that has room for another stream.
    pub(crate) fn take(&self, backend: &Backend) -> Option<Trunk> {
        let open = self.open.borrow();
        let trunks = open.get(&backend.serial)?;
        let has_room =
            |trunk: &&Trunk| !trunk.sender.is_closed() && trunk.streams.get() < MAX_STREAMS;
        trunks.iter().find(has_room).cloned()
    }

    /// To be held while one is opened.
    pub(crate) fn turn(&self, backend: &Backend) -> Rc<Mutex<()>> {
        let mut turns = self.turns.borrow_mut();
        if let Some(turn) = turns.get(&backend.serial).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Rc::default();
        turns.insert(backend.serial, Rc::downgrade(&turn));
        turn
    }

    /// Over a connection that was just opened.
    pub(crate) async fn open(
        &self,
        backend: &Arc<Backend>,
        stream: TcpStream,
    ) -> io::Result<Trunk> {
        let (sender, connection) = http2::Builder::new(OnThisThread)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_ANSWER_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let label = backend.label.clone();
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                debug!(error = &error as &dyn std::error::Error, dyno = %label, "A connection to a dyno broke");
            }
        });
        let trunk = Trunk {
            backend: backend.clone(),
            sender,
            streams: Rc::default(),
            used: Rc::new(Cell::new(Instant::now())),
        };
        let mut open = self.open.borrow_mut();
        open.entry(backend.serial).or_default().push(trunk.clone());
        Ok(trunk)
    }

    /// Lets go what is closed, leads to dynos that are not routed any more, or has had no stream for so long. What streams
    /// there are go on.
    pub(crate) fn sweep(&self, keep_alive: Duration, now: Instant) {
        self.open.borrow_mut().retain(|_, trunks| {
            trunks.retain(|trunk| {
                let idle = now.saturating_duration_since(trunk.used.get());
                let is_idle = trunk.streams.get() == 0 && idle > keep_alive;
                !is_idle && !trunk.sender.is_closed() && !trunk.backend.is_removed()
            });
            !trunks.is_empty()
        });
    }
}

/// Our end of a bridge. Whoever drops it has no use for the request any more.
#[derive(Debug)]
pub(crate) struct Bridge {
    pub(crate) stream: DuplexStream,
    gone: CancellationToken,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

impl Trunk {
    /// Takes one request, in HTTP/1.1, and gives its answer.
    pub(crate) fn bridge(&self, buffers: Rc<Buffers>) -> Bridge {
        let (ours, theirs) = duplex(SIZE);
        let gone = CancellationToken::new();
        let (left, on_trunk) = (gone.clone(), OnTrunk::get(self));
        tokio::task::spawn_local(async move {
            tokio::select! {
                () = left.cancelled() => {}
                carried = carry(on_trunk, theirs, buffers) => if let Err(error) = carried {
                    debug!(error = &error as &dyn std::error::Error, "A request over HTTP/2 was not answered");
                },
            }
        });
        Bridge { stream: ours, gone }
    }
}

/// An error ends the bridge, which looks to the other end like a dyno that has closed its connection.
async fn carry(
    mut on_trunk: OnTrunk,
    theirs: DuplexStream,
    buffers: Rc<Buffers>,
) -> io::Result<()> {
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
        return to.shutdown().await;
    };
    buf.advance(length);
    let is_head = head.method() == Method::HEAD;
    let upload = Upload {
        from,
        buf,
        arriving: Arriving::new(framing),
        framing,
    };
    let asked = on_trunk.0.sender.send_request(head.map(|()| upload));
    let response = asked.await.map_err(io::Error::other)?;
    answer(response, is_head, &mut to).await
}

async fn head_in(from: &mut ReadHalf<DuplexStream>, buf: &mut Buf) -> io::Result<usize> {
    loop {
        if let Some(end) = memchr::memmem::find(buf.data(), b"\r\n\r\n") {
            return Ok(end + 4);
        }
        let count = std::future::poll_fn(|cx| buf.poll_fill(cx, from, MAX_HEAD)).await?;
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

/// Writes the answer as HTTP/1.1 has it.
async fn answer(
    response: Response<Incoming>,
    is_head: bool,
    to: &mut WriteHalf<DuplexStream>,
) -> io::Result<()> {
    let (parts, mut body) = response.into_parts();
    let has_length = parts.headers.contains_key(CONTENT_LENGTH);
    let is_empty = body.is_end_stream();
    let mut text = b"HTTP/1.1 ".to_vec();
    push_decimal(&mut text, parts.status.as_u16().into());
    text.push(b' ');
    text.extend_from_slice(
        parts
            .status
            .canonical_reason()
            .unwrap_or_default()
            .as_bytes(),
    );
    // The bridge is for one request. It does not wait for the rest of one that was answered before its end.
    text.extend_from_slice(b"\r\nConnection: close\r\n");
    for (name, value) in &parts.headers {
        push_field(&mut text, name.as_str().as_bytes(), value.as_bytes());
    }
    let has_body = !is_head && !matches!(parts.status.as_u16(), 204 | 304);
    let is_chunked = !is_empty && !has_length;
    match (is_chunked, has_length) {
        (true, _) => text.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        (false, false) if has_body => text.extend_from_slice(b"Content-Length: 0\r\n"),
        _ => {}
    }
    text.extend_from_slice(b"\r\n");
    to.write_all(&text).await?;
    let mut trailers = HeaderMap::new();
    while let Some(frame) = next(&mut body).await {
        match frame.map_err(io::Error::other)?.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) if is_chunked => {
                text.clear();
                push_size(&mut text, data.len());
                to.write_all(&text).await?;
                to.write_all(&data).await?;
                to.write_all(b"\r\n").await?;
            }
            Ok(data) => to.write_all(&data).await?,
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    if is_chunked {
        text.clear();
        text.extend_from_slice(b"0\r\n");
        for (name, value) in &trailers {
            push_field(&mut text, name.as_str().as_bytes(), value.as_bytes());
        }
        text.extend_from_slice(b"\r\n");
        to.write_all(&text).await?;
    }
    to.shutdown().await
}

async fn next(body: &mut Incoming) -> Option<Result<Frame<Bytes>, hyper::Error>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

/// The request's body, as it comes over the bridge.
struct Upload {
    from: ReadHalf<DuplexStream>,
    buf: Buf,
    arriving: Arriving,
    framing: Framing,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        loop {
            let nonsense = |_| io::Error::from(io::ErrorKind::InvalidData);
            this.arriving.look(&mut this.buf).map_err(nonsense)?;
            let piece = this.arriving.piece(&this.buf);
            if !piece.is_empty() {
                let data = Bytes::copy_from_slice(piece);
                this.arriving.consume(&mut this.buf, data.len());
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if this.arriving.is_over() {
                return Poll::Ready(None);
            }
            // A body that breaks off resets its stream.
            if ready!(this.buf.poll_fill(cx, &mut this.from, SIZE))? == 0 {
                return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.arriving.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        match self.framing {
            Framing::Empty => SizeHint::with_exact(0),
            Framing::Length(length) => SizeHint::with_exact(length),
            Framing::Chunked | Framing::UntilClose => SizeHint::default(),
        }
    }
}
