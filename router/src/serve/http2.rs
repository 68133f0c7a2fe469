//! A client's connection over HTTP/2: its own task reads what comes and writes what is to go; each stream has a task that
//! passes its request on over HTTP/1.1 and answers as the dyno says.

mod answer;
mod calm;
mod connection;
mod idle;
mod intake;
mod stream;
mod tunnel;
mod wire;

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tracing::debug;

use crate::alarm::Alarm;
use crate::buffer::{self, Buf};
use crate::client::Client;
use crate::error_page;
use crate::fault::Fault;
use crate::http1::framing::Framing;
use crate::http1::request::Terms;
use crate::http2::fields::{Asked, FieldList};
use crate::http2::frame::{self, Reason};
use crate::phase::{self, Opened};
use crate::stream::Stream as Socket;
use connection::Connection;
use idle::{Heartbeat, Idle, Look};
use intake::{Intake, LEAVE, Request};
use stream::Stream;
use wire::Wire;

/// A client that is hung up on has this long, and so many bytes, to notice.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;
/// One that was told to leave and says nothing has this long to take what is on its way to it and hang up.
const PARTING: Duration = Duration::from_secs(10);

/// Until the connection ends. `said` is what the client has said already.
pub(crate) async fn serve(client: Rc<Client>, stream: Socket, said: Option<Buf>) {
    let worker = client.worker.clone();
    let buf = said.unwrap_or_else(|| Buf::new(worker.buffers.clone()));
    let connection = Connection::new(client);
    let mut door = Door {
        stream,
        buf,
        intake: Intake::new(),
        idle: Idle::new(&connection.client),
        heartbeat: Heartbeat::new(&worker.alarms, worker.shared.config.timeouts.client_head),
        leaving: Leaving::No,
        is_kept_back: false,
        connection,
    };
    let mut leave = pin!(worker.shared.leaving.leave.cancelled());
    let ended = poll_fn(|cx| {
        let is_leaving = door.leaving == Leaving::No && leave.as_mut().poll(cx).is_ready();
        door.poll(cx, is_leaving)
    })
    .await;
    // Whoever forwards a request for it, or waits to answer, has no use for that any more.
    door.connection.end();
    match ended {
        Ok(Ended::Gone) => {}
        Ok(Ended::Left) => door.part().await,
        Err(error) => {
            debug!(error = &error as &dyn std::error::Error, peer = %door.connection.client.peer, "A client's connection broke");
            door.hang_up().await;
        }
    }
}

/// The connection's own task.
#[derive(Debug)]
struct Door {
    connection: Rc<Connection>,
    stream: Socket,
    /// What was read and not understood yet.
    buf: Buf,
    intake: Intake,
    idle: Idle,
    heartbeat: Heartbeat,
    leaving: Leaving,
    /// Whether what was written may be kept back by the stream.
    is_kept_back: bool,
}

/// How a client is told to leave: in two steps, for what it asks before it has heard of it is answered (RFC 9113, 6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// It was told, and asked to say that it has heard.
    Told,
    /// What it asks from now on is not answered.
    Last,
}

/// Who has ended a connection, where nothing was wrong.
enum Ended {
    Gone,
    Left,
}

impl Door {
    fn poll(&mut self, cx: &mut Context<'_>, is_to_leave: bool) -> Poll<io::Result<Ended>> {
        self.connection.watch(cx.waker());
        let client = &self.connection.client;
        if is_to_leave || (client.is_turned_away() && client.begun.get() > 0) {
            self.tell_to_leave();
        }
        let has_ended = self.listen(cx)?;
        let was_full = self.connection.is_full();
        if self.intake.has_heard() && self.leaving == Leaving::Told {
            self.leaving = Leaving::Last;
            self.intake.answer_no_more();
            let bye = frame::go_away(self.intake.last_stream(), Reason::NoError);
            self.connection.say(&bye);
        }
        match self.idle.look(&self.connection) {
            Look::Busy => {}
            Look::Idle => self.tell_to_leave(),
            // All that it was sent may be under way to it still.
            Look::TooLong if self.connection.with_out(|out| out.is_empty()) => {
                return Poll::Ready(Ok(Ended::Left));
            }
            Look::TooLong => return Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
        self.idle.alarm.watch(cx.waker());
        if !self.heartbeat.look(&self.connection, cx.waker()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let flushed = self.poll_flush(cx)?;
        // Those who are let in have their turn first, and may not use it. And what the client has said while it was not
        // listened to will not be announced again.
        if self.connection.let_in() || (was_full && !self.connection.is_full()) {
            cx.waker().wake_by_ref();
        }
        if has_ended {
            return Poll::Ready(Ok(Ended::Gone));
        }
        let says_no_more = self.leaving == Leaving::Last || self.intake.has_said_goodbye();
        if says_no_more && self.connection.under_way() == 0 && flushed.is_ready() {
            return Poll::Ready(Ok(Ended::Left));
        }
        Poll::Pending
    }

    fn tell_to_leave(&mut self) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Told;
            self.idle.told(&self.connection.client);
            // Any number may still come.
            self.connection
                .say(&frame::go_away(0x7fff_ffff, Reason::NoError));
            self.connection.say(&frame::ping(0, LEAVE));
        }
    }

    /// Takes what the client says. Whether it has ended the connection.
    fn listen(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        loop {
            let connection = &self.connection;
            let taken = self.intake.take(&mut self.buf, connection, |request| {
                begin(connection, request);
            });
            if let Err(reason) = taken {
                let last = self.intake.last_stream();
                self.connection.say(&frame::go_away(last, reason));
                return Err(io::Error::other(Broken(reason)));
            }
            if self.connection.is_full() {
                return Ok(false);
            }
            match self.buf.poll_fill(cx, &mut self.stream, buffer::SIZE) {
                Poll::Ready(Ok(0)) => return Ok(true),
                Poll::Ready(Ok(_)) => self.heartbeat.heard(),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(false),
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = &mut self.stream;
        let kept_back = &mut self.is_kept_back;
        self.connection.with_out(|out| {
            while !out.is_empty() {
                let written = ready!(Pin::new(&mut *stream).poll_write(cx, out.data()))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                out.advance(written);
                *kept_back = true;
            }
            out.rest();
            if *kept_back {
                ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                *kept_back = false;
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Waits until the client has all that it was sent, and has hung up: what it sends meanwhile would else have the kernel
    /// take back what is still on its way.
    async fn part(&mut self) {
        let mut left = LINGER_BYTES;
        let worker = self.connection.client.worker.clone();
        let alarm = Alarm::new(&worker.alarms);
        let until = alarm.now() + worker.shared.config.timeouts.idle;
        let silence = PARTING.min(self.connection.client.patience());
        alarm.set(silence);
        poll_fn(|cx| {
            alarm.watch(cx.waker());
            let before = left;
            let parted = self.poll_linger(cx, &mut left).map(|_| ());
            if left < before && alarm.now() < until {
                alarm.set(silence);
            }
            match alarm.has_rung() {
                true => Poll::Ready(()),
                false => parted,
            }
        })
        .await;
    }

    /// Tells the client why, as far as it listens: closed at once, the kernel would take back what was said last.
    async fn hang_up(&mut self) {
        let mut left = LINGER_BYTES;
        let alarm = Alarm::new(&self.connection.client.worker.alarms);
        alarm.set(LINGER);
        let is_taken = poll_fn(|cx| {
            alarm.watch(cx.waker());
            match self.poll_linger(cx, &mut left) {
                Poll::Pending if alarm.has_rung() => Poll::Ready(false),
                lingered => lingered.map(|_| true),
            }
        });
        if !is_taken.await {
            self.stream.reset_at_end();
        }
    }

    /// What was said last is taken, or `count` more bytes have come and not been looked at, or the client has ended too.
    fn poll_linger(&mut self, cx: &mut Context<'_>, count: &mut usize) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        let mut unread = [0; 4096];
        while *count > 0 {
            let mut some = ReadBuf::new(&mut unread);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut some))?;
            match some.filled().len() {
                0 => break,
                read => *count = count.saturating_sub(read),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Why we have hung up on a client.
#[derive(Debug, thiserror::Error)]
#[error("the client does not keep to the protocol: {0:?}")]
struct Broken(Reason);

/// Begins to answer a request.
fn begin(connection: &Rc<Connection>, request: Request<'_>) {
    let client = connection.client.clone();
    let (stream, list, fault) = match request {
        Request::Opened(stream, asked, list) => match open(connection, &stream, asked, list) {
            Some((wire, request)) => {
                return run(&client, stream, answer::answer(wire, request));
            }
            None => (stream, list, Fault::BadHost),
        },
        Request::TooLong(stream, list) => (stream, list, Fault::BadHeader),
    };
    client.has_asked.set(true);
    let wire = Wire::new(connection.clone(), stream.clone(), Framing::Empty, false);
    let page = error_page::page(fault, error_page::Taste::Html, None);
    let refused = answer::refuse(client.clone(), wire, page, list.is_head());
    run(&client, stream, refused);
}

/// The task of a stream, which ends with it.
fn run(client: &Client, stream: Rc<Stream>, work: impl Future<Output = ()> + 'static) {
    // On the heap at once: a task is moved about more often than it is polled.
    let mut work = Box::pin(work);
    client.worker.connections.spawn_local(async move {
        // What is dropped is reset.
        let _ = stream.unless_over(work.as_mut()).await;
    });
}

/// What is asked; `None`: of nobody.
fn open(
    connection: &Rc<Connection>,
    stream: &Rc<Stream>,
    asked: Asked<'_>,
    list: &FieldList,
) -> Option<(Wire, answer::Request)> {
    let client = &connection.client;
    client.has_asked.set(true);
    let (began, now) = (Instant::now(), SystemTime::now());
    let Asked {
        line,
        length,
        tunnel,
    } = asked;
    let mut framing = match length {
        _ if stream.has_all() => Framing::Empty,
        Some(length @ 1..) => Framing::Length(length),
        _ => Framing::Chunked,
    };
    let is_websocket = tunnel.flatten().is_some_and(|protocol| {
        // The only one that a dyno can be asked for.
        protocol.eq_ignore_ascii_case(b"websocket")
    });
    let mut terms = Terms::of(&line, list);
    let key = is_websocket.then(|| BASE64.encode(rand::random::<[u8; 16]>()));
    if is_websocket {
        terms.upgrade = Some(b"websocket");
        terms.websocket_key = key.as_deref();
        // What follows is for the tunnel.
        framing = Framing::Empty;
    } else if tunnel.is_some() {
        terms.fault = terms.fault.or(Some(Fault::BadMethod));
    }
    let origin = client.origin(now);
    let opened = phase::request(
        &client.worker.buffers,
        &line,
        list,
        &terms,
        framing,
        &origin,
    );
    let opened: Opened = opened.ok()?;
    let wire = Wire::new(
        connection.clone(),
        stream.clone(),
        framing,
        terms.expects_go_ahead,
    );
    let request = answer::Request {
        client: client.clone(),
        opened,
        began,
        now,
        may_switch: is_websocket,
    };
    Some((wire, request))
}
