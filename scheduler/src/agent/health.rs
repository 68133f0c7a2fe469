//! Whether the node can do its work: its engine answers, and its disk takes what is written.
//!
//! A node that cannot must not count as alive: nothing would be started or stopped on it, and nobody would know how its
//! dynos are. The judgement is a pure state machine; it forgives what passes, and trusts a node that has failed again
//! and again less and less, so that its dynos do not come and go with it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info};

use super::config::Config;
use super::launch::own_labels;
use super::network::chain;

const CHECK_EVERY: Duration = Duration::from_secs(1);
/// What passes sooner is no illness; what does not is to have no traffic 5 s after it began.
const PATIENCE: Duration = Duration::from_secs(3);
const ENGINE_WITHIN: Duration = Duration::from_secs(2);
const DISK_WITHIN: Duration = Duration::from_secs(10);
/// Whoever was himself stopped, or had no CPU, while he waited cannot say that another was slow.
const OVERSLEPT: Duration = Duration::from_millis(500);
/// Below this the disk counts as full, before everything on it fails at once.
const MIN_FREE_BYTES: u64 = 32 << 20;
const MIN_FREE_FILES: u64 = 256;

/// How long a node must have been well before it is taken for well again, the first time and at most.
const RECOVERY: Duration = Duration::from_secs(5);
const LONGEST_RECOVERY: Duration = Duration::from_secs(300);
/// A node that has been well for so long has left its earlier failures behind.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// What is known of the node's health, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Well {
        since: Instant,
    },
    Ill {
        /// It fails no more since then, but has not yet done so for long enough.
        better_since: Option<Instant>,
    },
}

impl Health {
    pub(crate) const fn is_well(self) -> bool {
        matches!(self, Self::Well { .. })
    }
}

#[derive(Debug)]
struct Judge {
    health: Health,
    /// How long it must be better before it is well.
    recovery: Duration,
}

impl Judge {
    /// Of a node that has just begun, which is well as soon as it is seen to be.
    const fn new() -> Self {
        Self {
            health: Health::Ill { better_since: None },
            recovery: Duration::ZERO,
        }
    }

    fn hear(&mut self, is_failing: bool, now: Instant) {
        self.health = match self.health {
            Health::Well { since } if is_failing => {
                let is_relapse = now - since < FORGIVEN_AFTER && !self.recovery.is_zero();
                self.recovery = if is_relapse {
                    (self.recovery * 2).min(LONGEST_RECOVERY)
                } else {
                    RECOVERY
                };
                Health::Ill { better_since: None }
            }
            Health::Ill { .. } if is_failing => Health::Ill { better_since: None },
            Health::Ill { better_since } => {
                let since = better_since.unwrap_or(now);
                if now - since >= self.recovery {
                    Health::Well { since: now }
                } else {
                    Health::Ill {
                        better_since: Some(since),
                    }
                }
            }
            well @ Health::Well { .. } => well,
        };
    }
}

/// What one kind of check has found so far.
#[derive(Debug, Clone)]
struct Findings {
    last_good: Instant,
    /// What the newest check that was not good said.
    trouble: Option<String>,
}

impl Findings {
    fn hear(&mut self, found: Result<(), String>, now: Instant) {
        match found {
            Ok(()) => {
                *self = Self {
                    last_good: now,
                    trouble: None,
                }
            }
            Err(trouble) => self.trouble = Some(trouble),
        }
    }

    /// What is the matter, once it has been for longer than passes by itself.
    fn failure(&self, now: Instant) -> Option<&str> {
        let trouble = self.trouble.as_deref()?;
        (now - self.last_good >= PATIENCE).then_some(trouble)
    }
}

/// Looks after the node's health for ever, and says so when it changes.
pub(crate) async fn watch(
    config: &Config,
    runtime: Arc<dyn Runtime>,
    health: watch::Sender<Health>,
) {
    let begun = || {
        watch::channel(Findings {
            last_good: Instant::now(),
            trouble: Some("it has not been looked at yet".to_owned()),
        })
    };
    let ((engine, engine_found), (disk, disk_found)) = (begun(), begun());
    let judge = async {
        let mut judge = Judge::new();
        loop {
            sleep(CHECK_EVERY / 2).await;
            let now = Instant::now();
            let found = [engine_found.borrow().clone(), disk_found.borrow().clone()];
            let failure = found.iter().find_map(|found| found.failure(now));
            let is_doubtful = found.iter().any(|found| found.trouble.is_some());
            // What may be about to fail makes nobody well, and nobody ill before its time.
            if failure.is_none() && is_doubtful {
                continue;
            }
            let was_well = judge.health.is_well();
            judge.hear(failure.is_some(), now);
            match (was_well, judge.health.is_well(), failure) {
                (true, false, Some(reason)) => {
                    error!(
                        reason,
                        "This node is not well; its dynos are started elsewhere until it is"
                    );
                }
                (false, true, _) => info!("This node is well"),
                _ => {}
            }
            health.send_if_modified(|told| std::mem::replace(told, judge.health) != judge.health);
        }
    };
    tokio::join!(
        check_engine(config, &*runtime, engine),
        check_disk(config.data_dir.join("health"), disk),
        judge
    );
}

async fn check_engine(config: &Config, runtime: &dyn Runtime, findings: watch::Sender<Findings>) {
    let labels = own_labels(config);
    loop {
        let asked = Instant::now();
        let found = match timeout(ENGINE_WITHIN, runtime.list(&labels)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("the container engine fails: {}", chain(&error))),
            Err(_) => Err("the container engine does not answer".to_owned()),
        };
        if found.is_ok() || asked.elapsed() < ENGINE_WITHIN + OVERSLEPT {
            findings.send_modify(|findings| findings.hear(found, Instant::now()));
        }
        sleep(CHECK_EVERY).await;
    }
}

async fn check_disk(file: PathBuf, findings: watch::Sender<Findings>) {
    loop {
        let mut writing = write(file.clone());
        // A disk that hangs holds one thread, not one more every second.
        let found = loop {
            match timeout(DISK_WITHIN, &mut writing).await {
                Ok(Ok(found)) => break found,
                Ok(Err(panicked)) => break Err(panicked.to_string()),
                Err(_) => findings.send_modify(|findings| {
                    findings.hear(Err("the disk does not answer".to_owned()), Instant::now());
                }),
            }
        };
        findings.send_modify(|findings| findings.hear(found, Instant::now()));
        sleep(CHECK_EVERY).await;
    }
}

/// Writes a little, down to the disk, and looks at what is left of it.
fn write(file: PathBuf) -> JoinHandle<Result<(), String>> {
    tokio::task::spawn_blocking(move || {
        use std::io::Write as _;
        let written = fs_err::File::create(&file).and_then(|mut opened| {
            opened.write_all(&[b'.'; 4096])?;
            opened.sync_all()
        });
        written.map_err(|error| format!("the disk takes no writes: {}", chain(&error)))?;
        let left = nix::sys::statvfs::statvfs(&file)
            .map_err(|error| format!("the disk cannot be looked at: {error}"))?;
        let free_bytes = left.blocks_available() * left.fragment_size();
        // File systems that make them as needed say that they have none at all.
        let lacks_files = left.files() > 0 && left.files_available() < MIN_FREE_FILES;
        if free_bytes < MIN_FREE_BYTES || lacks_files {
            return Err(format!("the disk is full: {} MiB left", free_bytes >> 20));
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Well from the first moment on.
    fn well(now: Instant) -> Judge {
        let mut judge = Judge::new();
        judge.hear(false, now);
        assert!(judge.health.is_well());
        judge
    }

    /// Seconds of good checks until it counts as well again.
    fn recovers_after(judge: &mut Judge, now: &mut Instant) -> u64 {
        let begun = *now;
        while !judge.health.is_well() {
            judge.hear(false, *now);
            *now += SECOND;
        }
        (*now - begun).as_secs() - 1
    }

    #[test]
    fn who_fails_again_and_again_is_trusted_later_and_later() {
        let mut now = Instant::now();
        let mut judge = well(now);
        let mut took = Vec::new();
        for _ in 0..9 {
            now += SECOND;
            judge.hear(true, now);
            assert!(!judge.health.is_well());
            took.push(recovers_after(&mut judge, &mut now));
        }
        assert_eq!(took, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        now += FORGIVEN_AFTER;
        judge.hear(true, now);
        assert_eq!(recovers_after(&mut judge, &mut now), 5);
    }

    #[test]
    fn a_failure_in_between_begins_the_recovery_again() {
        let now = Instant::now();
        let mut judge = well(now);
        judge.hear(true, now + SECOND);
        judge.hear(false, now + 2 * SECOND);
        judge.hear(true, now + 6 * SECOND);
        judge.hear(false, now + 7 * SECOND);
        judge.hear(false, now + 11 * SECOND);
        assert!(!judge.health.is_well());
        judge.hear(false, now + 12 * SECOND);
        assert!(judge.health.is_well());
    }

    #[test]
    fn what_passes_is_no_failure() {
        let begun = Instant::now();
        let mut findings = Findings {
            last_good: begun,
            trouble: None,
        };
        assert_eq!(
            findings.failure(begun + 60 * SECOND),
            None,
            "nothing bad was heard"
        );
        findings.hear(Err("down".to_owned()), begun + SECOND);
        assert_eq!(findings.failure(begun + 2 * SECOND), None);
        assert_eq!(findings.failure(begun + PATIENCE), Some("down"));
        findings.hear(Ok(()), begun + 6 * SECOND);
        assert_eq!(findings.failure(begun + 60 * SECOND), None);
    }

    #[tokio::test]
    async fn a_disk_that_takes_no_writes_is_found_out() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(write(dir.path().join("health")).await.unwrap(), Ok(()));
        let nowhere = write(dir.path().join("missing/health")).await.unwrap();
        assert!(nowhere.unwrap_err().starts_with("the disk takes no writes"));
    }
}
