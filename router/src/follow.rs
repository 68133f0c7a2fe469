//! From the store to the workers and back: follows routes and services, publishes tables, acknowledges them.
//!
//! **What an acknowledgement means.** A worker is one thread, and it picks a backend in one step: read its table, pick,
//! count the request in flight. So once a worker has taken a new table into use, no pick from an older one can still
//! be under way on it. `applied` moves to a revision when *every* worker has taken a table of that revision or a later
//! one; from then on a removed dyno gets nothing new, and whatever it still got before is counted in `draining`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use model::{DynoId, Revision, RouterAbout, RouterId, RouterReport, Timestamp};
use store::{Entry, Follower, Key, Presence, Store, Update, key};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::certificate_records::CertificateRecords;
use crate::disk::{Change, Mirror, SYNC_AFTER};
use crate::metrics::Metrics;
use crate::records::Records;
use crate::table::Table;
use crate::tcp::{Desk, Ports, TRY_AGAIN_AFTER};

/// How long a starting router waits for the store before it serves by what it kept on disk. Connections wait meanwhile.
const WAIT_FOR_STORE: Duration = Duration::from_secs(2);
const MAX_MERGED: usize = 256;

/// What the one who follows the store is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    Everything,
    /// The services that are known stay known: those that leave come back at the same addresses.
    KeepServices,
    /// And records on disk are another process's from now on.
    NotTheDisk,
    Nothing,
}

/// A table on its way to the workers.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) generation: u64,
    pub(crate) table: Arc<Table>,
}

/// Which generation each worker has taken into use.
#[derive(Debug)]
pub(crate) struct Acks {
    workers: Box<[AtomicU64]>,
    changed: Notify,
}

impl Acks {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            changed: Notify::new(),
        }
    }

    /// A worker that is gone stays so.
    pub(crate) fn adopted(&self, worker: usize, generation: u64) {
        self.workers[worker].fetch_max(generation, Ordering::SeqCst);
        self.changed.notify_one();
    }

    /// The worker takes no requests any more: it holds nothing up.
    pub(crate) fn gone(&self, worker: usize) {
        self.adopted(worker, u64::MAX);
    }

    fn in_force(&self) -> u64 {
        self.workers
            .iter()
            .map(|worker| worker.load(Ordering::SeqCst))
            .min()
            .unwrap_or(0)
    }

    fn are_all_gone(&self) -> bool {
        self.in_force() == u64::MAX
    }
}

pub(crate) struct Follow {
    pub(crate) id: RouterId,
    pub(crate) about: RouterAbout,
    /// Fires when another process takes over, or the router stops.
    pub(crate) leave: CancellationToken,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tcp: Desk,
    pub(crate) ports: Arc<Ports>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) records: Records,
    /// `None`: there is no TLS.
    pub(crate) certificates: Option<CertificateRecords>,
    pub(crate) mirror: Mirror,
    pub(crate) publish: watch::Sender<Option<Published>>,
    pub(crate) acks: Arc<Acks>,
}

impl Follow {
    /// Until nothing is asked any more, or no worker takes requests any more.
    pub(crate) async fn run(self, mut duty: watch::Receiver<Duty>) {
        let Self {
            id,
            about,
            leave,
            metrics,
            tcp,
            ports,
            store,
            records,
            certificates,
            mirror,
            publish,
            acks,
        } = self;
        let drained = records.drained();
        let begun = Instant::now();
        let started_at = Timestamp::now();
        let report = RouterReport {
            id,
            applied: 0,
            certificates: 0,
            draining: Default::default(),
            started_at,
            about,
        };
        // First known, then serving: a scheduler that does not yet know of this router would not wait for it.
        let presence = Presence::start(
            store.clone(),
            &key::ALIVE_ROUTERS,
            key::alive_router(id),
            report,
            store::presence::TTL,
        );
        let known = is_known(&*store, id, started_at);
        let give_up = begun + WAIT_FOR_STORE;
        tokio::select! {
            _ = duty.wait_for(|duty| *duty == Duty::Nothing) => {}
            known = timeout_at(give_up, known) => if known.is_err() { warn!("The store does not answer yet") },
        }

        let [routes_key, services_key] = [key::ROUTES.prefix(), key::ALIVE_SERVICES.prefix()];
        let mut routes = Follower::new(store.clone(), vec![routes_key.clone()]);
        let mut services = Follower::new(store.clone(), vec![services_key.clone()]);
        let mut tls = Follower::new(store.clone(), vec![key::tls()]);
        let mut tcp_routes = Follower::new(store, vec![key::TCP_ROUTES.prefix()]);
        let mut state = State {
            records,
            has_certificates: certificates.is_none(),
            certificates,
            certificates_seen: 0,
            certificates_told: 0,
            mirror: Some(mirror),
            syncing: None,
            publish,
            acks: acks.clone(),
            presence,
            generation: 0,
            seen: None,
            has_services: false,
            history: VecDeque::new(),
            applied: 0,
            draining: BTreeSet::new(),
            metrics,
            tcp,
            ports,
            has_tcp_routes: false,
            closed_ports: BTreeMap::new(),
            is_leaving: false,
        };
        let mut sync_at: Option<Instant> = None;
        let mut try_ports_at = begun + TRY_AGAIN_AFTER;
        loop {
            let asked = *duty.borrow_and_update();
            match asked {
                Duty::Everything | Duty::KeepServices => {}
                Duty::NotTheDisk => state.give_up_disk().await,
                Duty::Nothing => break,
            }
            if acks.are_all_gone() {
                break;
            }
            let waiting = state.generation == 0;
            tokio::select! {
                changed = duty.changed() => if changed.is_err() { break },
                update = tls.next(), if state.certificates.is_some() => {
                    state.take_certificates(&mut tls, update).await;
                }
                update = routes.next() => state.take(&mut routes, &routes_key, update).await,
                update = services.next() => {
                    if *duty.borrow() == Duty::Everything {
                        state.take(&mut services, &services_key, update).await;
                    }
                }
                update = tcp_routes.next(), if !state.is_leaving => state.take_tcp_routes(update).await,
                () = sleep_until(try_ports_at), if state.tcp.has_closed() => {
                    try_ports_at = Instant::now() + TRY_AGAIN_AFTER;
                    state.tcp.settle();
                }
                () = acks.changed.notified() => {}
                () = drained.notified() => {}
                () = leave.cancelled(), if !state.is_leaving => state.leave(),
                () = ended(&mut state.syncing), if state.syncing.is_some() => state.syncing = None,
                () = sleep_until(give_up), if waiting => state.fall_back(&routes_key, &services_key).await,
                () = sleep_until(sync_at.unwrap_or(begun)), if sync_at.is_some() => {
                    sync_at = None;
                    state.begin_sync();
                }
            }
            state.settle();
            // One at a time.
            if sync_at.is_none()
                && state.syncing.is_none()
                && state.mirror.as_ref().is_some_and(Mirror::needs_sync)
            {
                sync_at = Some(Instant::now() + SYNC_AFTER);
            }
        }
        state.sync().await;
        state.presence.stop().await;
    }
}

/// An authority that asks just when the store is away will ask again.
fn is_kept(key: &Key) -> bool {
    !key::CHALLENGES.holds(key)
}

/// Returns when it is over, or there is none.
async fn ended(syncing: &mut Option<JoinHandle<()>>) {
    if let Some(syncing) = syncing
        && let Err(error) = syncing.await
    {
        warn!(
            error = &error as &dyn std::error::Error,
            "Kept records may not be on the disk"
        );
    }
}

/// Returns when the router's own record is in the store.
async fn is_known(store: &dyn Store, id: RouterId, started_at: Timestamp) {
    loop {
        let record = key::ALIVE_ROUTERS.get(store, &key::alive_router(id)).await;
        if record
            .is_ok_and(|record| record.is_some_and(|record| record.value.started_at == started_at))
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

struct State {
    records: Records,
    certificates: Option<CertificateRecords>,
    has_certificates: bool,
    /// The newest revision whose certificates are in use.
    certificates_seen: Revision,
    certificates_told: Revision,
    /// Elsewhere while it is written to; `None` for good once the records on disk are another's.
    mirror: Option<Mirror>,
    /// Beside everything else: the disk may take long, and routes do not wait for it.
    syncing: Option<JoinHandle<()>>,
    publish: watch::Sender<Option<Published>>,
    acks: Arc<Acks>,
    presence: Presence<RouterReport>,
    generation: u64,
    /// The newest revision whose routes the records hold.
    seen: Option<Revision>,
    has_services: bool,
    /// Published but not yet in force everywhere, oldest first. Keeps old tables alive, so that no worker has to free one.
    history: VecDeque<(Option<Revision>, Published)>,
    applied: Revision,
    draining: BTreeSet<DynoId>,
    metrics: Arc<Metrics>,
    tcp: Desk,
    ports: Arc<Ports>,
    has_tcp_routes: bool,
    /// As they are on record.
    closed_ports: BTreeMap<u16, String>,
    is_leaving: bool,
}

impl State {
    /// Says so: what this router has is all it will have.
    fn leave(&mut self) {
        self.is_leaving = true;
        self.presence.update(|report| report.about.leaving = true);
    }

    /// `update` and whatever else is there already, so that a burst of changes makes one table.
    async fn take(&mut self, follower: &mut Follower, prefix: &Key, update: Update) {
        let is_routes = *prefix == key::ROUTES.prefix();
        let (mut changes, mut is_new) = (Vec::new(), false);
        let mut next = Some(update);
        while let Some(update) = next {
            match update {
                Update::Snapshot { revision, entries } => {
                    self.records.replace(prefix, &entries);
                    if is_routes {
                        self.go_back_to(revision);
                        self.seen = Some(revision);
                    } else {
                        self.has_services = true;
                    }
                    changes.push(Change::Replace {
                        prefix: prefix.clone(),
                        entries,
                    });
                    is_new = true;
                }
                Update::Changes { revision, events } => {
                    if is_routes && !events.is_empty() {
                        self.seen = Some(revision);
                    }
                    is_new |= !events.is_empty();
                    for event in events {
                        self.records.apply(&event);
                        changes.push(Change::Apply(event));
                    }
                }
            }
            next = if changes.len() < MAX_MERGED {
                follower.next().now_or_never()
            } else {
                None
            };
        }
        if is_new {
            self.publish_if_complete();
        }
        if !changes.is_empty() {
            self.with_mirror(move |mirror| mirror.keep(changes)).await;
        }
    }

    /// The same for certificates. No worker need take them into use: all look at one place when hands are shaken.
    async fn take_certificates(&mut self, follower: &mut Follower, update: Update) {
        let Some(certificates) = &mut self.certificates else {
            return;
        };
        let mut changes = Vec::new();
        let mut next = Some(update);
        let mut seen = self.certificates_seen;
        while let Some(update) = next {
            match update {
                Update::Snapshot { revision, entries } => {
                    certificates.replace(&entries);
                    seen = revision;
                    changes.push(Change::Replace {
                        prefix: key::tls(),
                        entries: entries.into_iter().filter(|e| is_kept(&e.key)).collect(),
                    });
                }
                Update::Changes { events, .. } if events.is_empty() => {}
                Update::Changes { revision, events } => {
                    seen = seen.max(revision);
                    for event in events {
                        certificates.apply(&event);
                        changes.push(Change::Apply(event));
                    }
                }
            }
            next = if changes.len() < MAX_MERGED {
                follower.next().now_or_never()
            } else {
                None
            };
        }
        if !changes.is_empty() {
            certificates.publish();
        }
        self.certificates_seen = seen;
        self.has_certificates = true;
        if self.generation == 0 {
            self.publish_if_complete();
        }
        changes.retain(|change| match change {
            Change::Apply(event) => is_kept(event.key()),
            Change::Replace { .. } => true,
        });
        if !changes.is_empty() {
            self.with_mirror(move |mirror| mirror.keep(changes)).await;
        }
    }

    /// The first table waits until all is there that connections are served by.
    fn publish_if_complete(&mut self) {
        let is_complete = self.seen.is_some() && self.has_services && self.has_certificates;
        if self.generation > 0 || is_complete {
            self.publish();
        }
    }

    /// The ports are open, or known not to be, before the change is on the disk: nothing waits for an acknowledgement.
    async fn take_tcp_routes(&mut self, update: Update) {
        let changes = match update {
            Update::Snapshot { entries, .. } => {
                self.tcp.replace(&entries);
                self.has_tcp_routes = true;
                let prefix = key::TCP_ROUTES.prefix();
                vec![Change::Replace { prefix, entries }]
            }
            Update::Changes { events, .. } => {
                for event in &events {
                    self.tcp.apply(event);
                }
                events.into_iter().map(Change::Apply).collect()
            }
        };
        if changes.is_empty() {
            return;
        }
        self.tcp.settle();
        self.with_mirror(move |mirror| mirror.keep(changes)).await;
    }

    /// A store that was restored from a backup counts its revisions from there again: what was applied before says nothing
    /// about those to come, which would pass for applied.
    fn go_back_to(&mut self, revision: Revision) {
        if self.seen.is_some_and(|seen| seen > revision) {
            self.applied = 0;
            for (seen, _) in &mut self.history {
                *seen = None;
            }
        }
    }

    /// The store is away: what it has not told is taken from the disk.
    async fn fall_back(&mut self, routes: &Key, services: &Key) {
        for (prefix, is_told) in [(routes, self.seen.is_some()), (services, self.has_services)] {
            if !is_told {
                let entries = self.load(prefix.clone()).await;
                info!(%prefix, records = entries.len(), "Serving by the records kept on disk until the store answers");
                self.records.replace(prefix, &entries);
            }
        }
        if !self.has_certificates {
            let entries = self.load(key::tls()).await;
            if let Some(certificates) = &mut self.certificates {
                certificates.replace(&entries);
                certificates.publish();
            }
        }
        if !self.has_tcp_routes && !self.is_leaving {
            let entries = self.load(key::TCP_ROUTES.prefix()).await;
            self.tcp.replace(&entries);
            self.tcp.settle();
        }
        self.publish();
    }

    fn publish(&mut self) {
        self.generation += 1;
        let published = Published {
            generation: self.generation,
            table: self.records.build(),
        };
        self.history.push_back((self.seen, published.clone()));
        self.publish.send_replace(Some(published));
    }

    /// Reports what has come into force, and what has drained, if that is news.
    fn settle(&mut self) {
        let in_force = self.acks.in_force();
        let mut applied = self.applied;
        // The newest stays: its table is in use.
        while self.history.len() > 1 && self.history[1].1.generation <= in_force {
            self.history.pop_front();
        }
        if let Some((Some(revision), published)) = self.history.front()
            && published.generation <= in_force
        {
            applied = applied.max(*revision);
        }
        let closed = self.ports.closed();
        if closed != self.closed_ports {
            self.closed_ports.clone_from(&closed);
            self.presence
                .update(|report| report.about.closed_ports = closed);
        }
        let draining = self.records.draining();
        let is_news = self.certificates_seen != self.certificates_told;
        if applied != self.applied || is_news || !draining.keys().eq(self.draining.iter()) {
            self.applied = applied;
            self.metrics.set_applied(applied);
            let certificates = self.certificates_seen;
            self.certificates_told = certificates;
            self.draining = draining.keys().copied().collect();
            self.presence.update(|report| {
                report.applied = applied;
                report.certificates = certificates;
                report.draining = draining;
            });
        }
    }

    async fn load(&mut self, prefix: Key) -> Vec<Entry> {
        let mut entries = Vec::new();
        let Some(mirror) = self.mirror.take() else {
            return entries;
        };
        if let Ok((mirror, loaded)) = tokio::task::spawn_blocking(move || {
            let loaded = mirror.load(&prefix);
            (mirror, loaded)
        })
        .await
        {
            self.mirror = Some(mirror);
            entries = loaded;
        }
        entries
    }

    async fn give_up_disk(&mut self) {
        self.sync().await;
        self.mirror = None;
    }

    fn begin_sync(&mut self) {
        if let Some(mirror) = &mut self.mirror {
            let unsynced = mirror.unsynced();
            self.syncing = Some(tokio::task::spawn_blocking(move || unsynced.sync()));
        }
    }

    /// Returns when the disk has all of it.
    async fn sync(&mut self) {
        ended(&mut self.syncing).await;
        self.begin_sync();
        ended(&mut self.syncing).await;
        self.syncing = None;
    }

    async fn with_mirror(&mut self, act: impl FnOnce(&mut Mirror) + Send + 'static) {
        let Some(mut mirror) = self.mirror.take() else {
            return;
        };
        let acted = tokio::task::spawn_blocking(move || {
            act(&mut mirror);
            mirror
        });
        match acted.await {
            Ok(mirror) => self.mirror = Some(mirror),
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "Records are not kept on disk any more"
            ),
        }
    }
}
