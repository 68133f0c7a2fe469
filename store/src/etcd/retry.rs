//! The deadline of every call, and what is tried again until then.
//!
//! Calls that never left this host, and those that may be made twice, go to whichever member is spoken with by then.

use std::error::Error as _;
use std::io::ErrorKind;
use std::time::Duration;

use etcd_client::{Client, Error};
use tokio::time::Instant;

use super::connection::{Connection, Member};
use crate::StoreError;

pub(super) const DEADLINE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long a member that fell silent may still take to answer what must not be asked twice.
const LAST_WORD: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Doing it twice is as good as once.
    Always,
    /// Doing it twice is wrong.
    IfNotSent,
}

/// Runs `call` until it succeeds, fails for good, or time is up.
pub(super) async fn within_deadline<T, F: Future<Output = Result<T, Error>>>(
    doing: &'static str,
    repeat: Repeat,
    connection: &Connection,
    mut call: impl FnMut(Client) -> F,
) -> Result<T, StoreError> {
    let until = Instant::now() + DEADLINE;
    let mut pause = FIRST_PAUSE;
    loop {
        let member = connection.member();
        let answer = tokio::select! {
            answer = tokio::time::timeout_at(until, call(member.client.clone())) => answer,
            () = given_up(&member, repeat) => match repeat {
                Repeat::Always => continue,
                Repeat::IfNotSent => {
                    return Err(StoreError::unavailable(doing, "a member of etcd fell silent over it"));
                }
            },
        };
        let error = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(elapsed) => return Err(StoreError::unavailable(doing, elapsed)),
        };
        if is_out_of_space(&error) {
            return Err(StoreError::unavailable(
                doing,
                "etcd is out of space and takes no writes until it has been compacted and defragmented; see `paas platform:status`",
            ));
        }
        let again = was_not_sent(&error) || (repeat == Repeat::Always && is_transient(&error));
        if !again || Instant::now() + pause >= until {
            return Err(StoreError::unavailable(doing, error));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// When to wait for the member's answer no longer.
async fn given_up(member: &Member, repeat: Repeat) {
    member.left.cancelled().await;
    if repeat == Repeat::IfNotSent {
        tokio::time::sleep(LAST_WORD).await;
    }
}

/// etcd's own words about what went wrong.
pub(super) fn message_of(error: &Error) -> Option<&str> {
    match error {
        Error::GRpcStatus(status) => Some(status.message()),
        _ => None,
    }
}

/// etcd's words, for want of a code of their own.
fn is_out_of_space(error: &Error) -> bool {
    message_of(error).is_some_and(|message| message.contains("database space exceeded"))
}

fn is_transient(error: &Error) -> bool {
    // gRPC's codes, by number: their type is in a crate that is not ours to import.
    const CANCELLED: i32 = 1;
    const UNKNOWN: i32 = 2;
    const RESOURCE_EXHAUSTED: i32 = 8;
    const INTERNAL: i32 = 13;
    const UNAVAILABLE: i32 = 14;
    match error {
        Error::GRpcStatus(status) => {
            matches!(
                status.code() as i32,
                CANCELLED | UNKNOWN | RESOURCE_EXHAUSTED | INTERNAL | UNAVAILABLE
            )
        }
        Error::TransportError(_) | Error::IoError(_) => true,
        // A stream that ended without an answer.
        Error::WatchError(_) => true,
        _ => false,
    }
}

/// etcd's words for what no member has proposed to the others: nobody led just then (raft's ErrProposalDropped, and
/// ErrGRPCNoLeader and ErrGRPCRequestTooManyRequests of etcd's api/v3/rpctypes).
const NOT_PROPOSED: [&str; 3] = [
    "raft proposal dropped",
    "etcdserver: no leader",
    "etcdserver: too many requests",
];

/// Nobody listened, or nobody could be reached: these come from connecting, never from a connection. Or etcd says that it
/// did not begin.
fn was_not_sent(error: &Error) -> bool {
    if message_of(error).is_some_and(was_not_proposed) {
        return true;
    }
    let Error::GRpcStatus(status) = error else {
        return false;
    };
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return matches!(
                io.kind(),
                ErrorKind::ConnectionRefused
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable
            );
        }
        cause = error.source();
    }
    false
}

fn was_not_proposed(said: &str) -> bool {
    NOT_PROPOSED.iter().any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_proposed_is_not_sent_again() {
        assert!(was_not_proposed("raft proposal dropped"));
        assert!(was_not_proposed("etcdserver: no leader"));
        for maybe in [
            "etcdserver: leader changed",
            "etcdserver: request timed out",
            "etcdserver: request timed out, possibly due to previous leader failure",
            "etcdserver: too many operations in txn request",
            "etcdserver: server stopped",
        ] {
            assert!(!was_not_proposed(maybe), "{maybe}");
        }
    }
}
