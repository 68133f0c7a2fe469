//! A worker: one thread, one runtime, its own listeners, connections, table and pool. Workers hand nothing to each other.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use controller_api::LogSink;
use futures::future::join_all;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, futures::Notified, mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::accept;
use crate::admission::Admission;
use crate::alarm::Alarms;
use crate::buffer::Buffers;
use crate::coding::Coders;
use crate::follow::{Acks, Published};
use crate::handshakes::Handshakes;
use crate::http2::fields::FieldList;
use crate::metrics::{Metrics, WorkerCell};
use crate::pool::Pool;
use crate::table::Table;
use crate::tcp::{self, OpenPort, Resolver};
use crate::tls::Tls;
use crate::trace::Tracer;
use crate::{Config, Leaving, Timeouts};

/// What all workers have in common.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) admission: Arc<Admission>,
    pub(crate) log: LogSink,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) leaving: Leaving,
    pub(crate) metrics: Arc<Metrics>,
    /// Where traces are taken.
    pub(crate) tracer: Option<Tracer>,
}

/// One worker's own.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: usize,
    pub(crate) counters: Arc<WorkerCell>,
    table: RefCell<Arc<Table>>,
    table_changed: Notify,
    pub(crate) pool: Pool,
    /// Where a request's fields are while it is read.
    pub(crate) header_list: RefCell<FieldList>,
    pub(crate) handshakes: Handshakes,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) alarms: Rc<Alarms>,
    pub(crate) coders: Coders,
    /// The second, since 1970, and how a `Date` field has it.
    date: RefCell<(u64, String)>,
    pub(crate) connections: TaskTracker,
    pub(crate) tunnels: TaskTracker,
    /// Whoever accepts connections of TCP routes, and those connections.
    pub(crate) listening: TaskTracker,
    pub(crate) streams: TaskTracker,
    pub(crate) resolver: Resolver,
    /// This worker's own, so that asking it is nobody else's business.
    leave: CancellationToken,
    closes_idle: Cell<bool>,
    is_closing: Cell<bool>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

/// What a worker's thread is started with.
pub(crate) struct Seat {
    pub(crate) index: usize,
    pub(crate) http: Vec<StdListener>,
    pub(crate) https: Vec<StdListener>,
    pub(crate) published: watch::Receiver<Option<Published>>,
    /// Ports of TCP routes.
    pub(crate) ports: watch::Receiver<Vec<OpenPort>>,
    pub(crate) acks: Arc<Acks>,
    /// Told when the worker takes connections.
    pub(crate) begin_accepting: mpsc::Sender<()>,
    /// Dropped when it has none left that has a request.
    pub(crate) is_busy: mpsc::Sender<Infallible>,
}

const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Often enough that being late is a small part of any deadline.
fn look_every(timeouts: &Timeouts) -> Duration {
    (timeouts.idle.min(timeouts.first_byte) / 4)
        .clamp(Duration::from_millis(20), Duration::from_millis(250))
}

impl Worker {
    fn new(shared: Arc<Shared>, index: usize) -> Rc<Self> {
        let timeouts = shared.config.timeouts;
        let counters = shared.metrics.worker(index);
        let resolver = Resolver::new(shared.config.tcp.name_servers.clone());
        let buffers = Buffers::counted(counters.buffers.clone());
        let leave = shared.leaving.leave.child_token();
        Rc::new(Self {
            pool: Pool::new(timeouts.backend_keep_alive, buffers.clone()),
            buffers,
            alarms: Alarms::new(look_every(&timeouts)),
            date: RefCell::default(),
            coders: Coders::default(),
            handshakes: Handshakes::new(shared.config.connections.handshakes),
            shared,
            index,
            counters,
            table: RefCell::default(),
            table_changed: Notify::new(),
            header_list: RefCell::default(),
            connections: TaskTracker::new(),
            tunnels: TaskTracker::new(),
            listening: TaskTracker::new(),
            streams: TaskTracker::new(),
            resolver,
            leave,
            closes_idle: Cell::new(false),
            is_closing: Cell::new(false),
        })
    }

    /// The table in use. It must not be held across an await.
    pub(crate) fn table(&self) -> std::cell::Ref<'_, Table> {
        std::cell::Ref::map(self.table.borrow(), |table| &**table)
    }

    pub(crate) fn table_changed(&self) -> Notified<'_> {
        self.table_changed.notified()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    /// Whether no connection is to be kept for a further request.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leave.is_cancelled()
    }

    /// Whether connections between two requests are closed.
    pub(crate) fn closes_idle(&self) -> bool {
        self.closes_idle.get()
    }

    /// `now` as a `Date` field has it.
    pub(crate) fn with_date<R>(&self, now: SystemTime, with: impl FnOnce(&str) -> R) -> R {
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        let second = since.map_or(0, |since| since.as_secs());
        let mut date = self.date.borrow_mut();
        if date.0 != second || date.1.is_empty() {
            *date = (second, httpdate::fmt_http_date(now));
        }
        with(&date.1)
    }

    /// Takes every new table into use, and says so.
    async fn adopt(
        self: Rc<Self>,
        index: usize,
        mut published: watch::Receiver<Option<Published>>,
        acks: Arc<Acks>,
    ) {
        loop {
            let newest = published.borrow_and_update().clone();
            if let Some(Published { generation, table }) = newest {
                // From this line on no request of this worker is routed by an older table.
                self.table.replace(table);
                self.pool.forget_removed();
                self.table_changed.notify_waiters();
                acks.adopted(index, generation);
            }
            if published.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends what is idle: bodies that do not move, connections that nobody needs.
    async fn tidy(self: Rc<Self>) {
        let mut every = tokio::time::interval(self.alarms.every());
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut swept = Instant::now();
        loop {
            every.tick().await;
            let now = Instant::now();
            self.alarms.look(now);
            if now.duration_since(swept) >= SWEEP_EVERY {
                swept = now;
                self.pool.sweep(now);
            }
        }
    }

    /// Tells connections that are between two requests to end.
    async fn part(self: Rc<Self>) {
        self.shared.leaving.close_idle.cancelled().await;
        self.closes_idle.set(true);
        self.alarms.wake_all();
    }

    async fn run(self: Rc<Self>, seat: Seat) -> io::Result<()> {
        let Seat {
            index,
            http,
            https,
            mut published,
            ports,
            acks,
            begin_accepting,
            is_busy,
        } = seat;
        let Leaving {
            leave, shutdown, ..
        } = self.shared.leaving.clone();
        // Who connects meanwhile waits in the kernel: without a table every answer would be wrong.
        tokio::select! {
            () = leave.cancelled() => return Ok(()),
            known = published.wait_for(Option::is_some) => if known.is_err() { return Ok(()) },
        }
        let tasks = TaskTracker::new();
        tasks.spawn_local(self.clone().adopt(index, published, acks.clone()));
        tasks.spawn_local(self.clone().tidy());
        tasks.spawn_local(self.clone().part());
        self.listening.spawn_local(tcp::attend(self.clone(), ports));
        let mut accepting = Vec::new();
        for (listeners, is_https) in [(http, false), (https, true)] {
            for listener in listeners {
                accepting.push(accept::accept(
                    self.clone(),
                    accept::Listener::new(listener)?,
                    is_https,
                ));
            }
        }
        // There is room for each worker's.
        let _ = begin_accepting.try_send(());
        // Each ends when this router leaves.
        join_all(accepting).await;
        leave.cancelled().await;
        self.listening.close();
        self.listening.wait().await;
        self.drain().await;
        if !shutdown.is_cancelled() {
            // Handed over. Requests are another's now, and nobody need wait for this worker to learn of a removed dyno.
            acks.gone(index);
            drop(is_busy);
            self.outlive(&shutdown).await;
        }
        if !self.connections.is_empty() {
            warn!(
                connections = self.connections.len(),
                "Cut connections that did not end in time"
            );
        }
        if !self.tunnels.is_empty() {
            info!(tunnels = self.tunnels.len(), "Closing upgraded connections");
        }
        if !self.streams.is_empty() {
            info!(
                connections = self.streams.len(),
                "Closing connections of TCP routes"
            );
        }
        self.is_closing.set(true);
        Ok(())
    }
}

impl Worker {
    /// Until every connection has ended, or has had the time for it.
    async fn drain(&self) {
        let Leaving { close_idle, .. } = &self.shared.leaving;
        self.connections.close();
        let limit = async {
            close_idle.cancelled().await;
            sleep(self.shared.config.timeouts.drain).await;
        };
        self.streams.close();
        let all = async {
            self.connections.wait().await;
            // Where another process takes over they may stay, and nobody waits for them.
            if self.shared.leaving.shutdown.is_cancelled() {
                self.streams.wait().await;
            }
        };
        tokio::select! {
            () = all => {}
            () = limit => {}
        }
    }

    /// What lasts long may go on beside the process that has taken over.
    async fn outlive(&self, shutdown: &CancellationToken) {
        self.tunnels.close();
        let all = async {
            self.connections.wait().await;
            self.tunnels.wait().await;
            self.streams.wait().await;
        };
        tokio::select! {
            () = all => {}
            () = sleep(self.shared.config.timeouts.stay_after_hand_over) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

/// A worker's thread, from beginning to end.
pub(crate) fn run(shared: Arc<Shared>, seat: Seat) -> io::Result<()> {
    let (index, acks) = (seat.index, seat.acks.clone());
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let worker = Worker::new(shared, index);
    let ended = runtime.block_on(worker.clone().run(seat));
    // Whatever still runs is dropped with the runtime, and says its last words through the worker.
    drop(runtime);
    acks.gone(index);
    ended
}
