//! The deadline of every call, and what is tried again until then.
//!
//! With one member of a cluster down, the client's balancer keeps choosing it now and then and reports that nobody
//! listens there: such calls never left this host and go to another member at once.

use std::error::Error as _;
use std::io::ErrorKind;
use std::time::Duration;

use etcd_client::Error;
use tokio::time::Instant;

use crate::StoreError;

pub(super) const DEADLINE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

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
    mut call: impl FnMut() -> F,
) -> Result<T, StoreError> {
    let until = Instant::now() + DEADLINE;
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match tokio::time::timeout_at(until, call()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(elapsed) => return Err(StoreError::unavailable(doing, elapsed)),
        };
        let again = was_not_sent(&error) || (repeat == Repeat::Always && is_transient(&error));
        if !again || Instant::now() + pause >= until {
            return Err(StoreError::unavailable(doing, error));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// etcd's own words about what went wrong.
pub(super) fn message_of(error: &Error) -> Option<&str> {
    match error {
        Error::GRpcStatus(status) => Some(status.message()),
        _ => None,
    }
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

/// Nobody listened, or nobody could be reached: these come from connecting, never from a connection.
fn was_not_sent(error: &Error) -> bool {
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
