//! One request over a stream, and its answer: what the stream's own task does.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Response, Version};

use super::tunnel::Tunnel;
use super::wire::Wire;
use crate::alarm::Alarm;
use crate::buffer::Buf;
use crate::client::Client;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::forward::{Answered, Instead, forward};
use crate::http1::framing::Framing;
use crate::http1::request::via;
use crate::http1::response::{self, Hop};
use crate::passing::Passing;
use crate::phase::{self, Opened};
use crate::relay::{Ended, Relay};
use crate::tunnel;
use crate::upload::Upload as _;

/// A client that was answered before it had sent everything has this long to notice.
const LISTEN_ON: Duration = Duration::from_secs(2);

/// A request that came.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) client: Rc<Client>,
    pub(super) opened: Opened,
    pub(super) began: Instant,
    /// The same, as a clock has it.
    pub(super) now: SystemTime,
    /// Whether it would have the stream be a tunnel.
    pub(super) may_switch: bool,
}

/// One function, for what is given to another would be moved there.
pub(super) async fn answer(mut wire: Wire, request: Request) {
    let Request {
        client,
        opened: Opened { asked, fault },
        began,
        now,
        may_switch,
    } = request;
    let alarm = Alarm::new(&client.worker.alarms);
    let mut exchange = Exchange::new(client.clone(), asked, began);
    let forwarded = match fault.or_else(|| client.fault()) {
        Some(fault) => Err(Instead::Fault(fault)),
        None => forward(&mut exchange, &mut wire, &alarm).await,
    };
    alarm.set(exchange.idle);
    if !has_room(&wire, &alarm).await {
        return exchange.cut(Fault::ClientIdle);
    }
    let instead = 'passed_on: {
        let mut answered = match forwarded {
            Ok(answered) => answered,
            Err(instead) => break 'passed_on instead,
        };
        let Begun { body, link_stays } =
            match head(&mut exchange, &wire, &answered, may_switch, now) {
                Ok(begun) => begun,
                Err(fault) => break 'passed_on fault.into(),
            };
        answered.link.buf.advance(answered.head);
        if exchange.is_tunnel() {
            let buf = Buf::new(client.worker.buffers.clone());
            let client = std::future::ready(Some((Tunnel::new(wire), buf)));
            return tunnel::begin(exchange, answered.link, alarm, client);
        }
        alarm.set(exchange.idle);
        let Answered { link, sending, .. } = answered;
        let mut relay = Relay::new(&mut exchange, link, sending, body, !link_stays);
        let ended = poll_fn(|cx| relay.poll(cx, &mut wire, &alarm)).await;
        let link = relay.into_link().filter(|_| link_stays);
        match ended {
            Ended::Whole => exchange.end(link),
            Ended::Answered => {
                exchange.end(None);
                listen_on(&mut wire, &alarm).await;
            }
            Ended::Cut(fault) => exchange.cut(fault),
        }
        return;
    };
    let page = phase::error(&mut exchange, instead);
    // A page of ours is no request that was cut short.
    exchange.log(None, page.status().as_u16());
    tell(&client, &wire, page, exchange.asked.is_head(), &alarm).await;
    drop(exchange);
    listen_on(&mut wire, &alarm).await;
}

/// Lets a client that was answered before it had sent everything go on for a moment. It is told to stop only then: some,
/// curl 7.88 among them, forget the answer if they hear of both at once.
async fn listen_on(wire: &mut Wire, alarm: &Alarm) {
    alarm.set(LISTEN_ON);
    poll_fn(|cx| {
        while !alarm.has_rung() {
            // No error comes of frames.
            let come = wire.poll_piece(cx);
            let length = wire.piece().len();
            match come {
                Poll::Ready(_) if length > 0 => wire.consume(length),
                Poll::Ready(_) => break,
                Poll::Pending => {
                    alarm.watch(cx.waker());
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(())
    })
    .await;
}

/// Waits until the client has taken enough of what it was sent before. Whether it has, in time.
async fn has_room(wire: &Wire, alarm: &Alarm) -> bool {
    poll_fn(|cx| match wire.poll_room() {
        Poll::Pending if alarm.has_rung() => Poll::Ready(false),
        Poll::Pending => {
            alarm.watch(cx.waker());
            Poll::Pending
        }
        Poll::Ready(()) => Poll::Ready(true),
    })
    .await
}

/// An answer whose head has been passed on.
struct Begun {
    body: Passing,
    link_stays: bool,
}

fn head(
    exchange: &mut Exchange,
    wire: &Wire,
    answered: &Answered,
    may_switch: bool,
    now: SystemTime,
) -> Result<Begun, Fault> {
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
        let plan = phase::response(exchange, &answer);
        let status = if is_switch { 200 } else { answer.status };
        let is_last = !is_switch && answer.framing == Framing::Empty;
        worker.with_date(now, |date| {
            let hop = Hop {
                version: Version::HTTP_2,
                framing: answer.framing,
                is_rewritten: false,
                connection: None,
                date: date.as_bytes(),
                added: plan.added(exchange),
            };
            wire.head(is_last, |encoder, block| {
                encoder.status(status, block);
                answer.each_field(&hop, |name, value| {
                    // It answers a key that the client has never seen.
                    if !(is_switch && name.eq_ignore_ascii_case(b"sec-websocket-accept")) {
                        encoder.field(name, value, block);
                    }
                });
            });
        });
        exchange.set_status(answer.status);
        Ok(Begun {
            body: Passing::new(answer.framing, plan.coder),
            link_stays: answer.stays,
        })
    })?
}

/// A page of ours.
async fn tell(client: &Client, wire: &Wire, page: Response<Bytes>, is_head: bool, alarm: &Alarm) {
    let mut body = page.body().clone();
    if is_head {
        body.clear();
    }
    client.worker.with_date(SystemTime::now(), |date| {
        wire.head(body.is_empty(), |encoder, block| {
            encoder.status(page.status().as_u16(), block);
            for (name, value) in page.headers() {
                encoder.field(name.as_str().as_bytes(), value.as_bytes(), block);
            }
            encoder.field(b"via", via(Version::HTTP_2).as_bytes(), block);
            encoder.field(b"date", date.as_bytes(), block);
        });
    });
    alarm.set(client.worker.shared.config.timeouts.idle);
    poll_fn(|cx| {
        while !body.is_empty() && !alarm.has_rung() {
            match wire.poll_data(&body, true) {
                Poll::Ready(gone) => drop(body.split_to(gone)),
                Poll::Pending => {
                    alarm.watch(cx.waker());
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(())
    })
    .await;
}

/// To a request that nobody can be asked to read.
pub(super) async fn refuse(
    client: Rc<Client>,
    mut wire: Wire,
    page: Response<Bytes>,
    is_head: bool,
) {
    let alarm = Alarm::new(&client.worker.alarms);
    alarm.set(client.worker.shared.config.timeouts.idle);
    if has_room(&wire, &alarm).await {
        tell(&client, &wire, page, is_head, &alarm).await;
        listen_on(&mut wire, &alarm).await;
    }
}
