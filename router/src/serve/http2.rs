//! A client's connection over HTTP/2: hyper's, with each stream passed on over HTTP/1.1 and answered as it says.

mod body;
mod calm;
mod frames;
mod gather;
mod pressure;
mod streams;

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{DATE, SEC_WEBSOCKET_ACCEPT, VIA};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::ext::Protocol;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tracing::debug;

use crate::alarm::Alarm;
use crate::buffer::Buf;
use crate::client::Client;
use crate::error_page;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::forward::{Answered, Instead, forward};
use crate::http1::framing::Framing;
use crate::http1::request::{Line, Terms, via};
use crate::http1::response::{self, Hop};
use crate::passing::Passing;
use crate::phase::{self, Opened};
use crate::stream::Stream;
use crate::tunnel;
use body::{Body, Download, StreamUpload};
use gather::{Gathered, gather};
use pressure::Pressure;

pub(crate) use streams::Streams;

#[cfg(any(test, fuzzing))]
pub(crate) use frames::fuzz;

/// A client that was told to leave, or has taken nothing for long, has this long for its last words, or as long as it may be idle.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// A client that is hung up on has this long, and so many bytes, to notice.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;
/// A client that has asked for nothing, and takes less than this of what it asked for in the time that it may be idle, is.
const LEAST_TAKEN: u64 = 16 * 1024;

/// Until the connection ends. `said` is what the client has said already.
pub(crate) async fn serve(client: Rc<Client>, stream: Stream, said: Option<Buf>) {
    let worker = client.worker.clone();
    let pressure = Rc::new(Pressure::default());
    let service = {
        let (client, pressure) = (client.clone(), pressure.clone());
        // On the heap, for the library moves it about.
        service_fn(move |request| Box::pin(answer(client.clone(), pressure.clone(), request)))
    };
    let out = Buf::new(worker.buffers.clone());
    let (gathering, gathered) = gather(stream, said, out, worker.alarms.clone(), pressure);
    let mut connection = pin!(
        worker
            .http2
            .serve_connection(TokioIo::new(gathering), service)
    );
    let mut leave = pin!(worker.shared.leaving.leave.cancelled());
    let (mut is_leaving, mut is_over) = (false, false);
    let alarm = Alarm::new(&worker.alarms);
    let mut idle = Idle::new(&client, &alarm);
    let ended = poll_fn(|cx| {
        // In two steps, as the protocol has it: what was asked meanwhile is answered.
        let has_been_told = client.is_turned_away() && client.begun.get() > 0;
        if !is_leaving && (has_been_told || leave.as_mut().poll(cx).is_ready()) {
            is_leaving = true;
            connection.as_mut().graceful_shutdown();
        }
        if !is_over && let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            if let Err(error) = ended {
                return Poll::Ready(Err(io::Error::other(error)));
            }
            is_over = true;
            alarm.set(worker.shared.config.timeouts.idle);
        }
        if !is_over {
            match idle.look(&client, &gathered, &alarm) {
                Look::Busy => {}
                Look::Idle => {
                    is_leaving = true;
                    connection.as_mut().graceful_shutdown();
                    // Which has begun only then.
                    cx.waker().wake_by_ref();
                }
                Look::TooLong => return Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            }
        } else if alarm.has_rung() {
            // What was said last is still to be taken, and not waited for without end.
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        alarm.watch(cx.waker());
        ready!(gathered.poll_flush(cx))?;
        match is_over {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    });
    let ended: io::Result<()> = ended.await;
    if let Err(error) = ended {
        debug!(error = &error as &dyn std::error::Error, peer = %client.peer, "A client's connection broke");
        hang_up(&gathered, &alarm).await;
    }
}

/// Tells the client why, as far as it listens: closed at once, the kernel would take back what was said last.
async fn hang_up(gathered: &Gathered, alarm: &Alarm) {
    gathered.say_calm();
    let mut left = LINGER_BYTES;
    alarm.set(LINGER);
    let is_taken = poll_fn(|cx| {
        alarm.watch(cx.waker());
        match gathered.poll_linger(cx, &mut left) {
            Poll::Pending if alarm.has_rung() => Poll::Ready(false),
            lingered => lingered.map(|_| true),
        }
    });
    if !is_taken.await {
        gathered.reset_at_end();
    }
}

/// Whether anything goes on over a connection. The library has no such bound: one that never begins, and one whose client
/// just answers pings, would stay for ever.
struct Idle {
    begun: u64,
    data_gone: u64,
    is_told: bool,
}

enum Look {
    Busy,
    /// It is to be told to leave.
    Idle,
    /// It was, and has not left.
    TooLong,
}

impl Idle {
    fn new(client: &Client, alarm: &Alarm) -> Self {
        alarm.set(client.patience());
        Self {
            begun: client.begun.get(),
            data_gone: 0,
            is_told: false,
        }
    }

    fn look(&mut self, client: &Client, gathered: &Gathered, alarm: &Alarm) -> Look {
        let begun = client.begun.get();
        if begun != self.begun || client.under_way.get() > 0 {
            self.begun = begun;
            self.is_told = false;
            alarm.set(client.patience());
            return Look::Busy;
        }
        if !alarm.has_rung() {
            return Look::Busy;
        }
        let gone = gathered.data_gone();
        if gone.saturating_sub(std::mem::replace(&mut self.data_gone, gone)) >= LEAST_TAKEN {
            alarm.set(client.patience());
            return Look::Busy;
        }
        if self.is_told {
            return Look::TooLong;
        }
        self.is_told = true;
        alarm.set(LAST_WORDS.min(client.patience()));
        Look::Idle
    }
}

async fn answer(
    client: Rc<Client>,
    pressure: Rc<Pressure>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    client.has_asked.set(true);
    let (began, now) = (Instant::now(), SystemTime::now());
    // A WebSocket is asked for as a tunnel here, and by a GET of a dyno.
    let is_websocket = request
        .extensions()
        .get::<Protocol>()
        .is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket"));
    let is_tunnel = request.method() == Method::CONNECT;
    let upgrade = is_websocket.then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let framing = framing(&body);
    let line = Line {
        method: match is_websocket {
            true => b"GET",
            false => parts.method.as_str().as_bytes(),
        },
        authority: parts.uri.authority().map(|name| name.as_str().as_bytes()),
        path: parts
            .uri
            .path_and_query()
            .map_or(&b"/"[..], |path| path.as_str().as_bytes()),
        version: Version::HTTP_2,
    };
    let mut terms = Terms::of(&line, &parts.headers);
    let key = is_websocket.then(|| BASE64.encode(rand::random::<[u8; 16]>()));
    if is_websocket {
        terms.upgrade = Some(b"websocket");
        terms.websocket_key = key.as_deref();
    }
    let fault = match is_tunnel && !is_websocket {
        true => Some(Fault::BadMethod),
        false => terms.fault,
    };
    let opened = phase::request(
        &client.worker.buffers,
        &line,
        &parts.headers,
        &terms,
        framing,
        &client.origin(now),
    );
    let Ok(Opened { asked, .. }) = opened else {
        let refused = error_page::page(Fault::BadHost, error_page::Taste::Html, None);
        return Ok(whole(refused, false, &client, now));
    };
    drop(parts);
    let alarm = Alarm::new(&client.worker.alarms);
    let mut exchange = Exchange::new(client.clone(), asked, began);
    let mut upload = StreamUpload::new(body, framing);
    let forwarded = match fault.or_else(|| client.fault()) {
        Some(fault) => Err(Instead::Fault(fault)),
        None => forward(&mut exchange, &mut upload, &alarm).await,
    };
    let instead = match forwarded {
        Ok(answered) => match head(&mut exchange, &answered, upgrade.is_some(), now) {
            Ok((head, body, link_stays)) => {
                let Answered {
                    mut link,
                    head: length,
                    sending,
                    ..
                } = answered;
                link.buf.advance(length);
                if let Some(upgrade) = upgrade.filter(|_| exchange.is_tunnel()) {
                    let buf = Buf::new(client.worker.buffers.clone());
                    tunnel::begin(exchange, link, alarm, async move {
                        let client = upgrade.await.ok()?;
                        Some((TokioIo::new(client), buf))
                    });
                    return Ok(head.map(|()| Body::Whole(Bytes::new())));
                }
                let download = Download::begin(
                    exchange,
                    link,
                    link_stays,
                    body,
                    (upload, sending),
                    alarm,
                    pressure,
                );
                return Ok(head.map(|()| download));
            }
            Err(fault) => fault.into(),
        },
        Err(instead) => instead,
    };
    let page = phase::error(&mut exchange, instead);
    let page = whole(page, exchange.asked.is_head(), &client, now);
    // A page of ours is no request that was cut short.
    exchange.log(None, page.status().as_u16());
    Ok(page)
}

fn framing(body: &Incoming) -> Framing {
    match body.size_hint().exact() {
        _ if body.is_end_stream() => Framing::Empty,
        Some(length @ 1..) => Framing::Length(length),
        _ => Framing::Chunked,
    }
}

/// The answer's head; how its body comes; and whether the dyno's connection may be used again.
fn head(
    exchange: &mut Exchange,
    answered: &Answered,
    may_switch: bool,
    now: SystemTime,
) -> Result<(Response<()>, Passing, bool), Fault> {
    let bytes = &answered.link.buf.data()[..answered.head];
    let worker = exchange.worker.clone();
    response::parse(bytes, exchange.asked.is_head(), |answer| {
        let is_switch = answer.status == 101;
        if is_switch && !may_switch {
            // Nobody asked for it.
            return Err(Fault::PoorResponse);
        }
        if may_switch && !is_switch && (200..300).contains(&answer.status) {
            // Here that would say that the tunnel is open (RFC 8441, 5).
            return Err(Fault::PoorResponse);
        }
        let mut head = Response::new(());
        let status = if is_switch { 200 } else { answer.status };
        *head.status_mut() = StatusCode::from_u16(status).map_err(|_| Fault::PoorResponse)?;
        *head.version_mut() = Version::HTTP_2;
        let plan = phase::response(exchange, &answer);
        *head.headers_mut() = worker.with_date(now, |date| {
            answer.to_map(&Hop {
                version: Version::HTTP_2,
                framing: answer.framing,
                is_rewritten: false,
                connection: None,
                date: date.as_bytes(),
                added: plan.added(exchange),
            })
        })?;
        if is_switch {
            // It answers a key that the client has never seen.
            head.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
        }
        exchange.set_status(answer.status);
        let body = Passing::new(answer.framing, plan.coder);
        Ok((head, body, answer.stays))
    })?
}

/// A page of ours.
fn whole(
    mut page: Response<Bytes>,
    is_head: bool,
    client: &Client,
    now: SystemTime,
) -> Response<Body> {
    let headers = page.headers_mut();
    headers.insert(VIA, HeaderValue::from_static(via(Version::HTTP_2)));
    let date = client.worker.with_date(now, HeaderValue::from_str);
    if let Ok(date) = date {
        headers.insert(DATE, date);
    }
    page.map(|bytes| Body::Whole(if is_head { Bytes::new() } else { bytes }))
}
