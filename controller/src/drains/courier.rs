//! One way of delivering batches, by the drain's URL.

use std::time::Duration;

use model::{DrainTransport, DrainUrl, LogDrain};
use std::sync::Arc;

use super::frame::{Batch, Dialect};
use super::network::{Network, SetupError};
use super::post::Post;
use super::syslog::Syslog;
use crate::outbound::{Refused, Unreachable};

/// Why a batch was not delivered. `what` is fit for the app's owner.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// It may well go next time.
    Passing,
    /// The same, but somebody will have to do something about a certificate.
    Certificate,
    /// This batch will not be taken whenever it comes.
    Refused,
}

pub(super) enum Courier {
    Syslog(Syslog),
    Http(Post),
}

/// How much travels together, and how long the first line waits for others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) lines: usize,
    pub(super) bytes: usize,
    pub(super) gather: Duration,
}

impl Courier {
    pub(super) fn new(network: Arc<Network>, drain: &LogDrain, url: DrainUrl) -> Self {
        match url.transport() {
            DrainTransport::Http => Self::Http(Post::new(network, drain.token, url)),
            DrainTransport::Syslog | DrainTransport::SyslogTls => {
                Self::Syslog(Syslog::new(network, drain.token, url))
            }
        }
    }

    pub(super) const fn dialect(&self) -> Dialect {
        match self {
            Self::Syslog(syslog) => Dialect::Syslog(syslog.token),
            Self::Http(_) => Dialect::Http,
        }
    }

    pub(super) const fn pace(&self) -> Pace {
        match self {
            // Little: what was written when a connection breaks is written again, all of it.
            Self::Syslog(_) => Pace {
                lines: 200,
                bytes: 64 << 10,
                gather: Duration::ZERO,
            },
            Self::Http(_) => Pace {
                lines: 1_000,
                bytes: 256 << 10,
                gather: Duration::from_millis(250),
            },
        }
    }

    /// Within a deadline.
    pub(super) async fn send(&mut self, batch: &Batch) -> Result<(), Failure> {
        match self {
            Self::Syslog(syslog) => syslog.send(batch).await,
            Self::Http(post) => post.send(batch).await,
        }
    }

    /// Once the other side has ended an idle connection; the next batch makes a new one. Safe to cancel.
    pub(super) async fn hung_up(&mut self) {
        match self {
            Self::Syslog(syslog) => syslog.hung_up().await,
            Self::Http(_) => std::future::pending().await,
        }
    }
}

impl Failure {
    pub(super) fn passing(what: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Passing,
            what: what.into(),
        }
    }

    pub(super) fn certificate(what: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Certificate,
            what: what.into(),
        }
    }

    pub(super) fn refused(what: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Refused,
            what: what.into(),
        }
    }
}

impl From<Unreachable> for Failure {
    fn from(error: Unreachable) -> Self {
        Self::passing(error.to_string())
    }
}

impl From<Refused> for Failure {
    fn from(error: Refused) -> Self {
        Self::passing(error.to_string())
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "Drains cannot be reached"
        );
        Self::passing(error.to_string())
    }
}
