//! A client's connection over HTTP/1.1: one request after the other, each passed on and answered by this one task.

mod rendezvous;
mod wire;

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Response, Version};
use tokio::io::AsyncWrite as _;

use crate::alarm::Alarm;
use crate::buffer::Buf;
use crate::client::Client;
use crate::error_page;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::forward::{Answered, Instead, forward};
use crate::http1::framing::Framing;
use crate::http1::request::{self, HTTP2_PREFACE, Line, MAX_HEAD, Terms};
use crate::http1::response::{self, Hop};
use crate::http1::scan::Scan;
use crate::http1::{push_decimal, push_field};
use crate::passing::Passing;
use crate::phase::{self, Opened};
use crate::pool::Link;
use crate::relay::{Ended, Relay};
use crate::stream::Stream;
use crate::tunnel;
use wire::Wire;

/// How long a connection that has been silent since it was made may take to ask for something, once we leave. (One that is
/// younger than a second may be known to the kernel alone, which resets it with the listener.)
const LAST_CHANCE: Duration = Duration::from_secs(1);
/// A client that was answered before it had sent everything has this long, and so many bytes, to notice.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// Until the connection ends. Gives it back if the client turns out to speak HTTP/2, with what it has said.
pub(crate) async fn serve(client: Rc<Client>, stream: Stream) -> Option<(Stream, Buf)> {
    let worker = &client.worker;
    let mut connection = Connection {
        alarm: Alarm::new(&worker.alarms),
        wire: Wire::new(stream, worker.buffers.clone()),
        is_last_chance: false,
        client,
    };
    let last = loop {
        let after = match connection.next().await {
            Next::Head(length) => Box::pin(connection.answer(length)).await,
            Next::Rendezvous => Box::pin(connection.rendezvous()).await,
            Next::Unreadable => {
                connection.refuse(Fault::BadHeader).await;
                After::End(Last::Linger)
            }
            Next::Http2 => return Some((connection.wire.stream, connection.wire.buf)),
            Next::Gone => After::End(Last::Close),
        };
        match after {
            After::Next => {}
            After::End(last) => break last,
            After::Tunnel(tunnel) => {
                connection.switch(*tunnel);
                return None;
            }
        }
    };
    connection.end(last).await;
    None
}

#[derive(Debug)]
struct Connection {
    client: Rc<Client>,
    wire: Wire,
    alarm: Rc<Alarm>,
    is_last_chance: bool,
}

/// What a client that was between requests does.
enum Next {
    /// It asks: so many bytes are the head.
    Head(usize),
    Unreadable,
    Http2,
    /// It wants to be attached to a dyno.
    Rendezvous,
    /// It leaves, or takes too long, or is to leave.
    Gone,
}

/// What becomes of the connection after an answer.
enum After {
    Next,
    End(Last),
    Tunnel(Box<Tunnel>),
}

/// How a connection ends.
enum Last {
    Close,
    /// The client may still be sending what nobody reads: if we just closed, the kernel would take the answer back.
    Linger,
}

/// Both ends have agreed to speak something else.
struct Tunnel {
    exchange: Exchange,
    link: Link,
}

/// What the connection has to know of a request.
struct Manner {
    version: Version,
    stays: bool,
    may_switch: bool,
}

impl Connection {
    async fn next(&mut self) -> Next {
        let mut scan = Scan::default();
        // Who has sent many requests at once has to take turns with others, as all do who are waited for.
        if self.client.has_asked.get() && self.wire.stream.settle().is_err() {
            return Next::Gone;
        }
        self.alarm.set(self.client.patience());
        poll_fn(|cx| self.poll_next(cx, &mut scan)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, scan: &mut Scan) -> Poll<Next> {
        loop {
            // Some clients end a body with a line too many.
            while self.wire.buf.data().starts_with(b"\r\n") {
                self.wire.buf.advance(2);
            }
            match self.look(scan) {
                Some(next) => return Poll::Ready(next),
                None => match self.wire.poll_fill(cx, MAX_HEAD) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(Next::Gone),
                    Poll::Pending => break,
                },
            }
        }
        if self.alarm.has_rung() || self.is_to_leave() {
            return Poll::Ready(Next::Gone);
        }
        self.alarm.watch(cx.waker());
        Poll::Pending
    }

    fn look(&self, scan: &mut Scan) -> Option<Next> {
        let bytes = self.wire.buf.data();
        if matches!(bytes, b"" | b"\r") {
            return None;
        }
        let is_first = !self.client.has_asked.get();
        if is_first && self.wire.is_plain() && self.client.worker.shared.config.http2_cleartext {
            let some = bytes.len().min(HTTP2_PREFACE.len());
            if bytes[..some] == HTTP2_PREFACE[..some] {
                return (some == HTTP2_PREFACE.len()).then_some(Next::Http2);
            }
        }
        if is_first && !self.wire.is_plain() {
            match rendezvous::is_begun_by(bytes) {
                Some(true) => return Some(Next::Rendezvous),
                Some(false) => {}
                None => return None,
            }
        }
        match scan.end(bytes, &request::LIMITS) {
            Ok(end) => end.map(Next::Head),
            Err(_) => Some(Next::Unreadable),
        }
    }

    /// Whether the router leaves, and nothing is under way here. Who has just connected gets a moment.
    fn is_to_leave(&mut self) -> bool {
        if !self.client.worker.closes_idle() || !self.wire.buf.is_empty() {
            return false;
        }
        if self.client.has_asked.get() {
            return true;
        }
        if !self.is_last_chance {
            self.is_last_chance = true;
            self.alarm.set(LAST_CHANCE);
        }
        false
    }

    async fn answer(&mut self, head: usize) -> After {
        self.client.has_asked.set(true);
        let (began, now) = (Instant::now(), SystemTime::now());
        let origin = self.client.origin(now);
        let (bytes, buffers) = (&self.wire.buf.data()[..head], &self.client.worker.buffers);
        let read = request::parse(bytes, |line, fields| {
            let terms = Terms::of(&line, fields);
            let opened = phase::request(buffers, &line, fields, &terms, terms.framing, &origin)?;
            Ok((
                opened,
                terms.framing,
                terms.expects_go_ahead,
                manner(&line, &terms, &self.client),
            ))
        });
        let (Opened { asked, fault }, framing, expects_go_ahead, manner) =
            match read.and_then(|read| read) {
                Ok(read) => read,
                Err(fault) => {
                    self.refuse(fault).await;
                    return After::End(Last::Linger);
                }
            };
        self.wire.buf.advance(head);
        self.wire.begin(framing, expects_go_ahead);
        let mut exchange = Exchange::new(self.client.clone(), asked, began);
        let forwarded = match fault.or_else(|| self.client.fault()) {
            Some(fault) => Err(Instead::Fault(fault)),
            None => forward(&mut exchange, &mut self.wire, &self.alarm).await,
        };
        match forwarded {
            Ok(answered) => self.pass_on(exchange, answered, &manner, now).await,
            Err(instead) => self.explain(exchange, instead, manner.stays).await,
        }
    }

    /// The dyno has answered.
    async fn pass_on(
        &mut self,
        mut exchange: Exchange,
        answered: Answered,
        manner: &Manner,
        now: SystemTime,
    ) -> After {
        let Answered {
            mut link,
            head,
            has_bare_line_feed,
            sending,
        } = answered;
        let is_head = exchange.asked.is_head();
        let outbox = self.wire.begin_answer();
        let read = response::parse(&link.buf.data()[..head], is_head, |answer| {
            let is_switch = answer.status == 101;
            if is_switch && !manner.may_switch {
                return Err(Fault::PoorResponse);
            }
            let plan = phase::response(&exchange, &answer);
            let (framing, keeps) = match plan.is_coded() {
                true => hop_framing(Framing::Chunked, manner.version),
                false => hop_framing(answer.framing, manner.version),
            };
            let stays = manner.stays && keeps && !exchange.worker.is_leaving();
            let connection = match (is_switch, stays, manner.version) {
                (true, ..) => Some("Upgrade"),
                (_, false, _) => Some("close"),
                (_, true, Version::HTTP_10) => Some("keep-alive"),
                _ => None,
            };
            exchange.worker.with_date(now, |date| {
                let hop = Hop {
                    version: manner.version,
                    framing,
                    is_rewritten: has_bare_line_feed,
                    connection,
                    date: date.as_bytes(),
                    added: plan.added(&exchange),
                };
                answer.write(&hop, outbox.front());
            });
            exchange.set_status(answer.status);
            let body = Passing::new(answer.framing, plan.coder);
            Ok((is_switch, body, framing, stays, answer.stays))
        });
        let (is_switch, body, to, stays, link_stays) = match read.and_then(|read| read) {
            Ok(read) => read,
            Err(fault) => {
                self.wire.forget_answer();
                return self.explain(exchange, fault.into(), manner.stays).await;
            }
        };
        link.buf.advance(head);
        if is_switch {
            return After::Tunnel(Box::new(Tunnel { exchange, link }));
        }
        self.wire.begin_body(to, body.is_over());
        let mut relay = Relay::new(&mut exchange, link, sending, body, !link_stays);
        let ended = poll_fn(|cx| relay.poll(cx, &mut self.wire, &self.alarm)).await;
        let link = relay.into_link().filter(|_| link_stays);
        match ended {
            Ended::Whole => {
                exchange.end(link);
                if stays {
                    After::Next
                } else {
                    After::End(self.last())
                }
            }
            Ended::Answered => {
                exchange.end(None);
                After::End(Last::Linger)
            }
            Ended::Cut(fault) => {
                if fault == Fault::ClientIdle {
                    self.wire.stream.reset_at_end();
                }
                exchange.cut(fault);
                After::End(Last::Close)
            }
        }
    }

    /// How a connection ends whose client has been answered and is asked nothing more.
    fn last(&self) -> Last {
        match self.wire.stream.has_more() {
            true => Last::Linger,
            false => Last::Close,
        }
    }

    async fn explain(&mut self, mut exchange: Exchange, instead: Instead, stays: bool) -> After {
        let page = phase::error(&mut exchange, instead);
        let is_all_read = self.wire.has_all();
        let stays = stays && is_all_read && !exchange.worker.is_leaving();
        let is_sent = self
            .write_page(
                page,
                exchange.asked.version,
                exchange.asked.is_head(),
                stays,
            )
            .await;
        // A page of ours is no request that was cut short.
        exchange.log(None, 200);
        match (is_sent, stays, is_all_read) {
            (false, ..) => After::End(Last::Close),
            (true, true, _) => After::Next,
            (true, false, true) => After::End(self.last()),
            (true, false, false) => After::End(Last::Linger),
        }
    }

    /// What cannot be read, or is for nobody.
    async fn refuse(&mut self, fault: Fault) {
        self.client.has_asked.set(true);
        let origin = self.client.origin(SystemTime::now());
        let guessed = phase::unreadable(&self.client, self.wire.buf.data(), &origin);
        let page = match guessed {
            Some(mut exchange) => phase::error(&mut exchange, fault.into()),
            None => error_page::page(fault, error_page::Taste::Html, None),
        };
        self.write_page(page, Version::HTTP_11, false, false).await;
    }

    /// Whether all of it went.
    async fn write_page(
        &mut self,
        page: Response<Bytes>,
        version: Version,
        is_head: bool,
        stays: bool,
    ) -> bool {
        let worker = self.client.worker.clone();
        let outbox = self.wire.begin_answer();
        let head = outbox.front();
        let status = page.status();
        head.extend_from_slice(b"HTTP/1.1 ");
        push_decimal(head, status.as_u16().into());
        head.push(b' ');
        head.extend_from_slice(status.canonical_reason().unwrap_or("Refused").as_bytes());
        head.extend_from_slice(b"\r\n");
        for (name, value) in page.headers() {
            push_field(head, name.as_str().as_bytes(), value.as_bytes());
        }
        worker.with_date(SystemTime::now(), |date| {
            push_field(head, b"Date", date.as_bytes());
        });
        push_field(head, b"Via", request::via(version).as_bytes());
        match (stays, version) {
            (false, _) => push_field(head, b"Connection", b"close"),
            (true, Version::HTTP_10) => push_field(head, b"Connection", b"keep-alive"),
            _ => {}
        }
        head.extend_from_slice(b"\r\n");
        if !is_head {
            head.extend_from_slice(page.body());
        }
        self.flush().await
    }

    /// Writes what is in the outbox. Whether all of it went, before the client had been idle for too long.
    async fn flush(&mut self) -> bool {
        self.alarm
            .set(self.client.worker.shared.config.timeouts.idle);
        poll_fn(|cx| {
            if self.alarm.has_rung() {
                return Poll::Ready(false);
            }
            self.alarm.watch(cx.waker());
            Poll::Ready(ready!(self.wire.poll_flush(cx)).is_ok())
        })
        .await
    }

    fn switch(mut self, Tunnel { exchange, link }: Tunnel) {
        let alarm = self.alarm.clone();
        tunnel::begin(exchange, link, alarm, async move {
            let is_told = self.flush().await;
            is_told.then_some((self.wire.stream, self.wire.buf))
        });
    }

    async fn end(&mut self, last: Last) {
        let wait = match last {
            Last::Close if self.wire.is_plain() => return,
            Last::Close => 0,
            Last::Linger => LINGER_BYTES,
        };
        self.alarm.set(LINGER);
        let mut left = wait;
        poll_fn(|cx| {
            if self.alarm.has_rung() {
                return Poll::Ready(());
            }
            self.alarm.watch(cx.waker());
            let shut = Pin::new(&mut self.wire.stream).poll_shutdown(cx);
            if !matches!(ready!(shut), Ok(())) {
                return Poll::Ready(());
            }
            while left > 0 {
                self.wire.buf.advance(self.wire.buf.len());
                match ready!(self.wire.poll_fill(cx, MAX_HEAD)) {
                    Ok(count @ 1..) => left = left.saturating_sub(count),
                    _ => break,
                }
            }
            Poll::Ready(())
        })
        .await;
    }
}

fn manner(line: &Line<'_>, terms: &Terms<'_>, client: &Client) -> Manner {
    Manner {
        version: line.version,
        stays: terms.stays && !client.is_turned_away(),
        may_switch: terms.upgrade.is_some(),
    }
}

/// How a body goes on to a client, and whether its connection may stay after that.
const fn hop_framing(from: Framing, version: Version) -> (Framing, bool) {
    match (from, version) {
        (Framing::Chunked | Framing::UntilClose, Version::HTTP_10) => (Framing::UntilClose, false),
        (Framing::Chunked | Framing::UntilClose, _) => (Framing::Chunked, true),
        (known, _) => (known, true),
    }
}
