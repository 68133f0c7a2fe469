//! The loop around the planner: lead, look, plan, commit, look again.
//!
//! It takes no input. A change in the store or a timer only means "look again"; a commit that is refused only means that
//! the world moved on. After a commit it waits until it has seen its own writes, so that it never plans twice from the
//! same past.

use std::sync::Arc;
use std::time::Duration;

use controller_api::LogSink;
use jiff::SignedDuration;
use model::{Revision, Timestamp};
use store::{Committed, Follower, Leadership, Store, Update, leader};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::plan::{Change, RandomIds, Rules};
use crate::planner::Planner;
use crate::snapshot::followed;

/// Looks at everything at least this often, whatever happens or does not.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const AFTER_CONFLICT: Duration = Duration::from_millis(100);
const RETRY_AFTER: Duration = Duration::from_millis(200);

#[derive(Debug, Clone)]
pub struct Config {
    /// This scheduler's name in elections and logs.
    pub candidate: String,
    pub rules: Rules,
}

/// Runs a scheduler until `shutdown`: waits to be elected, plans while it leads, and campaigns again when it does not.
pub async fn run(
    config: Config,
    store: Arc<dyn Store>,
    logs: LogSink,
    shutdown: CancellationToken,
) {
    loop {
        let mut leadership = tokio::select! {
            () = shutdown.cancelled() => return,
            leadership = leader::campaign(&store, "scheduler", &config.candidate) => leadership,
        };
        info!(candidate = %config.candidate, "Leads the scheduling");
        let scheduler = Scheduler {
            rules: &config.rules,
            store: &store,
            logs: &logs,
        };
        let lost = leadership.lost().clone();
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = lost.cancelled() => warn!(candidate = %config.candidate, "Leads no more"),
            why = scheduler.lead(&mut leadership) => {
                warn!(candidate = %config.candidate, "{why}; steps down");
            }
        }
        leadership.resign().await;
        if shutdown.is_cancelled() {
            return;
        }
    }
}

struct Scheduler<'a> {
    rules: &'a Rules,
    store: &'a Arc<dyn Store>,
    logs: &'a LogSink,
}

impl Scheduler<'_> {
    /// Until it has to begin anew, and why; the caller ends it when the lease is lost.
    async fn lead(&self, leadership: &mut Leadership) -> &'static str {
        let mut follower = Follower::new(self.store.clone(), followed());
        let mut planner = Planner::default();
        let clock = Clock::start();
        let mut look_at = Instant::now();
        let mut look_at_all_at = Instant::now();
        // Nothing is planned from before this revision: it holds our own last writes.
        let mut at_least: Revision = 0;
        planner.apply(follower.next().await);
        loop {
            while let Ok(update) = timeout_at(look_at, follower.next()).await {
                let idle = planner.revision() >= at_least && update.is_empty();
                let is_whole = matches!(update, Update::Snapshot { .. });
                let before = planner.revision().max(at_least);
                planner.apply(update);
                if is_whole && planner.revision() < before {
                    return "The store was restored: what was known is of another past";
                }
                if !idle && planner.revision() >= at_least {
                    look_at = Instant::now();
                }
            }
            if planner.revision() < at_least {
                // Not even when the news is slow: whoever plans from before his own writes makes everything twice.
                look_at = Instant::now() + LOOK_EVERY;
                continue;
            }
            let now = clock.now();
            let planned = if Instant::now() >= look_at_all_at {
                look_at_all_at = Instant::now() + LOOK_EVERY;
                planner.look_at_all(self.rules, now, &mut RandomIds)
            } else {
                planner.look(self.rules, now, &mut RandomIds)
            };
            debug!(
                revision = planner.revision(),
                apps = planned.outlooks.len(),
                changes = planned.changes.len(),
                "Looked"
            );
            for shortage in planned.shortages {
                self.logs.send(shortage.note);
            }
            let (mut conflicts, mut unknown) = (false, false);
            for change in planned.changes {
                match self.commit(leadership, change).await {
                    Some(Committed::Done(revision)) => at_least = at_least.max(revision),
                    Some(Committed::Conflict) => {
                        debug!("Was overtaken; looks again");
                        conflicts = true;
                    }
                    None => unknown = true,
                }
            }
            if unknown {
                // It may have arrived, or may yet arrive: nothing can be planned until that is out of the way.
                let Some(revision) = self.begin_another_term(leadership).await else {
                    return "Cannot know what its last steps came to";
                };
                at_least = at_least.max(revision);
            }
            let wait = match planner.wake_at() {
                Some(at) => Duration::try_from(at.duration_since(now))
                    .unwrap_or_default()
                    .min(LOOK_EVERY),
                None => LOOK_EVERY,
            };
            if conflicts {
                // In a store that was restored the record of the election may be another one, under a lease that lives on.
                if let Ok(false) = leadership.is_on_record(&**self.store).await {
                    return "Another election is on record";
                }
                // The news that explains a refusal is under way; look at everything a moment later if it is not.
                look_at_all_at = Instant::now() + AFTER_CONFLICT;
            }
            look_at = (Instant::now() + wait).min(look_at_all_at);
        }
    }

    /// `None` when nobody knows whether the store took it.
    async fn commit(&self, leadership: &Leadership, change: Change) -> Option<Committed> {
        let app = change.app;
        match leadership.guard(change.txn).commit(&**self.store).await {
            Ok(committed) => {
                if matches!(committed, Committed::Done(_)) {
                    for line in change.notes {
                        self.logs.send(line);
                    }
                }
                Some(committed)
            }
            Err(error) if !error.is_retryable() => {
                error!(error = &error as &dyn std::error::Error, app.id = ?app, "A step cannot be committed");
                Some(Committed::Conflict)
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, app.id = ?app, "Could not commit a step; will look again");
                None
            }
        }
    }

    /// The revision from which on the store shows all that the old term wrote. `None` when it leads no more.
    async fn begin_another_term(&self, leadership: &mut Leadership) -> Option<Revision> {
        loop {
            match leadership.renew(&**self.store).await {
                Ok(renewed) => return renewed,
                Err(error) => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "Could not begin another term; will retry"
                    );
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }
}

/// The time as it was when this began to lead, and as much more as has passed since: the host's clock may jump, and no
/// wait is to end, or begin anew, because of that.
struct Clock {
    began: Instant,
    began_at: Timestamp,
}

impl Clock {
    fn start() -> Self {
        Self {
            began: Instant::now(),
            began_at: Timestamp::now(),
        }
    }

    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.began.elapsed()).unwrap_or(SignedDuration::MAX);
        self.began_at
            .saturating_add(passed)
            .unwrap_or(Timestamp::MAX)
    }
}
