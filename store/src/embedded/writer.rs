//! The one task that writes: group commit, and the end of leases.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::engine::Engine;
use super::leases::Leases;
use super::tables::{Applied, Work};
use crate::history::History;
use crate::{Commit, Committed, LeaseId, StoreError};

/// The most writes in one transaction.
const GROUP: usize = 256;
/// How long leases that could not be ended wait for the next try.
const RETRY_AFTER: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) enum Request {
    Commit {
        commit: Commit,
        reply: oneshot::Sender<Result<Committed, StoreError>>,
    },
    Revoke {
        lease: LeaseId,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
}

#[derive(Debug)]
enum Reply {
    Commit(oneshot::Sender<Result<Committed, StoreError>>),
    Revoke(oneshot::Sender<Result<(), StoreError>>),
    /// The lease ended by itself: nobody waits.
    Nobody,
}

pub(super) struct Writer {
    pub(super) engine: Arc<Engine>,
    pub(super) history: Arc<History>,
    pub(super) leases: Arc<Leases>,
    pub(super) stop: CancellationToken,
}

impl Writer {
    pub(super) async fn run(self, mut inbox: mpsc::Receiver<Request>) {
        let mut requests = Vec::new();
        let mut not_before = Instant::now();
        loop {
            let next_end = self.leases.next_end().map(|end| end.max(not_before));
            tokio::select! {
                () = self.stop.cancelled() => break,
                received = inbox.recv_many(&mut requests, GROUP) => {
                    if received == 0 {
                        break;
                    }
                }
                () = sleep_until(next_end) => {}
                () = self.leases.granted.notified() => continue,
            }
            let now = Instant::now();
            let ended = if now >= not_before {
                self.leases.ended(now)
            } else {
                Vec::new()
            };
            let (works, replies) = self.group(&mut requests, ended);
            if !works.is_empty() && !self.write(works, replies).await {
                not_before = Instant::now() + RETRY_AFTER;
            }
            // Whoever was just answered often has a next commit: let it come, and be in the next group.
            tokio::task::yield_now().await;
        }
        self.history.close();
    }

    fn group(&self, requests: &mut Vec<Request>, ended: Vec<LeaseId>) -> (Vec<Work>, Vec<Reply>) {
        let mut ending = HashSet::new();
        let mut group = Vec::with_capacity(requests.len() + ended.len());
        for request in requests.drain(..) {
            match request {
                Request::Commit { commit, reply } => {
                    group.push((Work::Commit(commit), Reply::Commit(reply)))
                }
                Request::Revoke { lease, reply }
                    if self.leases.begin_end(lease) && ending.insert(lease) =>
                {
                    group.push((Work::EndLease(lease), Reply::Revoke(reply)));
                }
                Request::Revoke { lease, reply } => {
                    Reply::Revoke(reply).send(Err(StoreError::LeaseLapsed { lease: lease.0 }));
                }
            }
        }
        for lease in ended {
            if self.leases.begin_end(lease) && ending.insert(lease) {
                group.push((Work::EndLease(lease), Reply::Nobody));
            }
        }
        group.into_iter().unzip()
    }

    /// Whether it could be written at all.
    async fn write(&self, works: Vec<Work>, replies: Vec<Reply>) -> bool {
        let (engine, leases) = (self.engine.clone(), self.leases.clone());
        let applying = tokio::task::spawn_blocking(move || {
            let applied = engine.apply(&works, &leases);
            (works, applied)
        });
        let (works, applied) = match applying.await {
            Ok((works, applied)) => (works, applied),
            // Dropping the replies tells the callers.
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "The store's writer panicked; will go on"
                );
                return false;
            }
        };
        match applied {
            Ok(Applied { outcomes, batches }) => {
                for (work, outcome) in works.iter().zip(&outcomes) {
                    if let (Work::EndLease(lease), Ok(_)) = (work, outcome) {
                        self.leases.remove(*lease);
                    }
                }
                self.history.publish(batches);
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    reply.send(outcome);
                }
                true
            }
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Could not write to the store's file"
                );
                let text = error_text(&error);
                for reply in replies {
                    reply.send(Err(StoreError::unavailable("committing", text.clone())));
                }
                false
            }
        }
    }
}

impl Reply {
    /// Whoever stopped waiting does not mind.
    fn send(self, outcome: Result<Committed, StoreError>) {
        match self {
            Self::Commit(reply) => drop(reply.send(outcome)),
            Self::Revoke(reply) => drop(reply.send(outcome.map(drop))),
            Self::Nobody => {}
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// One failure answers many callers, and errors cannot be cloned: each gets its words.
fn error_text(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
