//! A container engine that runs nothing, for tests: containers are tasks that do as a script says.
//!
//! A container that listens does so on a loopback address of its own, so connections to it are real. The engine outlives
//! whoever uses it, as Docker outlives the platform: drop the agent, keep the `Arc<Fake>`, start another agent.

mod container;
mod engine;
mod exec;
mod pack;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use model::Timestamp;
use tokio::sync::{broadcast, watch};

use crate::{
    ContainerEvent, ContainerExit, ContainerId, ContainerSpec, ContainerState, NetworkInfo,
    RuntimeLogLine, Signal, StdStream,
};
use container::Container;

pub use exec::FakeExec;
pub use pack::{PackedFile, pack_slug};

/// What a container does once it is started.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// Accepts TCP connections on this port, after a while; answers each with a small HTTP response.
    pub listens: Option<(u16, Duration)>,
    /// Listens on this port where nobody outside reaches it.
    pub listens_on_loopback: Option<u16>,
    /// Ends by itself.
    pub exits: Option<(Duration, i64)>,
    /// Runs on after any signal but SIGKILL.
    pub ignores_signals: bool,
    /// Lines it writes when it starts.
    pub prints: Vec<String>,
    /// Sends back what comes in, and ends with status 0 at the end of the input.
    pub echoes: bool,
    /// Cannot be started, for this reason.
    pub fails_to_start: Option<String>,
}

impl Behaviour {
    /// A web process that binds its port at once.
    pub fn web(port: u16) -> Self {
        Self {
            listens: Some((port, Duration::ZERO)),
            ..Self::default()
        }
    }

    pub fn crash(status: i64) -> Self {
        Self {
            exits: Some((Duration::ZERO, status)),
            ..Self::default()
        }
    }
}

/// A call that can be made to hang or fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    Create,
    Start,
    Inspect,
    List,
    Signal,
    Kill,
    Remove,
    Logs,
    Attach,
    Exec,
}

type Script = Box<dyn Fn(&ContainerSpec) -> Behaviour + Send + Sync>;

/// The engine. Cheap to clone; clones are the same engine.
#[derive(Clone)]
pub struct Fake {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Counts changes, for whoever waits for one.
    version: watch::Sender<u64>,
    deaths: broadcast::Sender<ContainerEvent>,
}

struct State {
    script: Script,
    /// `None`: every image is there.
    images: Option<BTreeSet<String>>,
    containers: BTreeMap<ContainerId, Container>,
    networks: BTreeMap<String, NetworkInfo>,
    hung: BTreeSet<Call>,
    failing: BTreeMap<Call, String>,
    calls: Vec<(Call, String)>,
    made: u64,
    /// How long a hung call takes to fail.
    deadline: Duration,
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl Default for Fake {
    fn default() -> Self {
        Self::new()
    }
}

impl Fake {
    /// Containers of it print nothing and run until they are told to stop.
    pub fn new() -> Self {
        let state = State {
            script: Box::new(|_| Behaviour::default()),
            images: None,
            containers: BTreeMap::new(),
            networks: BTreeMap::new(),
            hung: BTreeSet::new(),
            failing: BTreeMap::new(),
            calls: Vec::new(),
            made: 0,
            deadline: Duration::from_millis(200),
        };
        let shared = Shared {
            state: Mutex::new(state),
            version: watch::Sender::new(0),
            deaths: broadcast::Sender::new(1024),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Decides what containers started from now on do.
    pub fn script(&self, script: impl Fn(&ContainerSpec) -> Behaviour + Send + Sync + 'static) {
        self.lock().script = Box::new(script);
    }

    /// Only these images are there.
    pub fn only_images(&self, images: &[&str]) {
        self.lock().images = Some(images.iter().map(|image| (*image).to_owned()).collect());
    }

    /// Calls of this kind time out, until [`Fake::heal`].
    pub fn hang(&self, call: Call) {
        self.lock().hung.insert(call);
    }

    /// Calls of this kind are refused, until [`Fake::heal`].
    pub fn fail(&self, call: Call, message: &str) {
        self.lock().failing.insert(call, message.to_owned());
    }

    pub fn heal(&self) {
        let mut state = self.lock();
        state.hung.clear();
        state.failing.clear();
    }

    /// All containers there are, in the order they were made.
    pub fn containers(&self) -> Vec<FakeContainer> {
        let state = self.lock();
        let mut all: Vec<_> = state.containers.values().map(Container::view).collect();
        all.sort_by_key(|container| container.serial);
        all
    }

    pub fn running(&self) -> Vec<FakeContainer> {
        self.containers()
            .into_iter()
            .filter(|container| container.state.is_running())
            .collect()
    }

    /// Every call made, with the name or id it was about.
    pub fn calls(&self) -> Vec<(Call, String)> {
        self.lock().calls.clone()
    }

    /// Ends a running container as if its process had.
    pub fn exit(&self, id: &ContainerId, exit: ContainerExit) {
        container::end(&self.shared, id, exit);
    }

    /// Makes a running container write a line.
    pub fn print(&self, id: &ContainerId, stream: StdStream, text: &str) {
        let line = RuntimeLogLine {
            at: self.tick(),
            stream,
            bytes: Bytes::from(text.to_owned()),
            cut: false,
        };
        if let Some(container) = self.lock().containers.get_mut(id) {
            container.lines.push(line);
        }
        self.shared.changed();
    }

    /// A container that somebody else, or an earlier agent, made and started.
    pub async fn run_stray(&self, spec: &ContainerSpec) -> ContainerId {
        use crate::Runtime as _;
        match self.create(spec).await {
            Ok(id) => {
                let _ = self.start(&id).await;
                id
            }
            Err(_) => ContainerId::new("none"),
        }
    }

    /// Now, but never the same twice: log lines are told apart by their time.
    fn tick(&self) -> Timestamp {
        let mut state = self.lock();
        let newest = state
            .containers
            .values()
            .filter_map(|c| c.lines.last())
            .map(|line| line.at)
            .max();
        state.made += 1;
        let now = Timestamp::now();
        match newest {
            Some(newest) if newest >= now => newest + Duration::from_nanos(1),
            _ => now,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Shared {
    /// The lock guards plain data and is never held across a wait.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }
}

/// A container as a test sees it.
#[derive(Debug, Clone)]
pub struct FakeContainer {
    pub serial: u64,
    pub id: ContainerId,
    pub spec: ContainerSpec,
    pub state: ContainerState,
    pub signals: Vec<Signal>,
}

/// Each container of each test process listens on its own loopback address.
fn next_address() -> IpAddr {
    static MADE: AtomicU32 = AtomicU32::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let serial = MADE.fetch_add(1, Ordering::Relaxed);
    let last = u8::try_from(serial % 254).unwrap_or(0) + 1;
    IpAddr::V4(Ipv4Addr::new(127, high | 1, low, last))
}
