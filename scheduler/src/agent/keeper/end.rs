//! Ends: a dyno that is stopped, or stops by itself, and what is said of it.

use std::time::Duration;

use futures::StreamExt as _;
use model::dyno_status::{MAX_TAIL_LINE_BYTES, MAX_TAIL_LINES, crash_backoff};
use model::{Dyno, DynoKind, DynoState, Exit, ExitReason, Timestamp};
use runtime::{ContainerExit, LogQuery, RuntimeError, Signal};
use tracing::{error, warn};

use super::super::attach::GOODBYE_WITHIN;
use super::super::decide::later;
use super::super::launch::label;
use super::{Keeper, Next, remove_dir};

/// How long the last lines of a container that has ended may take.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
const TAIL_WITHIN: Duration = Duration::from_secs(5);
/// How long a killed container may take to be dead.
const DEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long the exit status may take to a terminal, and its goodbye.
const TELL_WITHIN: Duration = GOODBYE_WITHIN.saturating_mul(2);

impl Keeper {
    pub(super) async fn terminate(&mut self, wanted: Option<&Dyno>) -> Next {
        if wanted.is_some_and(|dyno| dyno.replace) {
            self.note("Restarting");
        }
        self.note("Stopping all processes with SIGTERM");
        self.set(DynoState::Stopping {
            since: Timestamp::now(),
        });
        self.signal(Signal::Term).await
    }

    /// Whoever was attached has gone.
    pub(super) async fn hang_up(&mut self) -> Next {
        self.note("Client connection closed. Sending SIGHUP to all processes");
        self.set(DynoState::Stopping {
            since: Timestamp::now(),
        });
        self.signal(Signal::Hup).await
    }

    async fn signal(&self, signal: Signal) -> Next {
        if let Err(error) = self
            .shared
            .runtime
            .signal_all(&self.container, signal)
            .await
        {
            // It is killed when its time is up, and by then told so.
            error!(error = &error as &dyn std::error::Error, dyno.id = %self.id, %signal, "Could not signal a dyno");
        }
        Next::LookAgain
    }

    pub(super) async fn kill(&mut self) -> Next {
        let seconds = self.shared.config.stop_grace.as_secs();
        self.note(format!(
            "Error R12 (Exit timeout) -> At least one process failed to exit within {seconds} seconds of SIGTERM"
        ));
        self.note("Stopping remaining processes with SIGKILL");
        // Said once, whether or not the engine listens the first time.
        self.was_killed = true;
        self.kill_and_wait()
            .await
            .map_or_else(|error| self.engine_failed(&error), |_| Next::LookAgain)
    }

    async fn kill_and_wait(&self) -> Result<Option<ContainerExit>, RuntimeError> {
        let runtime = &self.shared.runtime;
        runtime.kill(&self.container).await?;
        match tokio::time::timeout(DEAD_WITHIN, runtime.wait(&self.container)).await {
            Ok(Ok(exit)) => Ok(Some(exit)),
            Ok(Err(error)) if error.is_not_found() => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(RuntimeError::TimedOut {
                doing: "waiting for a killed container",
                after: DEAD_WITHIN,
            }),
        }
    }

    /// R10.
    pub(super) async fn fail_boot(&mut self) -> Next {
        let reason = ExitReason::BootTimeout {
            seconds: self.shared.config.boot_timeout.as_secs(),
        };
        if !self.was_killed {
            self.hint_at_loopback().await;
            self.note(reason.describe());
            self.note("Stopping process with SIGKILL");
            self.was_killed = true;
        }
        let exit = match self.kill_and_wait().await {
            Ok(exit) => exit,
            Err(error) => return self.engine_failed(&error),
        };
        self.drain().await;
        if let Some(exit) = exit {
            self.note(format!("Process exited with status {}", exit.status));
        }
        let now = Timestamp::now();
        let exit = Exit {
            reason,
            log_tail: self.tail().await,
        };
        self.note(format!(
            "State changed from {} to crashed",
            self.state.as_str()
        ));
        self.set(DynoState::Crashed {
            at: now,
            exit,
            retry_at: later(now, crash_backoff(self.restarts)),
        });
        Next::LookAgain
    }

    /// The most common reason of an R10 leaves no trace in the app's own log.
    async fn hint_at_loopback(&self) {
        let (shared, port) = (&self.shared, self.shared.config.port);
        let listens = shared
            .runtime
            .listens_on_loopback_only(&self.container, port);
        match listens.await {
            Ok(Some(ip)) => self.note(format!(
                "Web process listens on {ip} only; bind 0.0.0.0 (or ::) so that the router can reach it"
            )),
            Ok(None) => {}
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, dyno.id = %self.id, "Could not see where a dyno listens");
            }
        }
    }

    pub(super) async fn crash(
        &mut self,
        exit: Option<ContainerExit>,
        restarts: u32,
        retry_at: Timestamp,
    ) -> Next {
        self.drain().await;
        let reason = self.tell_end(exit);
        let log_tail = if exit.is_some() {
            self.tail().await
        } else {
            Vec::new()
        };
        self.note(format!(
            "State changed from {} to crashed",
            self.state.as_str()
        ));
        self.restarts = restarts;
        self.set(DynoState::Crashed {
            at: Timestamp::now(),
            exit: Exit { reason, log_tail },
            retry_at,
        });
        Next::LookAgain
    }

    /// It has ended and is not started again.
    pub(super) async fn finish(
        &mut self,
        wanted: Option<&Dyno>,
        exit: Option<ContainerExit>,
    ) -> Next {
        if let Some(session) = self.session.take() {
            // Whoever is attached hears how it ended before the container goes.
            if tokio::time::timeout(TELL_WITHIN, session).await.is_err() {
                warn!(dyno.id = %self.id, "Whoever was attached to a dyno did not hear how it ended");
            }
        }
        self.drain().await;
        let was_asked_to = matches!(self.state, DynoState::Stopping { .. });
        let is_formation = wanted.is_none_or(|dyno| matches!(dyno.kind, DynoKind::Formation));
        let never_ran = exit.is_none() && wanted.is_none_or(Dyno::is_stopping);
        let exit = if never_ran {
            None
        } else {
            let reason = self.tell_end(exit);
            let log_tail = if is_formation || was_asked_to {
                Vec::new()
            } else {
                self.tail().await
            };
            if !is_formation {
                let before = if was_asked_to {
                    "up"
                } else {
                    self.state.as_str()
                };
                self.note(format!("State changed from {before} to complete"));
            }
            Some(Exit { reason, log_tail })
        };
        self.set(DynoState::Stopped {
            at: Timestamp::now(),
            exit,
        });
        Next::LookAgain
    }

    fn tell_end(&self, exit: Option<ContainerExit>) -> ExitReason {
        match exit {
            Some(exit) => {
                if exit.oom {
                    self.note("Error R15 (Memory quota vastly exceeded)");
                    self.note("Stopping process with SIGKILL");
                }
                self.note(format!("Process exited with status {}", exit.status));
                if exit.oom {
                    ExitReason::OutOfMemory
                } else {
                    ExitReason::Exited {
                        status: exit.status,
                    }
                }
            }
            None => {
                let message = "its container was removed by somebody else".to_owned();
                self.note(format!("Process is gone: {message}"));
                ExitReason::LaunchFailed { message }
            }
        }
    }

    /// Removes the container, and all that the dyno wrote.
    pub(super) async fn remove(&mut self) -> Next {
        self.drain().await;
        self.session = None;
        if let Err(error) = self.shared.runtime.remove(&self.container).await {
            return self.engine_failed(&error);
        }
        if let Err(error) = remove_dir(self.dir()).await {
            warn!(%error, dyno.id = %self.id, "Could not remove what a dyno wrote; the sweep will");
        }
        self.follower = None;
        self.slug = None;
        self.was_killed = false;
        self.shared.quotas.forget(self.id);
        Next::LookAgain
    }

    pub(super) async fn forget(&mut self) -> Next {
        self.shared.statuses.forget(self.app, self.id);
        if let Err(error) = remove_dir(self.dir()).await {
            warn!(%error, dyno.id = %self.id, "Could not remove a dyno's directory; the sweep will");
        }
        Next::End
    }

    /// All that a container which has ended wrote is in the log before anything is said of its end.
    async fn drain(&mut self) {
        if self.follower.is_none()
            && let Ok(Some(info)) = self.shared.runtime.inspect(&self.container).await
            && !matches!(info.state, runtime::ContainerState::Created)
        {
            self.follow_log(&info);
        }
        if let Some(follower) = &mut self.follower {
            follower.drain(DRAIN_WITHIN).await;
        }
    }

    /// The last lines it wrote.
    async fn tail(&self) -> Vec<String> {
        let lines = async {
            let is_kept = self
                .shared
                .runtime
                .inspect(&self.container)
                .await?
                .is_some_and(|info| !info.labels.contains_key(label::ATTACHED));
            if !is_kept {
                return Ok(Vec::new());
            }
            let lines = self
                .shared
                .runtime
                .logs(&self.container, LogQuery::last(MAX_TAIL_LINES))
                .await?;
            Ok::<_, RuntimeError>(
                lines
                    .filter_map(async |line| Some(shown(&line.ok()?.bytes)))
                    .collect()
                    .await,
            )
        };
        match tokio::time::timeout(TAIL_WITHIN, lines).await {
            Ok(Ok(lines)) => lines,
            Ok(Err(error)) => {
                warn!(error = &error as &dyn std::error::Error, dyno.id = %self.id, "Could not read a dyno's last lines");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    fn engine_failed(&self, error: &RuntimeError) -> Next {
        error!(error = error as &dyn std::error::Error, dyno.id = %self.id, "The container engine did not do as asked; will retry");
        Next::retry()
    }
}

fn shown(line: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(line).into_owned();
    if text.len() > MAX_TAIL_LINE_BYTES {
        let mut end = MAX_TAIL_LINE_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}
