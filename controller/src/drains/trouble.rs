//! Telling an app's owner that a drain does not work, in the app's log.
//!
//! These lines go to no drain, so that trouble makes no more of itself; and there are few of them.

use std::time::Duration;

use model::log::{LogLine, LogSource};
use model::{AppId, Timestamp};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::courier::{Failure, FailureKind};
use crate::logs::LogStore;

/// A receiver that is restarted is no trouble.
const PATIENCE: u32 = 3;
const TOLD_EVERY: Duration = Duration::from_secs(600);
/// A certificate may have any number of names.
const MAX_WHAT: usize = 300;

pub(super) struct Trouble {
    logs: LogStore,
    app: AppId,
    /// The drain, without what may be a password.
    drain: String,
    origin: String,
    failures: u32,
    told_at: Option<Instant>,
    /// Whether the last that was told is that it does not work.
    is_told: bool,
}

impl Trouble {
    pub(super) const fn new(logs: LogStore, app: AppId, drain: String, origin: String) -> Self {
        Self {
            logs,
            app,
            drain,
            origin,
            failures: 0,
            told_at: None,
            is_told: false,
        }
    }

    /// How often in a row it has failed.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) async fn failed(&mut self, failure: &Failure) {
        self.failures = self.failures.saturating_add(1);
        debug!(app.id = %self.app, drain = %self.drain, why = %failure.what, "Could not deliver to a drain");
        let is_lasting = failure.kind != FailureKind::Passing || self.failures >= PATIENCE;
        let is_time = self.told_at.is_none_or(|told| told.elapsed() > TOLD_EVERY);
        if !is_lasting || !is_time {
            return;
        }
        (self.told_at, self.is_told) = (Some(Instant::now()), true);
        let what: String = failure.what.chars().take(MAX_WHAT).collect();
        let (drain, origin) = (&self.drain, &self.origin);
        self.tell(match failure.kind {
            FailureKind::Passing => {
                format!("Drain {drain} to {origin} takes no lines: {what}. It is tried again.")
            }
            FailureKind::Certificate => {
                format!("Error L14 (certificate validation): error=\"{what}\" uri=\"{origin}\" drain={drain}")
            }
            FailureKind::Refused => {
                format!("Drain {drain} to {origin} refuses lines, which are dropped: {what}.")
            }
        })
        .await;
    }

    pub(super) async fn over(&mut self) {
        self.failures = 0;
        if std::mem::take(&mut self.is_told) {
            let text = format!("Drain {} to {} takes lines again.", self.drain, self.origin);
            self.tell(text).await;
        }
    }

    async fn tell(&self, text: String) {
        let line = LogLine {
            app: self.app,
            at: Timestamp::now(),
            source: LogSource::Heroku,
            process: "logplex".to_owned(),
            text,
        };
        if let Err(error) = self.logs.append(self.app, vec![line]).await {
            warn!(error = &error as &dyn std::error::Error, app.id = %self.app, "Could not write to the app's log");
        }
    }
}
