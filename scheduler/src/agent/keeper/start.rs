//! Launching: from a record to a running container.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::dyno::Attach;
use model::dyno_status::crash_backoff;
use model::{Dyno, DynoKind, DynoState, Exit, ExitReason, Timestamp};
use runtime::{ContainerId, ContainerSpec, RuntimeError};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use super::super::attach::{self, Met, Process, Session};
use super::super::decide::later;
use super::super::launch::{self, Dirs, Inputs, InputsError, terminal_size};
use super::super::network::{Readiness, chain};
use super::super::slugs::SlugCacheError;
use super::{Keeper, Next, remove_dir};

/// How long a launch waits for the dynos' network to be made.
const NETWORK_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error(transparent)]
    Inputs(#[from] InputsError),
    #[error(transparent)]
    Slug(#[from] SlugCacheError),
    #[error("the image {image} is not on this node; make the stack images first")]
    NoImage { image: String },
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("the dyno's directory could not be made")]
    Files(#[source] std::io::Error),
    #[error("the dynos' network is not ready: {0}")]
    Network(String),
    #[error("Error R13 (Attach error) -> Failed to attach to process")]
    NobodyAttached,
}

impl LaunchError {
    /// Whether it says nothing about the app: tried again without a word.
    const fn is_passing(&self) -> bool {
        matches!(self, Self::Inputs(InputsError::Store(_)))
    }
}

impl Keeper {
    pub(super) async fn launch(&mut self, dyno: &Dyno, restarts: u32, leftover: bool) -> Next {
        let since = match self.state {
            DynoState::Starting { since } => since,
            _ => {
                self.note(format!(
                    "State changed from {} to starting",
                    self.state.as_str()
                ));
                Timestamp::now()
            }
        };
        self.restarts = restarts;
        self.set(DynoState::Starting { since });
        let mut wanted = self.wanted.clone();
        let outcome = tokio::select! {
            outcome = self.try_launch(dyno, leftover) => outcome,
            // What was begun is found by the next look.
            _ = wanted.wait_for(|wanted| wanted.as_ref().is_none_or(|dyno| dyno.is_stopping())) => {
                return Next::LookAgain;
            }
        };
        match outcome {
            Ok(()) => Next::LookAgain,
            Err(error) if error.is_passing() => {
                warn!(error = &error as &dyn std::error::Error, dyno.id = %self.id, "Could not launch a dyno yet; will retry");
                Next::retry()
            }
            Err(error) => self.launch_failed(dyno, &error),
        }
    }

    fn launch_failed(&mut self, dyno: &Dyno, error: &LaunchError) -> Next {
        let message = chain(error);
        error!(dyno.id = %self.id, dyno.name = %dyno.name, app.name = %dyno.app_name, reason = message, "Could not launch a dyno");
        if matches!(error, LaunchError::NobodyAttached) {
            self.note(message.clone());
        } else {
            self.note(format!("Could not start: {message}"));
        }
        let exit = Exit {
            reason: ExitReason::LaunchFailed { message },
            log_tail: Vec::new(),
        };
        let now = Timestamp::now();
        if matches!(dyno.kind, DynoKind::Formation) {
            self.note("State changed from starting to crashed");
            self.set(DynoState::Crashed {
                at: now,
                exit,
                retry_at: later(now, crash_backoff(self.restarts)),
            });
        } else {
            self.set(DynoState::Stopped {
                at: now,
                exit: Some(exit),
            });
        }
        Next::LookAgain
    }

    async fn try_launch(&mut self, dyno: &Dyno, leftover: bool) -> Result<(), LaunchError> {
        let begun = Instant::now();
        self.await_network().await?;
        let inputs = self.inputs(dyno).await?;
        let attach = match &dyno.kind {
            DynoKind::OneOff(one_off) => one_off.attach.clone(),
            DynoKind::Formation | DynoKind::ReleasePhase => None,
        };
        match attach {
            None => {
                let (_, container) = self.make(dyno, &inputs, leftover).await?;
                self.shared.runtime.start(&container).await?;
            }
            Some(attach) => {
                self.launch_attached(dyno, &inputs, &attach, leftover)
                    .await?
            }
        }
        info!(dyno.id = %self.id, dyno.name = %dyno.name, app.name = %dyno.app_name, release.version = %dyno.release,
            duration_ms = begun.elapsed().as_millis() as u64, "Started a dyno");
        Ok(())
    }

    async fn launch_attached(
        &mut self,
        dyno: &Dyno,
        inputs: &Inputs,
        attach: &Attach,
        leftover: bool,
    ) -> Result<(), LaunchError> {
        let shared = Arc::clone(&self.shared);
        let meeting = async {
            let proof = shared.proof();
            let meeting = attach::meet(&shared.store, &proof, attach);
            let met = tokio::time::timeout(shared.config.attach_within, meeting).await;
            met.map_err(|_| LaunchError::NobodyAttached)
        };
        let (met, made) = tokio::join!(meeting, self.make(dyno, inputs, leftover));
        let met = met?;
        let started = async {
            let (spec, container) = made?;
            let streams = shared.runtime.attach(&container).await?;
            shared.runtime.start(&container).await?;
            if attach.tty {
                // Engines before API 1.42 take no size at creation.
                let resized = shared
                    .runtime
                    .resize(&container, terminal_size(attach.columns, attach.lines))
                    .await;
                if let Err(error) = resized {
                    warn!(error = &error as &dyn std::error::Error, dyno.id = %self.id, "Could not size a terminal");
                }
            }
            drop(spec);
            Ok((container, streams))
        };
        match started.await {
            Ok((container, streams)) => {
                self.converse(met, container, streams, attach.tty);
                Ok(())
            }
            Err(error) => {
                attach::refuse(met, chain(&error)).await;
                Err(error)
            }
        }
    }

    fn converse(
        &mut self,
        met: Met,
        container: ContainerId,
        streams: runtime::Attached,
        tty: bool,
    ) {
        let session = Session {
            runtime: Arc::clone(&self.shared.runtime),
            process: Process::Container(container),
            met,
            streams,
            tty,
        };
        let nudge = Arc::clone(&self.nudge);
        self.session = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let end = session.pump(std::future::pending()).await;
            nudge.notify_one();
            end
        })));
    }

    /// A container that is ready to be started, with a fresh file system.
    async fn make(
        &mut self,
        dyno: &Dyno,
        inputs: &Inputs,
        leftover: bool,
    ) -> Result<(ContainerSpec, ContainerId), LaunchError> {
        let lease = self.shared.slugs.get(&inputs.slug).await?;
        let runtime = &self.shared.runtime;
        if leftover {
            runtime.remove(&self.container).await?;
        }
        let dir = self.dir();
        let dirs = Dirs {
            slug: lease.path(),
            upper: dir.join("fs/upper"),
            work: dir.join("fs/work"),
        };
        fresh(&dirs, self.shared.config.slug_owner)
            .await
            .map_err(LaunchError::Files)?;
        self.slug = Some(lease);
        let spec = launch::container(&self.shared.config, dyno, inputs, &dirs);
        let container = match runtime.create(&spec).await {
            Err(RuntimeError::NotFound { .. }) => {
                return Err(LaunchError::NoImage { image: spec.image });
            }
            other => other?,
        };
        let by = match &dyno.kind {
            DynoKind::OneOff(one_off) => format!(" by user {}", one_off.requested_by.email),
            DynoKind::Formation | DynoKind::ReleasePhase => String::new(),
        };
        self.note(format!(
            "Starting process with command `{}`{by}",
            dyno.command
        ));
        Ok((spec, container))
    }

    async fn inputs(&mut self, dyno: &Dyno) -> Result<Arc<Inputs>, InputsError> {
        if let Some(inputs) = &self.inputs
            && inputs.release.version == dyno.release
        {
            return Ok(Arc::clone(inputs));
        }
        let inputs = Arc::new(Inputs::load(&self.shared.store, &self.shared.keyring, dyno).await?);
        self.inputs = Some(Arc::clone(&inputs));
        Ok(inputs)
    }

    async fn await_network(&self) -> Result<(), LaunchError> {
        let mut readiness = self.shared.readiness.clone();
        let ready = readiness.wait_for(|now| *now == Readiness::Ready);
        let is_ready = matches!(tokio::time::timeout(NETWORK_WITHIN, ready).await, Ok(Ok(_)));
        if is_ready {
            return Ok(());
        }
        Err(LaunchError::Network(
            match &*self.shared.readiness.borrow() {
                Readiness::Failed(reason) => reason.clone(),
                Readiness::NotYet | Readiness::Ready => "it takes too long".to_owned(),
            },
        ))
    }
}

/// Empty directories for what the dyno writes.
async fn fresh(dirs: &Dirs, owner: Option<(u32, u32)>) -> std::io::Result<()> {
    if let Some(parent) = dirs.upper.parent() {
        remove_dir(parent.to_owned()).await?;
    }
    for dir in [&dirs.upper, &dirs.work] {
        fs_err::tokio::create_dir_all(dir).await?;
    }
    if let Some((uid, gid)) = owner {
        // The root of the merged tree takes its owner from here.
        std::os::unix::fs::chown(&dirs.upper, Some(uid), Some(gid))?;
    }
    Ok(())
}
