//! One dyno's keeper: look, decide, take one step, look again.
//!
//! It alone touches the dyno's container, so its steps never race each other. What it remembers between steps is what was
//! last said of the dyno and what it may need again without a store; everything else is looked up.

mod end;
mod start;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use controller_api::LogSink;
use model::{AppId, Dyno, DynoId, DynoState, DynoStatus, Timestamp};
use runtime::{ContainerId, ContainerInfo, ContainerState, Runtime};
use store::{Keyring, Store};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::error;

use super::attach::{End, Proof};
use super::config::Config;
use super::decide::{Action, Found, Times, View, decide};
use super::inside::Insides;
use super::launch::{Inputs, label};
use super::log_follow::{LogFollower, Source};
use super::network::Readiness;
use super::presence::Looking;
use super::probe;
use super::quota::{Quotas, Watched};
use super::slugs::{SlugCache, SlugLease};
use super::status::Statuses;

/// Looks at least this often, should every event have been missed.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// After the engine did not do what it was asked.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What all keepers of a node share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub config: Config,
    pub store: Arc<dyn Store>,
    pub keyring: Keyring,
    pub runtime: Arc<dyn Runtime>,
    pub slugs: Arc<SlugCache>,
    pub statuses: Statuses,
    pub quotas: Quotas,
    pub logs: LogSink,
    pub readiness: watch::Receiver<Readiness>,
    /// Log followers outlive their keepers by the moment it takes to keep their position.
    pub followers: TaskTracker,
    pub insides: Insides,
    pub shutdown: CancellationToken,
}

impl Shared {
    pub(crate) fn proof(&self) -> Proof {
        Proof {
            token: self.keyring.internal_token().clone(),
            tls: self.config.controller_tls.clone(),
        }
    }
}

/// What a keeper begins with.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub dyno: DynoId,
    pub app: AppId,
    /// `web.1`; for log lines.
    pub process: String,
    pub container: ContainerId,
    /// What an earlier agent said of it.
    pub status: Option<DynoStatus>,
    /// Let go once what was said of it is known to be so, or is corrected.
    pub looking: Option<Looking>,
}

#[derive(Debug)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    id: DynoId,
    app: AppId,
    process: String,
    /// Its name, which every attempt shares, or the id of a container whose record is gone.
    container: ContainerId,
    wanted: watch::Receiver<Option<Arc<Dyno>>>,
    nudge: Arc<Notify>,
    state: DynoState,
    restarts: u32,
    was_killed: bool,
    inputs: Option<Arc<Inputs>>,
    slug: Option<SlugLease>,
    follower: Option<LogFollower>,
    session: Option<AbortOnDropHandle<End>>,
    looking: Option<Looking>,
}

/// What to do after a step.
enum Next {
    LookAgain,
    /// Until something changes, or then.
    Rest(Option<Timestamp>),
    End,
}

impl Next {
    fn retry() -> Self {
        Self::Rest(Some(super::decide::later(Timestamp::now(), RETRY_AFTER)))
    }
}

impl Keeper {
    pub(crate) fn new(
        shared: Arc<Shared>,
        beginning: Beginning,
        wanted: watch::Receiver<Option<Arc<Dyno>>>,
        nudge: Arc<Notify>,
    ) -> Self {
        let (state, restarts) = beginning.status.map_or(
            (
                DynoState::Starting {
                    since: Timestamp::now(),
                },
                0,
            ),
            |status| (status.state, status.restarts),
        );
        Self {
            shared,
            id: beginning.dyno,
            app: beginning.app,
            process: beginning.process,
            container: beginning.container,
            wanted,
            nudge,
            state,
            restarts,
            was_killed: false,
            inputs: None,
            slug: None,
            follower: None,
            session: None,
            looking: beginning.looking,
        }
    }

    /// Until nothing is left of the dyno and nothing is wanted.
    pub(crate) async fn run(mut self) -> DynoId {
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            let next = match self.shared.runtime.inspect(&self.container).await {
                Ok(info) => self.step(wanted.as_deref(), info.as_ref()).await,
                Err(error) => {
                    error!(error = &error as &dyn std::error::Error, dyno.id = %self.id, "Could not look at a dyno; will retry");
                    Next::retry()
                }
            };
            match next {
                Next::LookAgain => {}
                Next::Rest(until) => self.rest(until).await,
                Next::End => return self.id,
            }
        }
    }

    async fn step(&mut self, wanted: Option<&Dyno>, info: Option<&ContainerInfo>) -> Next {
        let config = &self.shared.config;
        let view = View {
            wanted,
            found: found(info),
            state: &self.state,
            restarts: self.restarts,
            is_attached: self
                .session
                .as_ref()
                .is_some_and(|session| !session.is_finished()),
            was_killed: self.was_killed,
            times: Times {
                boot_timeout: config.boot_timeout,
                stop_grace: config.stop_grace,
            },
            now: Timestamp::now(),
        };
        let action = decide(&view);
        tracing::debug!(dyno.id = %self.id, dyno.name = %self.process, ?action, "Takes a step");
        if let Some(info) = info {
            self.adopt(wanted, info);
        }
        // All other steps change what is so, not what was said of it.
        if !matches!(
            action,
            Action::Crash { .. } | Action::Finish { .. } | Action::Adopt { .. }
        ) {
            self.looking = None;
        }
        match action {
            Action::Wait { until } => Next::Rest(until),
            Action::Forget => self.forget().await,
            Action::Remove => self.remove().await,
            Action::Terminate => self.terminate(wanted).await,
            Action::HangUp => self.hang_up().await,
            Action::Kill => self.kill().await,
            Action::Finish { exit } => self.finish(wanted, exit).await,
            Action::Crash {
                exit,
                restarts,
                retry_at,
            } => self.crash(exit, restarts, retry_at).await,
            Action::FailBoot => self.fail_boot().await,
            Action::Adopt { since } => {
                self.set(DynoState::Starting { since });
                Next::LookAgain
            }
            Action::Launch { restarts } => match wanted {
                Some(dyno) => self.launch(dyno, restarts, info.is_some()).await,
                None => Next::LookAgain,
            },
            Action::MarkUp => self.mark_up(wanted, info),
            Action::AwaitPort { until } => self.await_port(wanted, info, until).await,
        }
    }

    /// Sees to what a container of ours needs, whoever started it.
    fn adopt(&mut self, wanted: Option<&Dyno>, info: &ContainerInfo) {
        if self.slug.is_none()
            && let Some(checksum) = info
                .labels
                .get(label::SLUG)
                .and_then(|text| text.parse().ok())
        {
            self.slug = Some(self.shared.slugs.hold(&checksum));
        }
        if info.state.is_running() {
            self.follow_log(info);
        }
        if let (DynoState::Up { since, addr }, Some(dyno)) = (&self.state, wanted) {
            let (since, here) = (*since, self.address(dyno, info));
            if dyno.is_web() && here.is_some() && here != *addr {
                self.set(DynoState::Up { since, addr: here });
            }
            let watched = Watched {
                app: self.app,
                process: self.process.clone(),
                container: info.id.clone(),
                quota_bytes: dyno.size.memory_bytes(),
            };
            self.shared.quotas.watch(self.id, watched);
        }
    }

    fn follow_log(&mut self, info: &ContainerInfo) {
        let is_followed = self
            .follower
            .as_ref()
            .is_some_and(|follower| *follower.container() == info.id);
        if is_followed || info.labels.contains_key(label::ATTACHED) {
            return;
        }
        let source = Source {
            app: self.app,
            process: self.process.clone(),
            container: info.id.clone(),
            position_file: self.dir().join("log.position"),
        };
        let shared = &self.shared;
        self.follower = Some(LogFollower::start(
            source,
            Arc::clone(&shared.runtime),
            shared.logs.clone(),
            shared.shutdown.child_token(),
            &shared.followers,
        ));
    }

    fn mark_up(&mut self, wanted: Option<&Dyno>, info: Option<&ContainerInfo>) -> Next {
        let addr = wanted
            .zip(info)
            .and_then(|(dyno, info)| self.address(dyno, info));
        self.note("State changed from starting to up");
        self.set(DynoState::Up {
            since: Timestamp::now(),
            addr,
        });
        Next::LookAgain
    }

    async fn await_port(
        &mut self,
        wanted: Option<&Dyno>,
        info: Option<&ContainerInfo>,
        until: Timestamp,
    ) -> Next {
        let Some(ip) = info.and_then(|info| info.ip) else {
            return Next::retry();
        };
        // Not the published address: the engine's proxy accepts there, whether or not anybody does inside.
        let addr = SocketAddr::new(ip, self.shared.config.port);
        let deadline = instant(until);
        let accepts = tokio::select! {
            accepts = probe::accepts(addr, deadline) => accepts,
            () = self.woken() => false,
        };
        if accepts {
            self.mark_up(wanted, info)
        } else {
            Next::LookAgain
        }
    }

    /// Where routers reach it: as the engine published it, else inside the host.
    fn address(&self, dyno: &Dyno, info: &ContainerInfo) -> Option<SocketAddr> {
        if !dyno.is_web() {
            return None;
        }
        let inside = |ip| SocketAddr::new(ip, self.shared.config.port);
        info.published.or_else(|| info.ip.map(inside))
    }

    async fn rest(&mut self, until: Option<Timestamp>) {
        // Spread, so that many keepers do not look at the same moment for ever.
        let spread = Duration::from_millis(u64::from(self.id.as_uuid().as_bytes()[15]) * 20);
        let latest = tokio::time::Instant::now() + LOOK_EVERY + spread;
        let deadline = until.map_or(latest, |until| instant(until).min(latest));
        tokio::select! {
            () = self.woken() => {}
            () = tokio::time::sleep_until(deadline) => {}
        }
    }

    /// Something changed.
    async fn woken(&mut self) {
        tokio::select! {
            // Its sender lives as long as the agent does.
            _ = self.wanted.changed() => {}
            () = self.nudge.notified() => {}
        }
    }

    /// Says how the dyno is. A dyno whose record is gone has nobody to tell.
    fn set(&mut self, state: DynoState) {
        if !matches!(state, DynoState::Starting { .. } | DynoState::Up { .. }) {
            self.shared.insides.end(self.id);
        }
        self.state = state;
        if self.wanted.borrow().is_some() {
            self.shared.statuses.say(DynoStatus {
                dyno: self.id,
                app: self.app,
                node: self.shared.config.node_id,
                state: self.state.clone(),
                restarts: self.restarts,
                updated_at: Timestamp::now(),
            });
        }
    }

    /// A line of the platform in the app's log.
    fn note(&self, text: impl Into<String>) {
        self.shared
            .logs
            .platform(self.app, self.process.clone(), text);
    }

    /// Where the dyno's files are: what it writes, and the position in its log.
    fn dir(&self) -> PathBuf {
        dyno_dir(&self.shared.config, self.id)
    }
}

pub(crate) fn dynos_dir(config: &Config) -> PathBuf {
    config.data_dir.join("dynos")
}

fn dyno_dir(config: &Config, dyno: DynoId) -> PathBuf {
    dynos_dir(config).join(dyno.to_string())
}

fn found(info: Option<&ContainerInfo>) -> Found {
    match info.map(|info| &info.state) {
        None => Found::Missing,
        Some(ContainerState::Created) => Found::Created,
        Some(ContainerState::Running { started_at }) => Found::Running {
            started_at: *started_at,
        },
        Some(ContainerState::Exited { exit, .. }) => Found::Exited { exit: *exit },
    }
}

fn instant(at: Timestamp) -> tokio::time::Instant {
    let left = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
    tokio::time::Instant::now() + left
}

/// Removes a directory, if it is there, off the async threads.
pub(crate) async fn remove_dir(path: PathBuf) -> std::io::Result<()> {
    tokio::task::spawn_blocking(move || match fs_err::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    })
    .await
    .map_err(std::io::Error::other)?
}
