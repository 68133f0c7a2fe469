//! Commands inside dynos that run: `paas run:inside`.
//!
//! Each is a record under a lease, which a controller writes and this node's agent takes. It runs while its user is there,
//! its dyno runs and the agent does. Docker would let it run on without any of them, so an agent begins by ending those that
//! one before it has left.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{ConfigVars, Dyno, DynoId, Inside, InsideId};
use runtime::{Attached, ContainerId, Exec, ExecSpec, RuntimeError, Signal};
use store::{Entry, Event, Follower, Presence, StoreError, Update, key, presence};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use super::attach::{self, DYNO_ENDED, End, Process, Session};
use super::environment::additions;
use super::keeper::Shared;
use super::launch::{self, container_name, own_labels, terminal_size};

/// Between SIGHUP and SIGKILL. An agent that leaves waits for it.
const HANG_UP_GRACE: Duration = Duration::from_secs(3);
const RETRY_AFTER: Duration = Duration::from_secs(2);
const AGENT_LEAVES: &str = "the dyno's host restarts its agent; try again in a moment";

/// Which dynos have commands inside, and how these hear of their dyno's end.
#[derive(Debug, Default)]
pub(crate) struct Insides {
    /// Guards a few lines; never held across an await.
    ends: Mutex<HashMap<DynoId, CancellationToken>>,
}

impl Insides {
    /// The dyno stops, or has ended.
    pub(crate) fn end(&self, dyno: DynoId) {
        if let Some(end) = self.lock().remove(&dyno) {
            end.cancel();
        }
    }

    fn end_of(&self, dyno: DynoId) -> CancellationToken {
        self.lock().entry(dyno).or_default().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<DynoId, CancellationToken>> {
        // Valid after every statement: a panic elsewhere spoils nothing.
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until the agent is told to leave, and all of them have ended.
pub(crate) async fn attend(shared: &Arc<Shared>) {
    let shutdown = shared.shutdown.clone();
    let mut sessions = JoinSet::new();
    let work = async {
        end_leftovers(shared).await;
        follow(shared, &mut sessions).await;
    };
    shutdown.run_until_cancelled(work).await;
    while sessions.join_next().await.is_some() {}
}

/// Takes what is asked for on this node.
async fn follow(shared: &Arc<Shared>, sessions: &mut JoinSet<()>) {
    let mut follower = Follower::new(Arc::clone(&shared.store), vec![key::INSIDE.prefix()]);
    let mut seen: HashSet<InsideId> = HashSet::new();
    loop {
        let update = tokio::select! {
            update = follower.next() => update,
            Some(ended) = sessions.join_next() => {
                if let Err(error) = ended {
                    error!(error = &error as &dyn std::error::Error, "A session inside a dyno ended in a panic");
                }
                continue;
            }
        };
        let asked: Vec<Inside> = match update {
            Update::Snapshot { entries, .. } => {
                let all: Vec<Inside> = entries.iter().filter_map(decode).collect();
                // Deletions may have been missed.
                seen.retain(|id| all.iter().any(|inside| inside.id == *id));
                all
            }
            Update::Changes { events, .. } => events
                .iter()
                .filter_map(|event| match event {
                    Event::Put(entry) => decode(entry),
                    Event::Delete { key, .. } => {
                        if let Ok(id) = key.name().parse::<InsideId>() {
                            seen.remove(&id);
                        }
                        None
                    }
                })
                .collect(),
        };
        for inside in asked {
            let is_ours = inside.node == shared.config.node_id && !inside.is_taken;
            if is_ours && seen.insert(inside.id) {
                sessions.spawn(take(Arc::clone(shared), inside));
            }
        }
    }
}

fn decode(entry: &Entry) -> Option<Inside> {
    match key::INSIDE.decode(entry) {
        Ok(inside) => Some(inside.value),
        Err(error) => {
            error!(error = &error as &dyn std::error::Error, "Skips a record");
            None
        }
    }
}

/// From its record to its end.
async fn take(shared: Arc<Shared>, inside: Inside) {
    let presence = Presence::start(
        Arc::clone(&shared.store),
        &key::INSIDE,
        key::inside(inside.app, inside.id),
        Inside {
            is_taken: true,
            ..inside.clone()
        },
        presence::TTL,
    );
    let proof = shared.proof();
    let meeting = attach::meet(&shared.store, &proof, &inside.attach);
    let meeting = timeout(shared.config.attach_within, meeting);
    match shared.shutdown.run_until_cancelled(meeting).await {
        Some(Ok(met)) => {
            let end = shared.insides.end_of(inside.dyno);
            match begin(&shared, &inside).await {
                Ok((exec, streams)) => {
                    let session = Session {
                        runtime: Arc::clone(&shared.runtime),
                        process: Process::Exec(exec.clone()),
                        met,
                        streams,
                        tty: inside.attach.tty,
                    };
                    converse(&shared, session, &exec, &end).await;
                }
                Err(error) => {
                    info!(error = &error as &dyn std::error::Error, dyno.id = %inside.dyno, "Could not run a command inside a dyno");
                    attach::refuse(met, super::network::chain(&error)).await;
                }
            }
        }
        Some(Err(_)) => shared.logs.platform(
            inside.app,
            inside.dyno_name.to_string(),
            "Error R13 (Attach error) -> Failed to attach to process",
        ),
        None => {
            debug!(dyno.id = %inside.dyno, "Left before somebody came to run a command inside a dyno")
        }
    }
    presence.stop().await;
}

async fn converse(shared: &Shared, session: Session, exec: &Exec, dyno_ends: &CancellationToken) {
    let halted = async {
        tokio::select! {
            () = dyno_ends.cancelled() => DYNO_ENDED,
            () = shared.shutdown.cancelled() => AGENT_LEAVES,
        }
    };
    match session.pump(halted).await {
        End::Exited => {}
        End::Disconnected | End::Halted => hang_up(shared, exec).await,
    }
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{DYNO_ENDED}")]
    DynoEnded,
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

async fn begin(shared: &Shared, inside: &Inside) -> Result<(Exec, Attached), Refusal> {
    let runtime = &shared.runtime;
    let dyno = key::DYNOS
        .get(&*shared.store, &key::dyno(inside.app, inside.dyno))
        .await?
        .map(|dyno| dyno.value)
        .filter(|dyno| is_here(shared, dyno))
        .ok_or(Refusal::DynoEnded)?;
    let container = runtime
        .inspect(&ContainerId::from_name(container_name(&dyno)))
        .await?
        .filter(|found| found.state.is_running())
        .ok_or(Refusal::DynoEnded)?;
    let given: ConfigVars = shared
        .keyring
        .open(&key::inside(inside.app, inside.id), &inside.env)?;
    let spec = ExecSpec {
        command: launch::inside(&inside.command),
        env: additions(&given),
        tty: inside.attach.tty,
    };
    let (exec, streams) = runtime.exec(&container.id, &spec).await?;
    if inside.attach.tty {
        let size = terminal_size(inside.attach.columns, inside.attach.lines);
        if let Err(error) = runtime.resize_exec(&exec, size).await {
            // One that is over already has none.
            debug!(error = &error as &dyn std::error::Error, dyno.id = %dyno.id, "Could not size a terminal");
        }
    }
    Ok((exec, streams))
}

fn is_here(shared: &Shared, dyno: &Dyno) -> bool {
    dyno.node == Some(shared.config.node_id) && !dyno.is_stopping()
}

async fn hang_up(shared: &Shared, exec: &Exec) {
    let runtime = &shared.runtime;
    let ended = async {
        runtime.signal_exec(exec, Signal::Hup).await?;
        if timeout(HANG_UP_GRACE, runtime.wait_exec(exec))
            .await
            .is_err()
        {
            runtime.signal_exec(exec, Signal::Kill).await?;
        }
        Ok::<_, RuntimeError>(())
    };
    if let Err(error) = ended.await {
        // An agent that comes after this one ends it, if the dyno has not by then.
        error!(error = &error as &dyn std::error::Error, container.id = %exec.container, "Could not end a command inside a dyno");
    }
}

/// Of an agent that was killed.
async fn end_leftovers(shared: &Shared) {
    loop {
        match leftovers(shared).await {
            Ok(left) => {
                if !left.is_empty() {
                    info!(
                        commands = left.len(),
                        "Ends commands inside dynos whose users have gone"
                    );
                }
                futures::future::join_all(left.iter().map(|exec| hang_up(shared, exec))).await;
                return;
            }
            Err(error) => {
                error!(
                    error = &error as &dyn std::error::Error,
                    "Could not look for commands inside dynos; will retry"
                );
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

async fn leftovers(shared: &Shared) -> Result<Vec<Exec>, RuntimeError> {
    let runtime = &shared.runtime;
    let mut left = Vec::new();
    for container in runtime.list(&own_labels(&shared.config)).await? {
        if container.running {
            left.extend(runtime.execs(&container.id, launch::INSIDE).await?);
        }
    }
    Ok(left)
}
