//! R14: dynos that are about to run out of memory are told so, every while that they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use controller_api::LogSink;
use model::{AppId, DynoId};
use runtime::{ContainerId, Runtime};
use tracing::debug;

const LOOK_EVERY: Duration = Duration::from_secs(20);
/// In permille of the quota. The quota is a hard limit without swap, so "exceeded" cannot be seen any later than here.
const WARN_ABOVE: u64 = 980;

#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub app: AppId,
    pub process: String,
    pub container: ContainerId,
    pub quota_bytes: u64,
}

/// The dynos that run now.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    /// Guards the table; never held across a wait.
    running: Mutex<BTreeMap<DynoId, Watched>>,
}

impl Quotas {
    pub(crate) fn watch(&self, dyno: DynoId, watched: Watched) {
        self.running().insert(dyno, watched);
    }

    pub(crate) fn forget(&self, dyno: DynoId) {
        self.running().remove(&dyno);
    }

    /// Looks for ever.
    pub(crate) async fn run(&self, runtime: Arc<dyn Runtime>, logs: LogSink) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let running: Vec<_> = self.running().values().cloned().collect();
            for dyno in running {
                match runtime.memory_used(&dyno.container).await {
                    Ok(used) => {
                        for line in warning(used, dyno.quota_bytes) {
                            logs.platform(dyno.app, dyno.process.clone(), line);
                        }
                    }
                    Err(error) => {
                        debug!(
                            error = &error as &dyn std::error::Error,
                            "Could not measure a dyno's memory"
                        );
                    }
                }
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<DynoId, Watched>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warning(used: u64, quota: u64) -> Vec<String> {
    let permille = used.saturating_mul(1000).checked_div(quota).unwrap_or(0);
    if permille < WARN_ABOVE {
        return Vec::new();
    }
    vec![
        format!(
            "Process running mem={}M({}.{}%)",
            used >> 20,
            permille / 10,
            permille % 10
        ),
        "Error R14 (Memory quota exceeded)".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dyno_at_its_limit_is_warned_and_in_herokus_words() {
        assert!(warning(500 << 20, 512 << 20).is_empty());
        assert_eq!(
            warning(512 << 20, 512 << 20),
            [
                "Process running mem=512M(100.0%)",
                "Error R14 (Memory quota exceeded)"
            ]
        );
    }
}
