//! The agent's loop: one keeper for each dyno that is placed here, or that something is left of.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use controller_api::LogSink;
use futures::StreamExt as _;
use model::{Dyno, DynoId};
use runtime::{ContainerId, ContainerSummary, Runtime};
use store::{Follower, Keyring, Store, blob::BlobStore};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::config::Config;
use super::health::{self, Health};
use super::inside::{self, Insides};
use super::keeper::{Beginning, Keeper, Shared, dynos_dir, remove_dir};
use super::launch::{container_name, label, own_labels};
use super::network::{self, Readiness};
use super::presence::{Looking, be_present};
use super::quota::Quotas;
use super::slugs::{self, SlugCache};
use super::status::Statuses;
use super::view::{NodeView, followed};

const SWEEP_EVERY: Duration = Duration::from_secs(30);
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long statuses and log positions may take on the way out.
const LAST_WORDS: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("the agent's directory {} could not be used", dir.display())]
    Files {
        dir: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// What the agent works with.
pub(super) struct Means {
    pub config: Config,
    pub store: Arc<dyn Store>,
    pub keyring: Keyring,
    pub blobs: BlobStore,
    pub runtime: Arc<dyn Runtime>,
    pub logs: LogSink,
}

pub(super) async fn run(means: Means, shutdown: CancellationToken) -> Result<(), AgentError> {
    let Means {
        config,
        store,
        keyring,
        blobs,
        runtime,
        logs,
    } = means;
    let dynos = dynos_dir(&config);
    fs_err::create_dir_all(&dynos).map_err(|source| AgentError::Files { dir: dynos, source })?;
    let limits = slugs::Limits {
        cache_bytes: config.slug_cache_bytes,
        slug_bytes: config.max_slug_bytes,
        owner: config.slug_owner,
    };
    let dir = config.data_dir.join("slugs");
    let slugs = SlugCache::open(dir.clone(), blobs, &limits)
        .map_err(|source| AgentError::Files { dir, source })?;
    let (readiness, ready) = watch::channel(Readiness::NotYet);
    let (peers, peers_seen) = watch::channel(BTreeSet::new());
    let shared = Arc::new(Shared {
        statuses: Statuses::new(config.node_id, Arc::clone(&store)),
        config,
        store,
        keyring,
        runtime,
        slugs,
        quotas: Quotas::default(),
        logs,
        readiness: ready,
        followers: TaskTracker::new(),
        insides: Insides::default(),
        shutdown: shutdown.clone(),
    });
    info!(node.id = %shared.config.node_id, node.name = %shared.config.name, "The node agent begins");
    let (deaths, deaths_seen) = mpsc::channel(256);
    let (listings, listings_seen) = mpsc::channel(1);
    let (looking, looked) = mpsc::channel(1);
    let (health, health_seen) = watch::channel(Health::Ill { better_since: None });
    let background = async {
        tokio::join!(
            shared.statuses.run(),
            shared
                .quotas
                .run(Arc::clone(&shared.runtime), shared.logs.clone()),
            network::keep(
                &shared.config,
                Arc::clone(&shared.runtime),
                peers_seen,
                readiness
            ),
            health::watch(&shared.config, Arc::clone(&shared.runtime), health),
            watch_deaths(&shared, deaths),
            list_containers(&shared, listings),
        )
    };
    let supervisor = Supervisor {
        view: NodeView::new(shared.config.node_id),
        has_snapshot: false,
        keepers: BTreeMap::new(),
        tasks: JoinSet::new(),
        ids: HashMap::new(),
        peers,
        looking: Some(looking),
        shared: Arc::clone(&shared),
    };
    let work = async {
        tokio::select! {
            () = supervisor.run(deaths_seen, listings_seen) => {}
            _ = background => {}
        }
    };
    tokio::join!(
        work,
        be_present(&shared, looked, health_seen),
        inside::attend(&shared)
    );
    // The keepers are gone; containers run on. What was said is written, where logs stand is kept.
    shared.followers.close();
    let last_words = async {
        shared.statuses.write_all().await;
        shared.followers.wait().await;
    };
    if tokio::time::timeout(LAST_WORDS, last_words).await.is_err() {
        warn!("Left before everything was written down");
    }
    Ok(())
}

/// Tells whose container has ended; `None` when some may have been missed.
async fn watch_deaths(shared: &Shared, deaths: mpsc::Sender<Option<DynoId>>) {
    let labels = own_labels(&shared.config);
    loop {
        match shared.runtime.events(&labels).await {
            Ok(mut events) => {
                let _ = deaths.send(None).await;
                while let Some(Ok(event)) = events.next().await {
                    if let Some(dyno) = event
                        .labels
                        .get(label::DYNO)
                        .and_then(|text| text.parse().ok())
                    {
                        let _ = deaths.send(Some(dyno)).await;
                    }
                }
                warn!("Lost sight of the container engine; will look again");
            }
            Err(error) => {
                error!(
                    error = &error as &dyn std::error::Error,
                    "Could not watch containers; will retry"
                );
            }
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn list_containers(shared: &Shared, listings: mpsc::Sender<Vec<ContainerSummary>>) {
    let labels = own_labels(&shared.config);
    let mut every = tokio::time::interval(SWEEP_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        match shared.runtime.list(&labels).await {
            Ok(found) => drop(listings.send(found).await),
            Err(error) => error!(
                error = &error as &dyn std::error::Error,
                "Could not list containers; will retry"
            ),
        }
    }
}

struct Supervisor {
    shared: Arc<Shared>,
    view: NodeView,
    /// Nothing is known before, and so nothing is stopped.
    has_snapshot: bool,
    keepers: BTreeMap<DynoId, Kept>,
    tasks: JoinSet<DynoId>,
    ids: HashMap<Id, DynoId>,
    peers: watch::Sender<BTreeSet<IpAddr>>,
    /// For the keepers of the first snapshot's dynos.
    looking: Option<Looking>,
}

struct Kept {
    wanted: watch::Sender<Option<Arc<Dyno>>>,
    nudge: Arc<Notify>,
}

impl Supervisor {
    async fn run(
        mut self,
        mut deaths: mpsc::Receiver<Option<DynoId>>,
        mut listings: mpsc::Receiver<Vec<ContainerSummary>>,
    ) {
        let mut follower = Follower::new(Arc::clone(&self.shared.store), followed());
        let shutdown = self.shared.shutdown.clone();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                update = follower.next() => {
                    if self.view.apply(update) {
                        self.has_snapshot = true;
                        self.shared.statuses.compare(&self.view.statuses, &self.view.dyno_ids());
                    }
                    self.sync();
                    if self.has_snapshot {
                        self.looking = None;
                    }
                }
                Some(death) = deaths.recv() => self.nudge(death),
                Some(found) = listings.recv(), if self.has_snapshot => self.sweep(&found).await,
                Some(ended) = self.tasks.join_next_with_id() => self.bury(ended),
            }
        }
    }

    /// Tells every keeper what is wanted of its dyno.
    fn sync(&mut self) {
        let dynos: Vec<_> = self.view.dynos.values().cloned().collect();
        for dyno in dynos {
            match self.keepers.get(&dyno.id) {
                Some(kept) => tell(kept, Some(&dyno)),
                None => self.keep(&dyno),
            }
        }
        for (_, kept) in self
            .keepers
            .iter()
            .filter(|(id, _)| !self.view.dynos.contains_key(id))
        {
            tell(kept, None);
        }
        for (id, (status, _)) in &self.view.statuses {
            if !self.view.dynos.contains_key(id) && !self.keepers.contains_key(id) {
                self.shared.statuses.forget(status.app, *id);
            }
        }
        let peers: BTreeSet<_> = self.view.peers.values().copied().collect();
        self.peers.send_if_modified(|now| {
            let changes = *now != peers;
            *now = peers;
            changes
        });
    }

    fn keep(&mut self, dyno: &Arc<Dyno>) {
        let status = self.view.statuses.get(&dyno.id).map(|(status, revision)| {
            self.shared.statuses.take_over(status.clone(), *revision);
            status.clone()
        });
        let beginning = Beginning {
            dyno: dyno.id,
            app: dyno.app,
            process: dyno.name.to_string(),
            container: ContainerId::from_name(container_name(dyno)),
            status,
            looking: self.looking.clone(),
        };
        self.spawn(beginning, Some(Arc::clone(dyno)));
    }

    fn spawn(&mut self, beginning: Beginning, wanted: Option<Arc<Dyno>>) {
        let (id, nudge) = (beginning.dyno, Arc::new(Notify::new()));
        let (sender, receiver) = watch::channel(wanted);
        let keeper = Keeper::new(
            Arc::clone(&self.shared),
            beginning,
            receiver,
            Arc::clone(&nudge),
        );
        let task = self.tasks.spawn(keeper.run());
        self.ids.insert(task.id(), id);
        self.keepers.insert(
            id,
            Kept {
                wanted: sender,
                nudge,
            },
        );
    }

    fn nudge(&self, death: Option<DynoId>) {
        match death {
            Some(dyno) => self
                .keepers
                .get(&dyno)
                .into_iter()
                .for_each(|kept| kept.nudge.notify_one()),
            None => self
                .keepers
                .values()
                .for_each(|kept| kept.nudge.notify_one()),
        }
    }

    fn bury(&mut self, ended: Result<(Id, DynoId), tokio::task::JoinError>) {
        let task = match &ended {
            Ok((task, _)) => *task,
            Err(error) => {
                error!(
                    error = error as &dyn std::error::Error,
                    "A keeper ended in a panic; another takes its place"
                );
                error.id()
            }
        };
        if let Some(dyno) = self.ids.remove(&task) {
            self.keepers.remove(&dyno);
        }
        // A record may have come (back) while the keeper ended.
        self.sync();
    }

    /// Finds what is left of dynos that nobody keeps.
    async fn sweep(&mut self, found: &[ContainerSummary]) {
        for container in found {
            let parsed = |name| container.labels.get(name);
            let Some(dyno) = parsed(label::DYNO).and_then(|text| text.parse().ok()) else {
                continue;
            };
            let Some(app) = parsed(label::APP).and_then(|text| text.parse().ok()) else {
                continue;
            };
            if !self.keepers.contains_key(&dyno) {
                info!(container.name, dyno.id = %dyno, "Finds a container whose dyno is gone");
                let process = parsed(label::DYNO_NAME)
                    .cloned()
                    .unwrap_or_else(|| "dyno".to_owned());
                let beginning = Beginning {
                    dyno,
                    app,
                    process,
                    container: container.id.clone(),
                    status: None,
                    looking: None,
                };
                self.spawn(beginning, None);
            }
        }
        let Ok(entries) = fs_err::read_dir(dynos_dir(&self.shared.config)) else {
            return;
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let dyno = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.parse().ok());
            if dyno.is_none_or(|dyno| !self.keepers.contains_key(&dyno)) {
                info!(path = %path.display(), "Removes what a dyno left behind");
                if let Err(error) = remove_dir(path).await {
                    warn!(%error, "Could not remove what a dyno left behind; will retry");
                }
            }
        }
    }
}

fn tell(kept: &Kept, dyno: Option<&Arc<Dyno>>) {
    kept.wanted.send_if_modified(|wanted| {
        let changes = wanted.as_ref() != dyno;
        if changes {
            *wanted = dyno.cloned();
        }
        changes
    });
}
