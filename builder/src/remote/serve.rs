//! A build for a push that another builder has.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use model::{App, Build, BuildSource};
use store::{Follower, StoreError, key};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::wire::{Ask, BEAT, OUTCOME, OUTPUT, Outcome, SILENCE};
use crate::Builder;
use crate::config::Limits;
use crate::deploy::Job;
use crate::deploy::build::{self, Built};
use crate::deploy::failure::{Failure, chain};
use crate::deploy::place::changed;
use crate::deploy::takeover::Asked;
use crate::deploy::transcript::Transcript;
use crate::hook::wire::frame;
use crate::push::{Origin, Push};

/// Frames on their way to the caller.
const DEPTH: usize = 16;

/// Builds at once or not at all: whoever is told 503 finds another.
pub(crate) async fn serve(
    State(builder): State<Arc<Builder>>,
    headers: HeaderMap,
    Json(ask): Json<Ask>,
) -> Response {
    if !is_internal(&builder, &headers) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let place = builder.queues.try_place();
    let Some(place) = place.filter(|_| !builder.stopping.is_cancelled()) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let work = match Work::read(&builder, &ask).await {
        Ok(Some(work)) => work,
        Ok(None) => return StatusCode::GONE.into_response(),
        Err(error) => {
            error!(error = &error as &dyn std::error::Error, build.id = %ask.build, "Could not read a build");
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    };
    let (frames, body) = mpsc::channel(DEPTH);
    let serving = builder.clone();
    builder
        .tasks
        .spawn(async move { run(&serving, &ask, work, frames, place).await });
    Body::from_stream(ReceiverStream::new(body)).into_response()
}

/// The platform's other roles show the internal token, and never come through a router, which would have left its headers.
pub(crate) fn is_internal(builder: &Builder, headers: &HeaderMap) -> bool {
    let forwarded = ["x-forwarded-for", "forwarded", "via"];
    let given = headers.get(header::AUTHORIZATION);
    let expected = format!("Bearer {}", builder.keyring.internal_token().expose());
    let is_same = |given: &[u8]| {
        let differences = given.iter().zip(expected.as_bytes());
        // In the same time wherever they differ.
        given.len() == expected.len() && differences.fold(0, |all, (a, b)| all | (a ^ b)) == 0
    };
    !forwarded.iter().any(|name| headers.contains_key(*name))
        && given.is_some_and(|given| is_same(given.as_bytes()))
}

/// A build as its records have it.
struct Work {
    app: App,
    build: Build,
    source: BuildSource,
}

impl Work {
    /// `None` when it is over, or was never there.
    async fn read(builder: &Builder, ask: &Ask) -> Result<Option<Self>, StoreError> {
        let store = &*builder.store;
        let app = key::APPS.get(store, &key::app(ask.app)).await?;
        let build = key::BUILDS
            .get(store, &key::build(ask.app, ask.build))
            .await?;
        let place = key::build_source(ask.app, ask.build);
        let source = key::BUILD_SOURCES.get(store, &place).await?;
        let (Some(app), Some(build), Some(source)) = (app, build, source) else {
            return Ok(None);
        };
        Ok(build.value.status.is_pending().then_some(Self {
            app: app.value,
            build: build.value,
            source: source.value,
        }))
    }
}

async fn run(
    builder: &Arc<Builder>,
    ask: &Ask,
    work: Work,
    frames: mpsc::Sender<Result<Bytes, Infallible>>,
    _place: OwnedSemaphorePermit,
) {
    let Work { app, build, source } = work;
    info!(app.name = %app.name, build.id = %build.id, "Builds for another builder");
    let (actor, origin) = (build.actor.clone(), Origin::default());
    let registered = builder.pushes.begin(app.id, app.name, actor, origin);
    let (output, mut printed) = mpsc::unbounded_channel();
    // The caller has the pusher, and what he is shown is its to bound.
    let limits = Limits {
        shown_bytes: u64::MAX,
        ..builder.config.limits.clone()
    };
    let mut transcript = Transcript::new(output, &limits);
    let outcome = {
        let building = compile(builder, registered.push(), &build, &source, &mut transcript);
        let unwanted = unwanted(builder, ask);
        tokio::pin!(building, unwanted);
        let mut beat = tokio::time::interval(BEAT);
        let mut is_wanted = true;
        loop {
            if !is_wanted {
                registered.push().client_gone();
            }
            let said = tokio::select! {
                outcome = &mut building => break outcome,
                Some(chunk) = printed.recv() => chunk,
                _ = beat.tick() => Bytes::new(),
                () = frames.closed(), if is_wanted => {
                    is_wanted = false;
                    continue;
                }
                () = &mut unwanted, if is_wanted => {
                    is_wanted = false;
                    continue;
                }
            };
            is_wanted = is_wanted && say(&frames, OUTPUT, &said).await;
        }
    };
    drop(transcript);
    while let Some(chunk) = printed.recv().await {
        say(&frames, OUTPUT, &chunk).await;
    }
    if let Err(failure @ Failure::Internal { .. }) = &outcome {
        error!(error = %chain(failure), build.id = %build.id, "Could not build for another builder");
    }
    let is_built = outcome.is_ok();
    match serde_json::to_vec(&Outcome::from(outcome)) {
        Ok(outcome) => drop(say(&frames, OUTCOME, &outcome).await),
        Err(error) => error!(
            error = &error as &dyn std::error::Error,
            "Could not tell how a build ended"
        ),
    }
    drop(frames);
    if is_built {
        builder
            .caches
            .share(&*builder.store, &builder.blobs, build.app)
            .await;
    }
}

/// Until nobody asks for this build here any more. A caller whose host has lost its power does not hang up, and the build
/// may have begun elsewhere.
async fn unwanted(builder: &Builder, ask: &Ask) {
    const LOOK_EVERY: Duration = Duration::from_secs(5);
    let (request, lock) = (key::build_request(ask.app), key::alive_build(ask.app));
    let mut news = Follower::new(builder.store.clone(), vec![request.clone()]);
    let mut absent_since = None;
    loop {
        let store = &*builder.store;
        let asked = key::BUILD_REQUESTS.get(store, &request).await;
        let held = key::ALIVE_BUILDS.get(store, &lock).await;
        match (asked, held) {
            (Ok(Some(asked)), _) if asked.value.is(ask.build, ask.attempt) => absent_since = None,
            (Ok(Some(_)), _) => return,
            // Its caller was out of touch with the store, and has its lock again.
            (Ok(None), Ok(Some(held))) if held.value == ask.build => absent_since = None,
            (Ok(None), Ok(_)) => {
                let since = *absent_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= SILENCE {
                    return;
                }
            }
            // A store that does not answer says nothing about the caller.
            (Err(_), _) | (_, Err(_)) => {}
        }
        let _ = tokio::time::timeout(LOOK_EVERY, changed(&mut news)).await;
    }
}

/// `false` when nobody takes it.
async fn say(frames: &mpsc::Sender<Result<Bytes, Infallible>>, kind: u8, text: &[u8]) -> bool {
    let frame = Bytes::from(frame(kind, text));
    matches!(
        tokio::time::timeout(SILENCE, frames.send(Ok(frame))).await,
        Ok(Ok(()))
    )
}

async fn compile(
    builder: &Arc<Builder>,
    push: &Push,
    build: &Build,
    source: &BuildSource,
    transcript: &mut Transcript,
) -> Result<Built, Failure> {
    let asked = Asked::of(builder, source);
    let job = Job {
        builder,
        push,
        code: asked.work(),
    };
    let built = async {
        let repo = job.fetch_source(source).await?;
        let job = repo.as_ref().map_or(job, |repo| job.with(repo));
        // Whether the app's turn is lost is the caller's to know: then it goes away.
        build::build(job, &CancellationToken::new(), build, transcript).await
    };
    let built = built.await;
    job.remove_files(build).await;
    built
}
