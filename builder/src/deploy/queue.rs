//! Waiting for one's turn: behind this app's other pushes, then for the app's lock, which a build on another builder may
//! hold. And for one of this builder's places, if the build is to run here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{AppId, Build, BuildSource};
use store::{StoreError, Versioned};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::Job;
use super::failure::Failure;
use super::lock::{self, BuildLock, Taking};
use super::transcript::Transcript;
use crate::{Builder, words};

const LOOKS_AT_ONCE: usize = 2;

/// The queues of this builder.
#[derive(Debug)]
pub(crate) struct Queues {
    /// Guards the map for single look-ups only.
    apps: Mutex<HashMap<AppId, Arc<AppQueue>>>,
    places: Arc<Semaphore>,
    /// For archives that are looked at and not built.
    pub(crate) looks: Semaphore,
}

#[derive(Debug)]
struct AppQueue {
    /// First come, first served.
    turn: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Queues {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            apps: Mutex::default(),
            places: Arc::new(Semaphore::new(places.max(1))),
            looks: Semaphore::new(LOOKS_AT_ONCE),
        }
    }

    /// The same, if there is one at once.
    pub(crate) fn try_place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    fn of(&self, app: AppId) -> Arc<AppQueue> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        // Queues nobody else holds have nobody in them.
        apps.retain(|_, queue| Arc::strong_count(queue) > 1 || queue.turn.available_permits() == 0);
        let fresh = || {
            Arc::new(AppQueue {
                turn: Arc::new(Semaphore::new(1)),
                waiting: AtomicUsize::new(0),
            })
        };
        apps.entry(app).or_insert_with(fresh).clone()
    }
}

/// The right to build an app now.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) lock: BuildLock,
    _turn: OwnedSemaphorePermit,
    _queue: Arc<AppQueue>,
}

impl Turn {
    pub(crate) async fn end(self) {
        self.lock.unlock().await;
    }
}

pub(crate) async fn wait_for_turn(
    job: Job<'_>,
    build: &Build,
    source: &BuildSource,
    transcript: &mut Transcript,
) -> Result<Turn, Failure> {
    let waiting = wait(job, build, source, transcript);
    tokio::select! {
        turn = waiting => turn,
        () = job.push.cancelled().cancelled() => Err(Failure::Cancelled),
        () = job.builder.stopping.cancelled() => Err(Failure::refused([
            "The builder is restarting. Nothing of this push was deployed; please push again in a minute.".to_owned(),
        ])),
    }
}

/// The turn of a build that another builder began; `None` unless it can begin at once.
pub(crate) async fn take_over(
    builder: &Builder,
    build: &Versioned<Build>,
    source: &Versioned<BuildSource>,
) -> Result<Option<(Turn, BuildSource)>, StoreError> {
    let queue = builder.queues.of(build.value.app);
    // A builder that has enough to do leaves it to one that has not.
    let is_free = builder.queues.places.available_permits() > 0;
    let Some(turn) = queue
        .turn
        .clone()
        .try_acquire_owned()
        .ok()
        .filter(|_| is_free)
    else {
        return Ok(None);
    };
    let taken = BuildLock::take_over(&builder.store, build, source).await?;
    Ok(taken.map(|(lock, source)| {
        let turn = Turn {
            lock,
            _turn: turn,
            _queue: queue,
        };
        (turn, source)
    }))
}

async fn wait(
    job: Job<'_>,
    build: &Build,
    source: &BuildSource,
    transcript: &mut Transcript,
) -> Result<Turn, Failure> {
    let limits = &job.builder.config.limits;
    let deadline = Instant::now() + limits.queue_time;
    let name = job.push.app_name();
    let queue = job.builder.queues.of(build.app);
    let turn = match queue.turn.clone().try_acquire_owned() {
        Ok(turn) => turn,
        Err(_) => {
            let _counted = Counted::new(&queue, limits.queue_length).ok_or_else(|| {
                Failure::refused([
                    format!(
                        "Another push to {name} is being built, and {} wait already.",
                        limits.queue_length
                    ),
                    "Nothing of this push was deployed. Please push again later.".to_owned(),
                ])
            })?;
            announce(
                transcript,
                &format!("Another push to {name} is being built"),
                limits.queue_time,
            );
            acquire(&queue.turn, deadline, limits.queue_time).await?
        }
    };
    let mut announced = false;
    let away_until = Instant::now() + crate::PATIENCE;
    let lock = loop {
        match BuildLock::take(&job.builder.store, build, source).await {
            Ok(Taking::Taken(lock)) => break lock,
            Ok(Taking::Refused) => {}
            Ok(Taking::LeftBehind) => return Err(Failure::LockLost),
            Err(error) if error.is_retryable() && Instant::now() < away_until => {
                tokio::time::sleep(crate::PAUSE).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        if store::key::APPS
            .get(&*job.builder.store, &store::key::app(build.app))
            .await?
            .is_none()
        {
            return Err(Failure::refused([format!(
                "The app {name} does not exist any more."
            )]));
        }
        if !announced
            && lock::holder(&*job.builder.store, build.app)
                .await?
                .is_some()
        {
            announced = true;
            announce(
                transcript,
                &format!("Another push to {name} is being built"),
                limits.queue_time,
            );
        }
        timeout_at(
            deadline,
            lock::wait_for_change(&*job.builder.store, build.app),
        )
        .await
        .map_err(|_| overdue(limits.queue_time))??;
    };
    Ok(Turn {
        lock,
        _turn: turn,
        _queue: queue,
    })
}

/// The right to run one of this builder's builds.
pub(super) async fn place_here(
    job: Job<'_>,
    deadline: Instant,
    transcript: &mut Transcript,
) -> Result<OwnedSemaphorePermit, Failure> {
    let (queues, limit) = (&job.builder.queues, job.builder.config.limits.queue_time);
    if let Some(place) = queues.try_place() {
        return Ok(place);
    }
    announce(transcript, "All places for builds are taken", limit);
    acquire(&queues.places, deadline, limit).await
}

async fn acquire(
    semaphore: &Arc<Semaphore>,
    deadline: Instant,
    limit: Duration,
) -> Result<OwnedSemaphorePermit, Failure> {
    match timeout_at(deadline, semaphore.clone().acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        // Semaphores here are never closed.
        Ok(Err(_)) | Err(_) => Err(overdue(limit)),
    }
}

pub(super) fn announce(transcript: &mut Transcript, why: &str, limit: Duration) {
    transcript.topic(&format!(
        "{why}; this one waits for its turn, for at most {}...",
        words::duration(limit)
    ));
}

pub(super) fn overdue(limit: Duration) -> Failure {
    Failure::refused([format!(
        "This push has waited {} for its turn. Nothing of it was deployed; please push again later.",
        words::duration(limit)
    )])
}

/// Counts whoever waits; `None` when too many do.
struct Counted<'a>(&'a AppQueue);

impl<'a> Counted<'a> {
    fn new(queue: &'a AppQueue, most: usize) -> Option<Self> {
        let counted = Self(queue);
        (queue.waiting.fetch_add(1, Ordering::AcqRel) < most).then_some(counted)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
