//! Where a build runs: the scheduler says, this builder asks.
//!
//! The request lives with the app's build lock and is what counts the build against its host's room, until it has compiled.
//! Without a scheduler the build runs here: nothing else could be placed either, and whoever pushes need not know.

use std::collections::BTreeSet;
use std::time::Duration;

use model::build_place::BuildPlacing;
use model::{Build, BuildRequest, BuildSource, BuilderReport, ServiceId};
use store::{Follower, Store, StoreError, key};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::Job;
use super::build::{self, Built};
use super::failure::Failure;
use super::queue::{self, Turn};
use super::transcript::Transcript;
use crate::remote::call::{self, Lost};

/// How many hosts may be lost before the build runs here.
const ATTEMPTS: u32 = 3;
/// A scheduler that leads answers at once, if it is one that knows of builds at all.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// How long a build waits while no host takes any. One that is restarted is back by then.
const SOMEBODY_WITHIN: Duration = Duration::from_secs(45);

enum Place {
    /// With the right to run one of this builder's builds.
    Here(OwnedSemaphorePermit),
    There(BuilderReport),
    /// That builder was given, and has gone.
    Gone(ServiceId),
}

/// Builds where there is room; again elsewhere if that host is lost.
pub(crate) async fn build(
    job: Job<'_>,
    turn: &Turn,
    build: &Build,
    source: &BuildSource,
    transcript: &mut Transcript,
) -> Result<Built, Failure> {
    let built = attempts(job, turn, build, source, transcript).await;
    // From here on it takes no room: its own dynos may need it.
    if let Err(error) = turn.lock.withdraw_request(build.app).await {
        warn!(
            error = &error as &dyn std::error::Error,
            "Could not give up a build's place; it goes with the lock"
        );
    }
    built
}

async fn attempts(
    job: Job<'_>,
    turn: &Turn,
    build: &Build,
    source: &BuildSource,
    transcript: &mut Transcript,
) -> Result<Built, Failure> {
    let limits = &job.builder.config.limits;
    let mut request = BuildRequest {
        build: build.id,
        app: build.app,
        asked_by: job.builder.id,
        memory_bytes: limits.memory_bytes,
        cpu_millis: limits.cpu_millis(),
        // No two attempts of a build share a number, whoever makes them.
        attempt: source.attempt.saturating_sub(1) * ATTEMPTS,
        not: BTreeSet::new(),
    };
    for attempt in 1..=ATTEMPTS {
        request.attempt += 1;
        let (lost, why) = match unless_over(job, turn, ask(job, turn, &request, transcript)).await?
        {
            Place::Here(_permit) => {
                return build::build(job, turn.lock.lost(), build, transcript).await;
            }
            Place::There(peer) => match call::build(job, turn, &peer, &request, transcript).await {
                Ok(outcome) => return outcome,
                Err(Lost(why)) => (peer.id, why),
            },
            Place::Gone(builder) => (builder, "it has gone".to_owned()),
        };
        warn!(app.name = %job.push.app_name(), build.id = %build.id, builder.id = %lost, "Lost the builder of a build: {why}");
        transcript.topic(&format!(
            "The host of this build is lost; it begins again on another one (attempt {} of {})",
            attempt + 1,
            ATTEMPTS + 1
        ));
        request.not.insert(lost);
    }
    let deadline = Instant::now() + limits.queue_time;
    let here = queue::place_here(job, deadline, transcript);
    let _permit = unless_over(job, turn, here).await?;
    build::build(job, turn.lock.lost(), build, transcript).await
}

/// Waits for a place, or until something says that none is needed any more.
async fn unless_over<T>(
    job: Job<'_>,
    turn: &Turn,
    waiting: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        place = waiting => place,
        () = job.push.cancelled().cancelled() => Err(Failure::Cancelled),
        () = turn.lock.lost().cancelled() => Err(Failure::LockLost),
        () = job.builder.stopping.cancelled() => Err(Failure::Stopping),
    }
}

async fn ask(
    job: Job<'_>,
    turn: &Turn,
    request: &BuildRequest,
    transcript: &mut Transcript,
) -> Result<Place, Failure> {
    let (store, limit) = (&job.builder.store, job.builder.config.limits.queue_time);
    let (began, deadline) = (Instant::now(), Instant::now() + limit);
    if !is_scheduled(&**store).await? || !turn.lock.request_place(request).await? {
        return Ok(Place::Here(
            queue::place_here(job, deadline, transcript).await?,
        ));
    }
    let place = key::build_place(request.app);
    let mut news = Follower::new(store.clone(), vec![place.clone()]);
    let mut told: Option<String> = None;
    let mut nobody_since: Option<Instant> = None;
    loop {
        let answer = key::BUILD_PLACES.get(&**store, &place).await?;
        let answer = answer.filter(|answer| answer.value.answers(request));
        let is_answered = answer.is_some();
        match answer.map(|answer| answer.value.outcome) {
            Some(BuildPlacing::On { builder, .. }) => {
                return place_on(job, builder, deadline, transcript).await;
            }
            Some(BuildPlacing::Waits { reason, nobody }) => {
                nobody_since = nobody.then(|| nobody_since.unwrap_or_else(Instant::now));
                if nobody_since.is_some_and(|since| since.elapsed() >= SOMEBODY_WITHIN) {
                    return Err(Failure::refused([format!(
                        "{reason}. Nothing of this was deployed; try again once a host takes builds (paas nodes)."
                    )]));
                }
                let wait = if nobody { SOMEBODY_WITHIN } else { limit };
                if told.as_ref() != Some(&reason) {
                    queue::announce(transcript, &reason, wait);
                    told = Some(reason);
                }
            }
            None if began.elapsed() >= ANSWERED_WITHIN => {
                warn!(build.id = %request.build, "No scheduler says where a build is to run; it runs here");
                return Ok(Place::Here(
                    queue::place_here(job, deadline, transcript).await?,
                ));
            }
            None => {}
        }
        let until = match (is_answered, nobody_since) {
            (false, _) => began + ANSWERED_WITHIN,
            (true, Some(since)) => deadline.min(since + SOMEBODY_WITHIN),
            (true, None) => deadline,
        };
        if timeout_at(until, changed(&mut news)).await.is_err() && Instant::now() >= deadline {
            return Err(queue::overdue(limit));
        }
    }
}

/// Until what is followed is not as it was.
pub(crate) async fn changed(news: &mut Follower) {
    while news.next().await.is_empty() {}
}

async fn place_on(
    job: Job<'_>,
    builder: ServiceId,
    deadline: Instant,
    transcript: &mut Transcript,
) -> Result<Place, Failure> {
    if builder == job.builder.id {
        return Ok(Place::Here(
            queue::place_here(job, deadline, transcript).await?,
        ));
    }
    let place = key::alive_builder(builder);
    let report = key::ALIVE_BUILDERS.get(&*job.builder.store, &place).await?;
    Ok(report.map_or(Place::Gone(builder), |report| Place::There(report.value)))
}

async fn is_scheduled(store: &dyn Store) -> Result<bool, StoreError> {
    let leader = key::LEADERS.get(store, &key::leader("scheduler")).await?;
    Ok(leader.is_some())
}
