//! The life of a server: from its start to its end, or until another process has taken over.
//!
//! The roles end one after the other. Services first: a build that drains must not cost the node its place. Then the
//! node, whose dynos run on. The router drains all the while.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use controller_api::LogSink;
use model::{HostRole, ServiceRole};
use router::RouterHandle;
use sd_notify::NotifyState;
use store::Keyring;
use store::blob::BlobStore;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::handover::{Predecessor, Successor};
use crate::roles::{self, Common, Roles, Stop};
use crate::sockets::Sockets;
use crate::storage::{self, OpenStore};
use crate::{discovery, identity, platform_certificate};

/// After the signal to stop. A builder gives its builds half a minute.
const SERVICES_WITHIN: Duration = Duration::from_secs(45);
const NODE_WITHIN: Duration = Duration::from_secs(15);
/// For requests that are left when the host's last process has ended, or is to end.
const CUT_AFTER: Duration = Duration::from_secs(10);
/// How long the next process does not decide on releases because requests may be left at the one before.
const ALONE_AFTER: Duration = Duration::from_secs(60);
/// How often another process is tried when the first that was to take over has failed.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_secs(2);

/// Runs the configured roles until a signal, until one of them fails, or until another process has taken over.
pub(crate) fn run(config: Config, take_over: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("paasd")
        .build()?;
    let ended = runtime.block_on(async { Server::start(config, take_over).await?.serve().await });
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// What goes on beside the roles, as long as this process has the store.
struct Upkeep {
    discovery: JoinHandle<()>,
    renewal: JoinHandle<()>,
    store: JoinHandle<()>,
    certificate: JoinHandle<()>,
}

impl Upkeep {
    fn end(&self) {
        for task in [
            &self.discovery,
            &self.renewal,
            &self.store,
            &self.certificate,
        ] {
            task.abort();
        }
    }
}

/// Log lines on their way to the controllers.
struct Delivery {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Delivery {
    async fn end(self) {
        self.stop.cancel();
        let _ = timeout(Duration::from_secs(6), self.task).await;
    }
}

struct Server {
    signals: Signals,
    hang_up: Signal,
    /// Where this program was started from; what lies there by then is what takes over.
    program: PathBuf,
    store: OpenStore,
    sockets: Arc<Sockets>,
    turn: u32,
    stop: Stop,
    roles: Roles,
    upkeep: Upkeep,
    delivery: Delivery,
    predecessor: Option<Arc<Predecessor>>,
    alone: CancellationToken,
}

/// Why a server's roles are to stop.
enum End {
    Stop,
    Failure(anyhow::Error),
    HandOver(Box<Successor>),
}

impl Server {
    async fn start(config: Config, take_over: bool) -> anyhow::Result<Self> {
        let (signals, hang_up) = (Signals::listen()?, signal(SignalKind::hangup())?);
        let program = std::env::current_exe().context("could not find this program's own file")?;
        let (predecessor, sockets) = if take_over {
            let (predecessor, sockets) = Predecessor::meet().await?;
            (Some(predecessor), sockets)
        } else {
            (None, Sockets::default())
        };
        fs_err::create_dir_all(&config.data_dir)?;
        let keyring = Keyring::load_or_create(&config.data_dir.join("master.key"))?;
        let blobs = BlobStore::open(&storage::blob_config(&config))?;
        let turn = match &predecessor {
            Some(predecessor) => {
                // Whatever fails here, the one that runs goes on.
                roles::rehearse(&config, &keyring, &sockets).await?;
                predecessor.take_over().await?.wrapping_add(1)
            }
            None => 0,
        };
        let opened = storage::open_store(&config).await?;
        storage::refuse_unready(&*opened.store).await?;
        let tls = identity::ensure(&config, &*opened.store, &keyring).await?;

        let (found, controllers) = watch::channel(Vec::new());
        let (logs, deliver) = LogSink::new(
            controllers,
            keyring.internal_token().clone(),
            Some(tls.client(ServiceRole::Controller)?),
        );
        let stop_logs = CancellationToken::new();
        let delivery = Delivery {
            task: tokio::spawn(deliver.run(stop_logs.clone())),
            stop: stop_logs,
        };
        let sockets = Arc::new(sockets);
        let alone = CancellationToken::new();
        // With the embedded store, the process before cannot report what it still has under way.
        let may_schedule = if opened.is_embedded() {
            alone.clone()
        } else {
            let already = CancellationToken::new();
            already.cancel();
            already
        };
        let common = Common {
            node: identity::node_id(&config.data_dir)?,
            store: opened.store.clone(),
            blobs,
            keyring,
            tls,
            logs,
            sockets: sockets.clone(),
            turn,
            may_schedule,
            stop: Stop::default(),
            config,
        };
        let upkeep = Upkeep {
            discovery: tokio::spawn(discovery::follow_controllers(opened.store.clone(), found)),
            renewal: tokio::spawn(identity::keep_renewed(
                common.config.clone(),
                common.tls.clone(),
                opened.clone(),
                common.keyring.clone(),
                common.stop.services.clone(),
            )),
            store: tokio::spawn(keep_store(&common, opened.clone())),
            certificate: tokio::spawn(platform_certificate::keep_published(
                common.config.clone(),
                opened.store.clone(),
                common.keyring.clone(),
            )),
        };

        let mut roles = Roles::default();
        roles::start(&common, &mut roles).await?;
        if let Some(router) = &mut roles.router {
            router.serving().await?;
        }
        write_pid(&common.config.data_dir)?;
        let predecessor = predecessor.map(Arc::new);
        match predecessor.clone() {
            Some(predecessor) => {
                let alone = alone.clone();
                tokio::spawn(async move {
                    let serving = timeout(ALONE_AFTER, predecessor.drained());
                    if serving.await.is_err() {
                        warn!("Requests may be left at the process before; going on without it");
                    }
                    alone.cancel();
                });
            }
            None => {
                alone.cancel();
                notify(&[NotifyState::Ready]);
            }
        }
        info!(version = env!("CARGO_PKG_VERSION"), roles = ?common.config.roles, turn, "paasd is up");
        Ok(Self {
            signals,
            hang_up,
            program,
            store: opened,
            sockets,
            turn,
            stop: common.stop,
            roles,
            upkeep,
            delivery,
            predecessor,
            alone,
        })
    }

    async fn serve(mut self) -> anyhow::Result<()> {
        match self.supervise().await {
            End::Stop => {
                self.stop().await;
                Ok(())
            }
            End::Failure(error) => {
                self.stop().await;
                Err(error)
            }
            End::HandOver(successor) => self.hand_over(successor).await,
        }
    }

    /// Until there is a reason to stop.
    async fn supervise(&mut self) -> End {
        let mut successor: Option<JoinHandle<anyhow::Result<Successor>>> = None;
        loop {
            let Roles {
                services,
                node,
                router,
            } = &mut self.roles;
            tokio::select! {
                signal = self.signals.stop() => {
                    info!("Stopping: {signal}");
                    return End::Stop;
                }
                Some(ended) = services.join_next() => return End::Failure(failure(ended)),
                Some(ended) = node.join_next() => return End::Failure(failure(ended)),
                () = router_failed(router) => return End::Failure(anyhow!("the router role failed")),
                _ = self.hang_up.recv() => {
                    if successor.is_none() {
                        info!(program = %self.program.display(), "Starting the process that is to take over");
                        let (program, sockets) = (self.program.clone(), self.sockets.clone());
                        let (predecessor, alone) = (self.predecessor.clone(), self.alone.clone());
                        successor = Some(tokio::spawn(async move {
                            alone.cancelled().await;
                            Successor::start(&program, &sockets, predecessor.as_deref()).await
                        }));
                    }
                }
                started = joined(&mut successor) => {
                    successor = None;
                    match started {
                        Ok(successor) => return End::HandOver(Box::new(successor)),
                        Err(error) => error!("Nothing has changed: what was to take over is not able to: {error:#}"),
                    }
                }
            }
        }
    }

    /// Gives all roles time to drain. A second signal cuts that short.
    async fn stop(mut self) {
        notify(&[NotifyState::Stopping]);
        self.sockets.close();
        let router = self.roles.router.take();
        let draining = async {
            self.stop.router.cancel();
            let router = async {
                if let Some(router) = router {
                    log_failure(router.join().await.context("the router role failed"));
                }
            };
            tokio::join!(router, stop_tasks(&self.stop, &mut self.roles));
        };
        tokio::select! {
            () = draining => {}
            _ = self.signals.stop() => warn!("Leaving at once: second signal"),
        }
        self.delivery.end().await;
        self.upkeep.end();
        self.store.close().await;
        info!("paasd has stopped");
    }

    /// Everything but open connections goes to the successor; those stay here until they end.
    async fn hand_over(mut self, mut successor: Box<Successor>) -> anyhow::Result<()> {
        info!(successor = successor.pid(), "Handing over");
        notify(&[NotifyState::Reloading]);
        // Who is known stays known: the next are at the same addresses.
        self.upkeep.end();
        if let Some(router) = &self.roles.router {
            router.keep_services();
        }
        let is_stopped = tokio::select! {
            () = stop_tasks(&self.stop, &mut self.roles) => false,
            _ = self.signals.stop() => true,
        };
        if is_stopped {
            info!("Stopping instead");
            successor.kill().await;
            self.stop().await;
            return Ok(());
        }
        if let Some(router) = &mut self.roles.router {
            router.give_up_disk();
            if self.store.is_embedded() {
                router.leave_store().await;
            }
        }
        if self.store.is_embedded() {
            self.store.close().await;
        }
        let next = Next {
            program: &self.program,
            sockets: &self.sockets,
            predecessor: self.predecessor.as_deref(),
            turn: self.turn,
        };
        let succeeded = tokio::select! {
            succeeded = next.succeed(&mut successor) => Some(succeeded),
            _ = self.signals.stop() => None,
        };
        match succeeded {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                self.stop().await;
                return Err(error);
            }
            None => {
                info!("Stopping instead");
                successor.tell_to_stop();
                self.stop().await;
                return Ok(());
            }
        }
        if let Some(pid) = successor.pid() {
            notify(&[NotifyState::MainPid(pid), NotifyState::Ready]);
        }
        info!(
            successor = successor.pid(),
            "Handed over; connections end here"
        );
        self.sockets.close();
        match self.roles.router.take() {
            Some(router) => self.see_off(router, &successor).await,
            None => successor.say_drained().await,
        }
        self.delivery.end().await;
        info!("paasd has left the host to its successor");
        Ok(())
    }

    /// Until the router's last connection has ended, or the host's last process.
    async fn see_off(&mut self, mut router: RouterHandle, successor: &Successor) {
        let stop = self.stop.router.clone();
        let leaving = async {
            router.hand_over().await;
            successor.say_drained().await;
            log_failure(router.join().await.context("the router role failed"));
        };
        let mut leaving = std::pin::pin!(leaving);
        tokio::select! {
            () = &mut leaving => return,
            () = successor.gone() => {}
            _ = self.signals.stop() => {}
        }
        stop.cancel();
        if timeout(CUT_AFTER, leaving).await.is_err() {
            warn!("Not all requests have ended in time; leaving");
        }
    }
}

/// What a successor is started with.
struct Next<'a> {
    program: &'a Path,
    sockets: &'a Sockets,
    predecessor: Option<&'a Predecessor>,
    turn: u32,
}

impl Next<'_> {
    /// Until one that was started serves. Requests are still answered here meanwhile.
    async fn succeed(&self, successor: &mut Successor) -> anyhow::Result<()> {
        let mut tries = 1;
        while let Err(error) = successor.succeed(self.turn).await {
            error!("What was to take over has failed: {error:#}");
            successor.kill().await;
            loop {
                if tries == TRIES {
                    return Err(error.context("nothing could take over"));
                }
                tries += 1;
                sleep(BETWEEN_TRIES).await;
                match Successor::start(self.program, self.sockets, self.predecessor).await {
                    Ok(next) => {
                        *successor = next;
                        break;
                    }
                    Err(error) => error!("What was to take over is not able to: {error:#}"),
                }
            }
        }
        Ok(())
    }
}

/// Whole at any moment, for whoever wants to send a signal.
fn write_pid(data_dir: &Path) -> std::io::Result<()> {
    let (file, new) = (data_dir.join("paasd.pid"), data_dir.join("paasd.pid.new"));
    fs_err::write(&new, format!("{}\n", std::process::id()))?;
    fs_err::rename(new, file)
}

/// Looks after the store in turns with other controllers.
fn keep_store(common: &Common, store: OpenStore) -> impl Future<Output = ()> + use<> {
    let is_controller = common.config.has(HostRole::Controller);
    let (candidate, stop) = (common.node.to_string(), common.stop.services.clone());
    async move {
        if is_controller {
            store.upkeep(candidate, stop).await;
        }
    }
}

/// Services first, then the node; each within a time.
async fn stop_tasks(stop: &Stop, roles: &mut Roles) {
    for (token, tasks, within) in [
        (&stop.services, &mut roles.services, SERVICES_WITHIN),
        (&stop.node, &mut roles.node, NODE_WITHIN),
    ] {
        token.cancel();
        let ended = timeout(within, async {
            while let Some(ended) = tasks.join_next().await {
                log_failure(failure_of(ended));
            }
        });
        if ended.await.is_err() {
            warn!("Not all roles have drained in time; going on without them");
            tasks.shutdown().await;
        }
    }
}

async fn router_failed(router: &mut Option<RouterHandle>) {
    match router {
        Some(router) => router.failed().await,
        None => std::future::pending().await,
    }
}

async fn joined<T>(task: &mut Option<JoinHandle<anyhow::Result<T>>>) -> anyhow::Result<T> {
    match task {
        Some(task) => task.await?,
        None => std::future::pending().await,
    }
}

type Ended = Result<(HostRole, anyhow::Result<()>), tokio::task::JoinError>;

/// A role that ends by itself has failed, whatever it says.
fn failure(role: Ended) -> anyhow::Error {
    failure_of(role)
        .err()
        .unwrap_or_else(|| anyhow!("a role ended without being told to"))
}

fn failure_of(role: Ended) -> anyhow::Result<()> {
    let (role, result) = role.context("a role panicked")?;
    result.with_context(|| format!("the {role} role failed"))
}

fn log_failure(ended: anyhow::Result<()>) {
    if let Err(error) = ended {
        error!("{error:#}");
    }
}

/// Tells systemd, where that runs us.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(
            error = &error as &dyn std::error::Error,
            "Could not tell systemd"
        );
    }
}
