//! Work that nobody does: builds that were asked for without a push, builds that a builder had begun and not released,
//! releases whose branch it had not moved.
//!
//! Level-based: every source of a build that nobody has the lock for is such work, whether it was left by another builder
//! or by an earlier life of this one. Several builders may look at once; the first to commit has it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use model::repository::{Archive, Code};
use model::{Build, BuildId, BuildSource, BuildStatus};
use store::{Follower, StoreError, Txn, Versioned, key};
use tokio::time::Instant;
use tracing::{info, warn};

use super::settle::{Fate, discard, settle_released};
use super::{Commit, Job, Work, queue};
use crate::deploy::refs::Deploy;
use crate::deploy::transcript::Transcript;
use crate::git::Repo;
use crate::push::{Origin, Registered};
use crate::{Builder, words};

/// While there is work that nobody does, or a release on trial.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A builder that was out of touch with the store for a while takes its lock again within this time.
const GRACE: Duration = Duration::from_secs(5);
/// A build that ends its builders is not given a fourth.
const MAX_ATTEMPTS: u32 = 3;

/// Until dropped.
pub(crate) async fn run(builder: Arc<Builder>) {
    let signs = vec![key::ALIVE_BUILDS.prefix(), key::BUILD_SOURCES.prefix()];
    let mut signs = Follower::new(builder.store.clone(), signs);
    let mut left: HashMap<BuildId, Instant> = HashMap::new();
    loop {
        if let Err(error) = look(&builder, &mut left).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not look for builds that were left behind; will retry"
            );
        }
        tokio::select! {
            _ = signs.next() => {}
            () = tokio::time::sleep(LOOK_EVERY), if !left.is_empty() => {}
        }
    }
}

/// Remembers in `left` since when each build has had nobody, as far as this builder saw.
async fn look(
    builder: &Arc<Builder>,
    left: &mut HashMap<BuildId, Instant>,
) -> Result<(), StoreError> {
    // Sources first: one that is listed has had its lock from before it was there.
    let sources = key::BUILD_SOURCES.all(&*builder.store).await?;
    let locks = key::ALIVE_BUILDS.all(&*builder.store).await?;
    let is_held = |build: BuildId| locks.iter().any(|lock| lock.value == build);
    let now = Instant::now();
    let mut still_left = HashMap::new();
    let mut waiting = HashSet::new();
    for source in sources.iter().filter(|source| !is_held(source.value.build)) {
        let since = *left.get(&source.value.build).unwrap_or(&now);
        still_left.insert(source.value.build, since);
        let is_left = source.value.attempt == 0 || now.duration_since(since) >= GRACE;
        // Of those that nobody has begun, an app's oldest goes first.
        let is_next = source.value.attempt > 0 || waiting.insert(source.value.app);
        if is_left && !builder.stopping.is_cancelled() {
            go_on(builder, source, is_next).await?;
        }
    }
    *left = still_left;
    Ok(())
}

/// Takes the next step of it that can be taken.
async fn go_on(
    builder: &Arc<Builder>,
    source: &Versioned<BuildSource>,
    is_next: bool,
) -> Result<(), StoreError> {
    let store = &*builder.store;
    let (app, id) = (source.value.app, source.value.build);
    let Some(build) = key::BUILDS.get(store, &key::build(app, id)).await? else {
        return discard(store, app, id).await;
    };
    match build.value.status {
        BuildStatus::Failed { .. } => discard(store, app, id).await,
        BuildStatus::Succeeded { slug, release } => {
            if settle_released(store, app, id, release, slug).await? == Fate::Up {
                info!(app.id = %app, build.id = %id, "Moved a branch for a push that was cut short after its release");
            }
            Ok(())
        }
        BuildStatus::Pending if source.value.attempt >= MAX_ATTEMPTS => {
            let why = format!("Its builder was stopped during each of {MAX_ATTEMPTS} attempts");
            give_up(builder, &build, source, why).await
        }
        BuildStatus::Pending if source.value.attempt == 0 && is_overdue(builder, &build.value) => {
            let waited = words::duration(builder.config.limits.queue_time);
            give_up(
                builder,
                &build,
                source,
                format!("It has waited {waited} for its turn"),
            )
            .await
        }
        BuildStatus::Pending if !is_next => Ok(()),
        BuildStatus::Pending => take_over(builder, &build, source).await,
    }
}

/// Whether a build that nobody has begun has waited for as long as a push may.
fn is_overdue(builder: &Builder, build: &Build) -> bool {
    let waited = Timestamp::now().duration_since(build.created_at);
    waited.unsigned_abs() > builder.config.limits.queue_time
}

async fn give_up(
    builder: &Builder,
    build: &Versioned<Build>,
    source: &Versioned<BuildSource>,
    reason: String,
) -> Result<(), StoreError> {
    let app = build.value.app;
    let lock = key::alive_build(app);
    let holder = key::ALIVE_BUILDS.get(&*builder.store, &lock).await?;
    // Against a builder that has only been out of touch and takes its lock again now.
    let txn = match &holder {
        Some(holder) if holder.value == build.value.id => return Ok(()),
        Some(other) => Txn::new().unchanged(other),
        None => Txn::new().absent(lock),
    };
    let failed = Build {
        status: BuildStatus::Failed {
            reason: reason.clone(),
        },
        updated_at: Timestamp::now(),
        ..build.value.clone()
    };
    let txn = txn
        .replace(&key::BUILDS, build, &failed)
        .unchanged(source)
        .delete(source.key.clone());
    if let store::Committed::Done(_) = txn.commit(&*builder.store).await? {
        warn!(app.id = %app, build.id = %build.value.id, "Gave a build up: {reason}");
        builder.log.api(app, format!("Build failed -- {reason}"));
    }
    Ok(())
}

async fn take_over(
    builder: &Arc<Builder>,
    build: &Versioned<Build>,
    source: &Versioned<BuildSource>,
) -> Result<(), StoreError> {
    let app = key::APPS
        .get(&*builder.store, &key::app(build.value.app))
        .await?;
    let Some(app) = app else {
        // Swept up with the rest of the app.
        return Ok(());
    };
    let Some((turn, source)) = queue::take_over(builder, build, source).await? else {
        return Ok(());
    };
    let build = build.value.clone();
    info!(app.name = %app.value.name, build.id = %build.id, build.attempt = source.attempt, "Took up a build that nobody did");
    let registered = builder.pushes.begin(
        build.app,
        app.value.name,
        build.actor.clone(),
        Origin::default(),
    );
    let serving = builder.clone();
    builder.tasks.spawn(async move {
        deploy(&serving, &registered, turn, &build, &source).await;
    });
    Ok(())
}

/// What is asked for, as its record has it.
pub(crate) enum Asked<'a> {
    Pushed(Box<(Deploy, Repo)>),
    Archive(&'a Archive),
}

impl<'a> Asked<'a> {
    pub(crate) fn of(builder: &Builder, source: &'a BuildSource) -> Self {
        match &source.code {
            Code::Pushed(pushed) => {
                let repo = builder.repos.at(source.app);
                Self::Pushed(Box::new((Deploy::of(pushed), repo)))
            }
            Code::Archive { archive } => Self::Archive(archive),
        }
    }

    pub(crate) fn work(&self) -> Work<'_> {
        match self {
            Self::Pushed(pushed) => {
                let (deploy, repo) = &**pushed;
                Work::Commit(Commit { deploy, repo })
            }
            Self::Archive(archive) => Work::Archive(archive),
        }
    }
}

/// As for a push, but that nobody is there to read what is said.
async fn deploy(
    builder: &Arc<Builder>,
    registered: &Registered,
    turn: queue::Turn,
    build: &Build,
    source: &BuildSource,
) {
    let (output, _) = tokio::sync::mpsc::unbounded_channel();
    let mut transcript = Transcript::new(output, &builder.config.limits);
    if source.attempt == 1 {
        let email = &build.actor.email;
        let log = &builder.log;
        log.api(build.app, format!("Build started by user {email}"));
    } else {
        transcript.topic(&format!(
            "The builder of this build is gone; another one goes on with it (attempt {} of {MAX_ATTEMPTS})",
            source.attempt
        ));
    }
    let asked = Asked::of(builder, source);
    let job = Job {
        builder,
        push: registered.push(),
        code: asked.work(),
    };
    job.go_on(turn, build, source, &mut transcript).await;
}
