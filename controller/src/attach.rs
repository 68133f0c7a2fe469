//! Where the two ends of an attached one-off dyno meet: the client's WebSocket and the agent's, in memory.
//!
//! Whoever comes first waits for the other, for a minute. Then frames pass unread, in order, each side as fast as the
//! other takes them. Pings keep proxies in between from cutting a silent terminal, and find out who has gone.
//! A secret carries its own proof that this platform made it, so nobody can park connections under made-up ones.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use controller_api::attach::{Control, MEET_WITHIN};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use model::Secret;
use sha2::{Digest as _, Sha256};
use store::Keyring;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::auth::{random_hex, same_secret};

const PING_EVERY: Duration = Duration::from_secs(15);
/// A side that has not answered a ping for so long has gone.
const SILENCE: Duration = Duration::from_secs(60);
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
    hand_over: oneshot::Sender<WebSocket>,
}

/// 32 hex digits: half of them random, half the proof that they were made here.
pub(crate) fn new_secret(keyring: &Keyring) -> Secret<String> {
    let nonce = random_hex::<8>();
    let proof = proof(keyring, &nonce);
    Secret::new(nonce + &proof)
}

pub(crate) fn is_genuine(keyring: &Keyring, secret: &str) -> bool {
    secret.len() == 32
        && secret
            .split_at_checked(16)
            .is_some_and(|(nonce, given)| same_secret(given, &proof(keyring, nonce)))
}

fn proof(keyring: &Keyring, nonce: &str) -> String {
    let hash = Sha256::new()
        .chain_update(b"paas attach v1 ")
        .chain_update(keyring.internal_token().expose())
        .chain_update(b" ")
        .chain_update(nonce)
        .finalize();
    hex::encode(&hash[..8])
}

enum Arrival {
    /// The other end was here and has both now.
    Joined,
    First(oneshot::Receiver<WebSocket>, WebSocket),
    Refused(WebSocket, &'static str),
}

impl Meetings {
    /// Stays until the session is over.
    pub(crate) async fn meet(
        &self,
        secret: String,
        side: Side,
        socket: WebSocket,
        shutdown: &CancellationToken,
    ) {
        match self.arrive(&secret, side, socket) {
            Arrival::Joined => {}
            Arrival::Refused(socket, why) => dismiss(socket, why).await,
            Arrival::First(mut other, socket) => {
                let came = tokio::select! {
                    () = shutdown.cancelled() => None,
                    came = tokio::time::timeout(MEET_WITHIN, &mut other) => came.ok().and_then(Result::ok),
                };
                let came = came.or_else(|| {
                    self.lock().remove(&secret);
                    // It may have come at the last moment.
                    other.try_recv().ok()
                });
                match came {
                    Some(other) => relay(socket, other, shutdown).await,
                    None => dismiss(socket, absent(side)).await,
                }
            }
        }
    }

    fn arrive(&self, secret: &str, side: Side, socket: WebSocket) -> Arrival {
        let mut waiting = self.lock();
        let many = waiting.len() >= MAX_WAITING;
        match waiting.entry(secret.to_owned()) {
            Entry::Occupied(there) if there.get().side == side => {
                Arrival::Refused(socket, "somebody is attached to this dyno already")
            }
            Entry::Occupied(there) => match there.remove().hand_over.send(socket) {
                Ok(()) => Arrival::Joined,
                Err(socket) => Arrival::Refused(socket, "the other end has gone"),
            },
            Entry::Vacant(_) if many => {
                Arrival::Refused(socket, "too many dynos are being attached to; try again")
            }
            Entry::Vacant(place) => {
                let (hand_over, other) = oneshot::channel();
                place.insert(Waiting { side, hand_over });
                Arrival::First(other, socket)
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
async fn dismiss(mut socket: WebSocket, why: &str) {
    let say = async {
        socket
            .send(Message::Text(
                Control::Error(why.to_owned()).to_text().into(),
            ))
            .await?;
        socket.send(close(close_code::AWAY)).await
    };
    // One that does not listen is not waited for.
    let _ = tokio::time::timeout(Duration::from_secs(5), say).await;
}

/// Passes frames both ways until either end closes, falls silent, or the platform shuts down.
async fn relay(a: WebSocket, b: WebSocket, shutdown: &CancellationToken) {
    let ((mut to_a, from_a), (mut to_b, from_b)) = (a.split(), b.split());
    let code = tokio::select! {
        () = pass(from_a, &mut to_b) => close_code::NORMAL,
        () = pass(from_b, &mut to_a) => close_code::NORMAL,
        () = shutdown.cancelled() => close_code::RESTART,
    };
    let both = async { tokio::join!(to_a.send(close(code)), to_b.send(close(code))) };
    let _ = tokio::time::timeout(Duration::from_secs(5), both).await;
}

/// Returns when the source has closed or gone, or the other end takes no more.
async fn pass(mut from: SplitStream<WebSocket>, to: &mut SplitSink<WebSocket, Message>) {
    let mut ping = tokio::time::interval(PING_EVERY);
    let mut heard = Instant::now();
    loop {
        let message = tokio::select! {
            message = from.next() => message,
            // Towards the other end: the task that reads from it hears the answer.
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE || to.send(Message::Ping(Bytes::new())).await.is_err() {
                    return;
                }
                continue;
            }
        };
        heard = Instant::now();
        match message {
            Some(Ok(message @ (Message::Binary(_) | Message::Text(_)))) => {
                if to.send(message).await.is_err() {
                    return;
                }
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return,
        }
    }
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
        let secret = new_secret(&ours);
        assert!(is_genuine(&ours, secret.expose()));
        assert!(!is_genuine(&others, secret.expose()));
        assert_ne!(secret, new_secret(&ours));
        for forged in [
            "",
            "0123456789abcdef0123456789abcdef",
            "0123456789abcdéf0123456789abcde",
            "x",
        ] {
            assert!(!is_genuine(&ours, forged), "{forged}");
        }
    }
}
