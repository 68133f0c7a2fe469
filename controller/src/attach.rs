//! Where the two ends of an attached one-off dyno meet: the client's and the agent's, in memory. Each is a WebSocket, or
//! a client's [`Rendezvous`] that is used like one.
//!
//! Whoever comes first waits for the other, for a minute. Then frames pass unread, in order, each side as fast as the
//! other takes them. Pings keep proxies in between from cutting a silent terminal, and find out who has gone.
//! A secret carries its own proof that this platform made it, so nobody can park connections under made-up ones.

mod rendezvous;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use controller_api::attach::{Control, MEET_WITHIN};
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use model::Secret;
use sha2::{Digest as _, Sha256};
use store::Keyring;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, PollSender};

use crate::auth::{random_hex, same_secret};

pub(crate) use rendezvous::{PROTOCOL, Rendezvous};

const PING_EVERY: Duration = Duration::from_secs(15);
/// A side that has not answered a ping for so long has gone.
const SILENCE: Duration = Duration::from_secs(60);
/// An end that has been told goodbye and says nothing for so long has gone.
const PART_SILENCE: Duration = Duration::from_secs(5);
/// Nor is one that goes on for ever heard out.
const PART_WITHIN: Duration = Duration::from_secs(30);
/// Ends that wait at the same time.
const MAX_WAITING: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Agent,
}

/// The ends that wait, by secret.
#[derive(Debug, Default)]
pub(crate) struct Meetings {
    /// Guards a few lines; never held across an await.
    waiting: Mutex<HashMap<String, Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    side: Side,
    hand_over: oneshot::Sender<End>,
}

/// One end.
#[derive(Debug)]
pub(crate) enum End {
    WebSocket(Box<WebSocket>),
    Rendezvous(Rendezvous),
}

type Messages = Pin<Box<dyn Stream<Item = Message> + Send>>;
type Taking = Pin<Box<dyn Sink<Message, Error = Gone> + Send>>;

/// That end takes no more.
#[derive(Debug)]
struct Gone;

/// What goes to one end.
struct Out {
    taking: Taking,
    is_gone: bool,
}

impl Out {
    fn new(taking: Taking) -> Self {
        Self {
            taking,
            is_gone: false,
        }
    }

    /// An end that has gone is told no more.
    async fn tell(&mut self, message: Message) {
        self.is_gone = self.is_gone || self.taking.send(message).await.is_err();
    }
}

impl End {
    fn split(self) -> (Out, In) {
        match self {
            Self::WebSocket(socket) => {
                let (to, from) = socket.split();
                let from = from.scan((), |(), message| futures::future::ready(message.ok()));
                let from = In {
                    messages: Box::pin(from),
                    silence: Some(SILENCE),
                };
                (Out::new(Box::pin(to.sink_map_err(|_| Gone))), from)
            }
            Self::Rendezvous(Rendezvous {
                to_client,
                mut from_client,
            }) => {
                let from = In {
                    messages: Box::pin(futures::stream::poll_fn(move |cx| {
                        from_client.poll_recv(cx)
                    })),
                    silence: None,
                };
                let to = PollSender::new(to_client).sink_map_err(|_| Gone);
                (Out::new(Box::pin(to)), from)
            }
        }
    }
}

/// What comes from one end.
struct In {
    messages: Messages,
    /// After which it has gone. `None`: it cannot be asked whether it is there, and is as long as its connection.
    silence: Option<Duration>,
}

/// 32 hex digits: half of them random, half the proof that they were made here for such a dyno.
pub(crate) fn new_secret(keyring: &Keyring, kind: Kind) -> Secret<String> {
    let nonce = random_hex::<8>();
    let proof = proof(keyring, kind, &nonce);
    Secret::new(nonce + &proof)
}

/// What the dyno of a secret has for its input and output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Terminal,
    Pipes,
}

/// `None`: it was not made here.
pub(crate) fn kind_of(keyring: &Keyring, secret: &str) -> Option<Kind> {
    let (nonce, given) = secret.split_at_checked(16).filter(|_| secret.len() == 32)?;
    [Kind::Terminal, Kind::Pipes]
        .into_iter()
        .find(|kind| same_secret(given, &proof(keyring, *kind, nonce)))
}

fn proof(keyring: &Keyring, kind: Kind, nonce: &str) -> String {
    let kind: &[u8] = match kind {
        Kind::Terminal => b"terminal ",
        Kind::Pipes => b"pipes ",
    };
    let hash = Sha256::new()
        .chain_update(b"paas attach v2 ")
        .chain_update(kind)
        .chain_update(keyring.internal_token().expose())
        .chain_update(b" ")
        .chain_update(nonce)
        .finalize();
    hex::encode(&hash[..8])
}

enum Arrival {
    /// The other end was here and has both now.
    Joined,
    First(oneshot::Receiver<End>, End),
    Refused(End, &'static str),
}

impl Meetings {
    /// Stays until the session is over.
    pub(crate) async fn meet(
        &self,
        secret: String,
        side: Side,
        end: End,
        shutdown: &CancellationToken,
    ) {
        match self.arrive(&secret, side, end) {
            Arrival::Joined => {}
            Arrival::Refused(end, why) => dismiss(end, why).await,
            Arrival::First(mut other, end) => {
                let came = tokio::select! {
                    () = shutdown.cancelled() => None,
                    came = timeout(MEET_WITHIN, &mut other) => came.ok().and_then(Result::ok),
                };
                let came = came.or_else(|| {
                    self.lock().remove(&secret);
                    // It may have come at the last moment.
                    other.try_recv().ok()
                });
                match came {
                    Some(other) => relay(end, other, shutdown).await,
                    None => dismiss(end, absent(side)).await,
                }
            }
        }
    }

    fn arrive(&self, secret: &str, side: Side, end: End) -> Arrival {
        let mut waiting = self.lock();
        let many = waiting.len() >= MAX_WAITING;
        match waiting.entry(secret.to_owned()) {
            Entry::Occupied(there) if there.get().side == side => {
                Arrival::Refused(end, "somebody is attached to this dyno already")
            }
            Entry::Occupied(there) => match there.remove().hand_over.send(end) {
                Ok(()) => Arrival::Joined,
                Err(end) => Arrival::Refused(end, "the other end has gone"),
            },
            Entry::Vacant(_) if many => {
                Arrival::Refused(end, "too many dynos are being attached to; try again")
            }
            Entry::Vacant(place) => {
                let (hand_over, other) = oneshot::channel();
                place.insert(Waiting { side, hand_over });
                Arrival::First(other, end)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        // Valid after every statement: a panic elsewhere spoils nothing.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn absent(side: Side) -> &'static str {
    match side {
        Side::Client => "the dyno did not start in time; see the app's logs",
        Side::Agent => "nobody attached to the dyno in time",
    }
}

/// Says why, and closes.
async fn dismiss(end: End, why: &str) {
    let (mut to, mut from) = end.split();
    let why = Control::Error(why.to_owned()).to_text();
    let told = timeout(PART_SILENCE, to.tell(Message::Text(why.into())));
    // One that does not listen is not waited for.
    if told.await.is_ok() {
        part(&mut to, &mut from, close_code::AWAY).await;
    }
}

/// Passes frames both ways until either end closes, falls silent, or the platform shuts down.
async fn relay(a: End, b: End, shutdown: &CancellationToken) {
    let ((mut to_a, mut from_a), (mut to_b, mut from_b)) = (a.split(), b.split());
    let code = tokio::select! {
        () = pass(&mut from_a, &mut to_b) => close_code::NORMAL,
        () = pass(&mut from_b, &mut to_a) => close_code::NORMAL,
        () = shutdown.cancelled() => close_code::RESTART,
    };
    tokio::join!(
        part(&mut to_a, &mut from_a, code),
        part(&mut to_b, &mut from_b, code)
    );
}

/// Returns when the source has closed or gone. One whose other end takes no more is read on: that end's last words pass the
/// other way, and its own end is what ends both.
async fn pass(from: &mut In, to: &mut Out) {
    let mut ping = tokio::time::interval(PING_EVERY);
    let mut heard = Instant::now();
    loop {
        let message = tokio::select! {
            message = from.messages.next() => message,
            // Towards the other end: the task that reads from it hears the answer.
            _ = ping.tick() => {
                if from.silence.is_some_and(|silence| heard.elapsed() > silence) {
                    return;
                }
                to.tell(Message::Ping(Bytes::new())).await;
                continue;
            }
        };
        heard = Instant::now();
        match message {
            Some(message @ (Message::Binary(_) | Message::Text(_))) => to.tell(message).await,
            Some(Message::Ping(_) | Message::Pong(_)) => {}
            Some(Message::Close(_)) | None => return,
        }
    }
}

/// Closes, and hears the other side out: a connection that is dropped with words on their way to it is reset, and what that
/// side had yet to receive, such as how a command ended, is lost.
async fn part(to: &mut Out, from: &mut In, code: u16) {
    let goodbye = async {
        // One that has said goodbye itself takes no other.
        if timeout(PART_SILENCE, to.tell(close(code))).await.is_err() {
            return;
        }
        while let Ok(Some(_)) = timeout(PART_SILENCE, from.messages.next()).await {}
    };
    let _ = timeout(PART_WITHIN, goodbye).await;
}

fn close(code: u16) -> Message {
    Message::Close(Some(CloseFrame {
        code,
        reason: "".into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_secrets_made_here_are_genuine() {
        let (ours, others) = (Keyring::new(&[1; 32]), Keyring::new(&[2; 32]));
        for kind in [Kind::Terminal, Kind::Pipes] {
            let secret = new_secret(&ours, kind);
            assert_eq!(kind_of(&ours, secret.expose()), Some(kind));
            assert_eq!(kind_of(&others, secret.expose()), None);
            assert_ne!(secret, new_secret(&ours, kind));
        }
        for forged in [
            "",
            "0123456789abcdef0123456789abcdef",
            "0123456789abcdéf0123456789abcde",
            "x",
        ] {
            assert_eq!(kind_of(&ours, forged), None, "{forged}");
        }
    }
}
