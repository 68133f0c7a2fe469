//! A client that attaches to a one-off dyno by the rendezvous protocol of Heroku's own command line: instead of a request
//! it says a secret, over TLS. That is passed on as the request it stands for, and what follows are bytes both ways.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Instant, SystemTime};

use super::{After, Connection, Last, Tunnel};
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::forward::{Answered, Instead, forward};
use crate::http1::framing::Framing;
use crate::http1::request::{self, Terms};
use crate::http1::response;
use crate::phase;
use crate::pool::Link;
use crate::upload::Upload as _;

/// Hex digits. Not all clients send anything after them.
const SECRET: usize = 32;
/// What the controller begins with, once the dyno is there.
const GREETING: usize = b"rendezvous\r\n".len();

/// Whether a connection that begins with `bytes` is such a client's; `None` if they are too few to tell. No method of HTTP
/// is written like that.
pub(super) fn is_begun_by(bytes: &[u8]) -> Option<bool> {
    let start = &bytes[..bytes.len().min(SECRET)];
    if !start
        .iter()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    {
        return Some(false);
    }
    (start.len() == SECRET).then_some(true)
}

impl Connection {
    /// The buffer begins with a secret.
    pub(super) async fn rendezvous(&mut self) -> After {
        self.client.has_asked.set(true);
        let (began, origin) = (Instant::now(), self.client.origin(SystemTime::now()));
        let worker = self.client.worker.clone();
        let secret = String::from_utf8_lossy(&self.wire.buf.data()[..SECRET]);
        let head = format!(
            "GET /attach/{secret} HTTP/1.1\r\nHost: api.{}\r\nConnection: Upgrade\r\nUpgrade: rendezvous\r\n\r\n",
            worker.shared.config.domain
        );
        let read = request::parse(head.as_bytes(), |line, fields| {
            let terms = Terms::of(&line, fields);
            phase::request(
                &worker.buffers,
                &line,
                fields,
                &terms,
                Framing::Empty,
                &origin,
            )
        });
        let Ok(opened) = read.and_then(|read| read) else {
            return After::End(Last::Close);
        };
        self.wire.buf.advance(SECRET);
        self.wire.begin(Framing::Empty, false);
        let mut exchange = Exchange::new(self.client.clone(), opened.asked, began);
        match self.attach(&mut exchange).await {
            Ok(link) => After::Tunnel(Box::new(Tunnel { exchange, link })),
            Err(instead) => {
                // There is no page that this client could show.
                let _ = phase::error(&mut exchange, instead);
                After::End(Last::Close)
            }
        }
    }

    async fn attach(&mut self, exchange: &mut Exchange) -> Result<Link, Instead> {
        if let Some(fault) = self.client.fault() {
            return Err(fault.into());
        }
        let answered = forward(exchange, &mut self.wire, &self.alarm).await?;
        let Answered { mut link, head, .. } = answered;
        let status = response::parse(&link.buf.data()[..head], false, |answer| answer.status)?;
        exchange.set_status(status);
        if status != 101 {
            return Err(Fault::PoorResponse.into());
        }
        link.buf.advance(head);
        self.alarm.set(exchange.idle);
        // The client throws away the first that it hears, and this must be all of it.
        poll_fn(|cx| {
            while link.buf.len() < GREETING {
                match link.poll_fill(cx, GREETING) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(Err(Fault::BackendInterrupted)),
                    Poll::Pending if self.alarm.has_rung() => {
                        return Poll::Ready(Err(Fault::BackendIdle));
                    }
                    Poll::Pending => {
                        self.alarm.watch(cx.waker());
                        return match self.wire.poll_gone(cx, &self.alarm) {
                            Poll::Ready(()) => Poll::Ready(Err(Fault::ClientInterrupted)),
                            Poll::Pending => Poll::Pending,
                        };
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        let greeting = &link.buf.data()[..GREETING];
        self.wire.begin_answer().front().extend_from_slice(greeting);
        link.buf.advance(GREETING);
        match self.flush().await {
            true => Ok(link),
            false => Err(Fault::ClientInterrupted.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_told_from_a_request_as_soon_as_can_be() {
        for (bytes, is_one) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Some(false)),
            (b"DELETE ", Some(false)),
            (b"dead", None),
            (b"dead / HTTP/1.1", Some(false)),
            (b"0123456789abcdef0123456789abcde", None),
            (b"0123456789abcdef0123456789abcdef", Some(true)),
            (b"0123456789abcdef0123456789abcdef\r\n", Some(true)),
            (b"0123456789abcdef0123456789ABCDEF", Some(false)),
        ] {
            assert_eq!(is_begun_by(bytes), is_one, "{bytes:?}");
        }
    }
}
