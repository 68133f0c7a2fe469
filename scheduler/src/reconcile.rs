//! The loop around the planner: lead, look, plan, commit, look again.
//!
//! It takes no input. A change in the store or a timer only means "look again"; a commit that is refused only means that
//! the world moved on. After a commit it waits until it has seen its own writes, so that it never plans twice from the
//! same past.

use std::sync::Arc;
use std::time::Duration;

use controller_api::LogSink;
use model::{Revision, Timestamp};
use store::{Committed, Follower, Leadership, Store, leader};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::plan::{Change, RandomIds, Rules, plan};
use crate::snapshot::{Memory, Snapshot, followed};

/// Looks at everything at least this often, whatever happens or does not.
const LOOK_EVERY: Duration = Duration::from_secs(5);

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
        let leadership = tokio::select! {
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
            () = scheduler.lead(&leadership) => {}
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
    /// For ever; the caller ends it.
    async fn lead(&self, leadership: &Leadership) {
        let mut follower = Follower::new(self.store.clone(), followed());
        let mut snapshot = Snapshot::default();
        let mut memory = Memory::default();
        let mut look_at = Instant::now();
        // Nothing is planned from before this revision: it holds our own last writes.
        let mut at_least: Revision = 0;
        snapshot.apply(follower.next().await);
        loop {
            while let Ok(update) = timeout_at(look_at, follower.next()).await {
                let idle = snapshot.revision >= at_least && update.is_empty();
                snapshot.apply(update);
                if !idle && snapshot.revision >= at_least {
                    look_at = Instant::now();
                }
            }
            if snapshot.revision < at_least {
                // Not even when the news is slow: whoever plans from before his own writes makes everything twice.
                look_at = Instant::now() + LOOK_EVERY;
                continue;
            }
            let now = Timestamp::now();
            memory.observe(&snapshot, now);
            let planned = plan(&snapshot, &memory, self.rules, now, &mut RandomIds);
            let wake_at = planned.wake_at;
            debug!(
                revision = snapshot.revision,
                changes = planned.changes.len(),
                ?wake_at,
                "Looked"
            );
            for shortage in planned.shortages {
                memory.tell(&shortage);
                self.logs.send(shortage.note);
            }
            let mut conflicts = false;
            for change in planned.changes {
                match self.commit(leadership, change).await {
                    Some(Committed::Done(revision)) => at_least = at_least.max(revision),
                    Some(Committed::Conflict) => {
                        debug!("Was overtaken; looks again");
                        conflicts = true;
                    }
                    None => conflicts = true,
                }
            }
            let wait = match wake_at {
                Some(at) => Duration::try_from(at.duration_since(now))
                    .unwrap_or_default()
                    .min(LOOK_EVERY),
                None => LOOK_EVERY,
            };
            // After a refusal the news that explains it is under way; look a moment later if it is not.
            let wait = if conflicts {
                wait.min(Duration::from_millis(100))
            } else {
                wait
            };
            look_at = Instant::now() + wait;
        }
    }

    /// `None` when the store could not take it: the next look decides anew.
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
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, app.id = %app, "Could not commit a step; will retry");
                None
            }
        }
    }
}
