//! A push, from the hook's question to its answer; and builds that nobody pushed, which are taken up as if another builder had
//! begun them.
//!
//! Decide which ref deploys, wait for the app's turn, build, release, follow the release until it is proven. Until the
//! release begins the client may leave and everything ends; from then on it goes on without it. The ref moves only when
//! the answer is yes.

pub(crate) mod build;
pub(crate) mod failure;
pub(crate) mod live;
pub(crate) mod lock;
mod on_record;
pub(crate) mod place;
pub(crate) mod queue;
pub(crate) mod refs;
pub(crate) mod release;
pub(crate) mod settle;
pub(crate) mod takeover;
pub(crate) mod transcript;
pub(crate) mod verify;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use model::repository::{Archive, Code, MAX_REFS, Merged, Pushed, Repository};
use model::{Build, BuildId, BuildSource, BuildStatus};
use store::{Committed, Follower, StoreError, Txn, key};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::Builder;
use crate::git::Repo;
use crate::git::packs::{self, MAX_PACKS, Received};
use crate::git::repos::Still;
use crate::hook::wire::Request;
use crate::push::Push;
use failure::{Failure, chain};
use queue::Turn;
use refs::Deploy;
use release::Released;
use transcript::Transcript;

#[derive(Debug)]
pub(crate) enum Verdict {
    /// The ref is to move, and then [`Accepted::finish`] to be called.
    Accepted(Box<Accepted>),
    Refused,
}

/// A push that git is to take. The record has what it brought; git has yet to move the ref of this builder's copy, and
/// whoever comes next must find it moved.
#[derive(Debug)]
pub(crate) struct Accepted {
    repo: Repo,
    still: Still,
    turn: Turn,
    received: Vec<Received>,
}

impl Accepted {
    /// Git has ended.
    pub(crate) async fn finish(self, builder: &Builder, push: &Push) {
        if let Err(error) = packs::note_received(&self.repo, &self.received) {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not note a pack; it will be fetched"
            );
        }
        drop(self.still);
        if let Err(error) = consolidate(builder, push, &self.turn).await {
            warn!(error = %chain(&error), app.name = %push.app_name(), "Could not make one pack of many; the next push will try again");
        }
        self.turn.end().await;
    }
}

/// Still in the app's turn: no other push changes the record meanwhile.
async fn consolidate(builder: &Builder, push: &Push, turn: &Turn) -> Result<(), Failure> {
    let (store, place) = (&*builder.store, key::repository(push.app()));
    let Some(record) = key::REPOSITORIES.get(store, &place).await? else {
        return Ok(());
    };
    if record.value.packs.len() <= MAX_PACKS {
        return Ok(());
    }
    let repo = builder.repos.open(push.app()).await?;
    let one = packs::consolidate(&repo, &record.value, builder.repos.blobs()).await?;
    let txn = Txn::new().replace(&key::REPOSITORIES, &record, &one);
    turn.lock.guard(txn).commit(store).await?;
    Ok(())
}

/// Answers one pre-receive hook. What it says on the way goes to `output`.
pub(crate) async fn receive(
    builder: &Arc<Builder>,
    push: &Push,
    request: Request,
    output: mpsc::UnboundedSender<Bytes>,
) -> Verdict {
    let mut transcript = Transcript::new(output, &builder.config.limits);
    let deploy = match refs::decide(&request.updates) {
        Ok(deploy) => deploy,
        Err(refusal) => {
            for line in refusal {
                transcript.problem(&line);
            }
            return Verdict::Refused;
        }
    };
    let repo = builder
        .repos
        .at(push.app())
        .with_quarantine(request.quarantine);
    let commit = Commit {
        deploy: &deploy,
        repo: &repo,
    };
    let job = Job {
        builder,
        push,
        code: Work::Commit(commit),
    };
    let record = match on_record::begin(&*builder.store, push, &deploy).await {
        Ok(record) => record,
        Err(error) => {
            job.explain(&error.into(), &mut transcript);
            return Verdict::Refused;
        }
    };
    let verdict = match job.run(commit, &mut transcript).await {
        Ok(accepted) => Verdict::Accepted(Box::new(accepted)),
        Err(failure) => {
            job.explain(&failure, &mut transcript);
            Verdict::Refused
        }
    };
    let (store, is_taken) = (
        Arc::clone(&builder.store),
        matches!(verdict, Verdict::Accepted(_)),
    );
    builder
        .tasks
        .spawn(async move { on_record::end(&*store, record, is_taken).await });
    verdict
}

/// One build's work; what all of its steps need to know.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) builder: &'a Arc<Builder>,
    pub(crate) push: &'a Push,
    pub(crate) code: Work<'a>,
}

/// What is to be built.
#[derive(Clone, Copy)]
pub(crate) enum Work<'a> {
    Commit(Commit<'a>),
    Archive(&'a Archive),
}

#[derive(Clone, Copy)]
pub(crate) struct Commit<'a> {
    pub(crate) deploy: &'a Deploy,
    pub(crate) repo: &'a Repo,
}

/// Whether the copy of the repository here is known to hold all that the pushed objects build on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Objects {
    /// Git has seen to it, when it received the push.
    Checked,
    Unchecked,
}

impl Job<'_> {
    async fn run(
        self,
        commit: Commit<'_>,
        transcript: &mut Transcript,
    ) -> Result<Accepted, Failure> {
        let Commit { deploy, repo } = commit;
        let now = Timestamp::now();
        let build = Build {
            id: BuildId::new(),
            app: self.push.app(),
            actor: self.push.actor().clone(),
            commit: Some(deploy.commit.clone()),
            source_blob: None,
            stack: self.builder.config.container.stack.clone(),
            buildpacks: Vec::new(),
            status: BuildStatus::Pending,
            output: None,
            created_at: now,
            updated_at: now,
        };
        // Before there is a build that needs it.
        let received = packs::store_received(repo, repo.quarantine(), &self.builder.blobs).await?;
        let brought = received.iter().map(|received| received.pack.clone());
        let source = deploy.source(build.app, build.id, brought.collect());
        transcript.let_hear(self.builder.live.begin(build.id));
        let turn = queue::wait_for_turn(self, &build, &source, transcript).await?;
        self.builder.log.api(
            build.app,
            format!("Build started by user {}", build.actor.email),
        );
        let outcome = self
            .in_turn(&turn, &build, &source, Objects::Checked, transcript)
            .await;
        self.conclude(&turn, &build, &outcome, transcript).await;
        let settled = match outcome {
            Ok(_) => self.accept(repo, &build).await,
            Err(Failure::AlreadyThere) => self.accept_again(commit, transcript).await,
            Err(failure) => Err(failure),
        };
        // Gives up the turn first: what is left to clean is in nobody's way.
        let accepted = match settled {
            Ok(still) => Ok(Accepted {
                repo: repo.clone(),
                still,
                turn,
                received,
            }),
            Err(failure) => {
                if matches!(failure, Failure::LockLost) {
                    // This builder may be the one that goes on with it.
                    self.remove_files(&build).await;
                }
                turn.end().await;
                Err(failure)
            }
        };
        self.remove_files(&build).await;
        accepted
    }

    /// A build that another builder began, or nobody yet. Nobody waits for its verdict.
    async fn go_on(
        self,
        turn: Turn,
        build: &Build,
        source: &BuildSource,
        transcript: &mut Transcript,
    ) {
        transcript.let_hear(self.builder.live.begin(build.id));
        let outcome = match self.fetch_source(source).await {
            Ok(None) => {
                self.in_turn(&turn, build, source, Objects::Unchecked, transcript)
                    .await
            }
            Ok(Some(repo)) => {
                self.with(&repo)
                    .in_turn(&turn, build, source, Objects::Unchecked, transcript)
                    .await
            }
            Err(failure) => Err(failure),
        };
        // Left as it is, the next builder goes on with it.
        if !matches!(outcome, Err(Failure::Stopping)) {
            if let Err(failure) = &outcome {
                self.explain(failure, transcript);
            }
            self.conclude(&turn, build, &outcome, transcript).await;
        }
        if outcome.is_ok()
            && let Err(error) = settle::settle(&*self.builder.store, build.app, build.id).await
        {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not move a branch; will retry"
            );
        }
        if matches!(outcome, Err(Failure::LockLost)) {
            self.remove_files(build).await;
        }
        turn.end().await;
        self.remove_files(build).await;
    }

    /// The repository with what the push brought, as a copy here; an archive is fetched when it is built.
    pub(crate) async fn fetch_source(self, source: &BuildSource) -> Result<Option<Repo>, Failure> {
        let (Work::Commit(commit), Code::Pushed(pushed)) = (self.code, &source.code) else {
            return Ok(None);
        };
        let (repo, builder) = (commit.repo, self.builder);
        let objects = builder.config.objects_dir(source.build);
        builder.repos.refresh(source.app, repo).await?;
        let repo = packs::with_source(repo, pushed, &objects, &builder.blobs).await?;
        Ok(Some(repo))
    }

    /// The same, of another copy of the repository.
    pub(crate) fn with<'b>(self, repo: &'b Repo) -> Job<'b>
    where
        Self: 'b,
    {
        let code = match self.code {
            Work::Commit(Commit { deploy, .. }) => Work::Commit(Commit { deploy, repo }),
            Work::Archive(archive) => Work::Archive(archive),
        };
        Job {
            builder: self.builder,
            push: self.push,
            code,
        }
    }

    /// With the app's build lock held.
    async fn in_turn(
        self,
        turn: &Turn,
        build: &Build,
        source: &BuildSource,
        objects: Objects,
        transcript: &mut Transcript,
    ) -> Result<Released, Failure> {
        settle::settle_left(&*self.builder.store, build.app).await?;
        let repo_size = match (self.code, &source.code) {
            (Work::Commit(commit), Code::Pushed(pushed)) => {
                Some(self.bring_up(commit, build, pushed, objects).await?)
            }
            _ => None,
        };
        let built = {
            let building = place::build(self, turn, build, source, transcript);
            let cancelled = self.is_over(build);
            tokio::pin!(building, cancelled);
            tokio::select! {
                built = &mut building => built?,
                () = cancelled => {
                    self.push.client_gone();
                    building.await?
                }
            }
        };
        if !self.push.begin_release() {
            return Err(Failure::Cancelled);
        }
        let released = release::release(self, turn, build, built, repo_size, transcript).await?;
        match verify::verify(self, &released, transcript).await {
            Ok(()) => Ok(released),
            Err(failure @ Failure::Release(_)) => Err(failure),
            Err(other) => Err(Failure::Unfollowed(other.into())),
        }
    }

    /// Until the build's record says that it is over: somebody has cancelled it.
    async fn is_over(self, build: &Build) {
        let (store, place) = (&self.builder.store, key::build(build.app, build.id));
        let mut news = Follower::new(store.clone(), vec![place.clone()]);
        loop {
            place::changed(&mut news).await;
            let found = key::BUILDS.get(&**store, &place).await;
            // A store that does not answer says nothing.
            if let Ok(Some(found)) = found
                && !found.value.status.is_pending()
            {
                return;
            }
        }
    }

    /// This builder's copy of the repository is what the push builds on. How large the repository will be.
    async fn bring_up(
        self,
        commit: Commit<'_>,
        build: &Build,
        pushed: &Pushed,
        objects: Objects,
    ) -> Result<u64, Failure> {
        let Commit { deploy, repo } = commit;
        let fresh = self.builder.repos.refresh(build.app, repo).await?;
        let merged = merge(&fresh.repository, deploy, pushed)?;
        if (fresh.has_changed || objects == Objects::Unchecked)
            && !repo.is_connected(&deploy.objects()).await?
        {
            return Err(overtaken(deploy, &deploy.branch));
        }
        Ok(merged.size())
    }
    /// Puts on record what the push brought, and keeps this builder's copy as it is until git has moved its ref.
    async fn accept(self, repo: &Repo, build: &Build) -> Result<Still, Failure> {
        let still = self.builder.repos.hold_still(repo).await;
        settle::settle(&*self.builder.store, build.app, build.id)
            .await
            .map_err(|error| Failure::Unfollowed(Box::new(error.into())))?;
        Ok(still)
    }

    /// For a push of what was deployed meanwhile: git moves a ref only from where its client saw it.
    async fn accept_again(
        self,
        commit: Commit<'_>,
        transcript: &mut Transcript,
    ) -> Result<Still, Failure> {
        let Commit { deploy, repo } = commit;
        transcript.detail(
            "Another push has deployed this very commit meanwhile: there is nothing left to do.",
        );
        let still = self.builder.repos.hold_still(repo).await;
        let branch = deploy.branch_ref();
        repo.set_refs(&[(&branch, deploy.previous.as_deref())])
            .await?;
        Ok(still)
    }

    /// Says and records how it ended.
    async fn conclude(
        self,
        turn: &Turn,
        build: &Build,
        outcome: &Result<Released, Failure>,
        transcript: &mut Transcript,
    ) {
        match outcome {
            Ok(released) => {
                info!(app.name = %self.push.app_name(), release.version = released.version.0, "Deployed {} of {}", released.version, self.push.app_name());
                let (builder, app) = (self.builder.clone(), build.app);
                self.builder.tasks.spawn(async move {
                    builder
                        .caches
                        .share(&*builder.store, &builder.blobs, app)
                        .await;
                });
            }
            Err(Failure::Release(_)) => {
                let store = &*self.builder.store;
                if let Err(error) = settle::discard(store, build.app, build.id).await {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "Could not let go of a commit; will retry"
                    );
                }
            }
            // Another one goes on with it, or has.
            Err(Failure::LockLost) => {}
            // Whoever looks next finds out what became of it.
            Err(Failure::Unfollowed(error)) => {
                warn!(error = %chain(error), app.name = %self.push.app_name(), "Could not follow a release");
            }
            Err(failure) => {
                self.builder.log.api(
                    build.app,
                    format!("Build failed -- check your build output: {failure}"),
                );
                self.record_failure(turn, build, failure, transcript).await;
            }
        }
    }

    /// As long as it takes: a build that is not known to have failed is one that another builder goes on with.
    async fn record_failure(
        self,
        turn: &Turn,
        build: &Build,
        failure: &Failure,
        transcript: &mut Transcript,
    ) {
        const AGAIN: Duration = Duration::from_secs(1);
        let failed = Build {
            status: BuildStatus::Failed {
                reason: failure.to_string(),
            },
            output: release::save_log(self, transcript).await,
            updated_at: Timestamp::now(),
            ..build.clone()
        };
        while !turn.lock.lost().is_cancelled() {
            match self.record(turn, &failed).await {
                Ok(true) => return,
                // Somebody changed it, or has the lock: that one comes back, or is lost.
                Ok(false) => {}
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "Could not record a failed build; will retry"
                ),
            }
            tokio::select! {
                () = self.builder.ending.cancelled() => return,
                () = turn.lock.lost().cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// Whether there is nothing left to record: it is done, or the build has come to another end or is gone with its app.
    async fn record(self, turn: &Turn, failed: &Build) -> Result<bool, StoreError> {
        let store = &*self.builder.store;
        let place = key::build(failed.app, failed.id);
        let found = key::BUILDS.get(store, &place).await?;
        let Some(found) = found else {
            return Ok(true);
        };
        let ended = match &found.value.status {
            BuildStatus::Pending => failed.clone(),
            // It was cancelled, and what it had printed is all that is missing.
            BuildStatus::Failed { .. } if found.value.output.is_none() => Build {
                output: failed.output.clone(),
                ..found.value.clone()
            },
            BuildStatus::Failed { .. } | BuildStatus::Succeeded { .. } => return Ok(true),
        };
        let txn = Txn::new()
            .replace(&key::BUILDS, &found, &ended)
            .delete(key::build_source(failed.app, failed.id));
        let committed = turn.lock.guard(txn).commit(store).await?;
        Ok(matches!(committed, Committed::Done(_)))
    }

    pub(crate) async fn remove_files(self, build: &Build) {
        let config = &self.builder.config;
        for dir in [config.build_dir(build.id), config.objects_dir(build.id)] {
            if let Err(error) = crate::housekeeping::remove_tree(dir).await {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Could not remove a build's files; housekeeping will"
                );
            }
        }
    }

    fn explain(self, failure: &Failure, transcript: &mut Transcript) {
        let is_push = matches!(self.code, Work::Commit(_));
        match failure {
            Failure::Refused(lines) => {
                for line in lines {
                    transcript.problem(line);
                }
            }
            Failure::Told(_) if is_push => transcript.raw(b"Verifying deploy...\n"),
            Failure::Told(_) => {}
            Failure::Release(_) | Failure::AlreadyThere => {}
            Failure::Stopping => transcript.problem(
                "The builder is restarting and had to end this build. Nothing was deployed; please push again.",
            ),
            Failure::Unfollowed(why) => {
                error!(error = %chain(why), app.name = %self.push.app_name(), "Could not follow a release");
                transcript.problem("The release was made, but the platform could not follow it: see paas releases.");
            }
            Failure::Cancelled if is_push => {
                transcript.problem("The push was cancelled, and its build with it.");
            }
            Failure::Cancelled => transcript.problem("The build was cancelled."),
            Failure::LockLost => transcript.problem(
                "The builder lost touch with the platform's store, and another one goes on with this build: see paas builds.",
            ),
            Failure::Internal { .. } => {
                error!(error = %chain(failure), app.name = %self.push.app_name(), "Could not deploy");
                transcript.problem(&format!("The platform failed, not your app: {failure}."));
                transcript.problem("Nothing was deployed. Please try again; if it stays so, tell the platform's operators.");
            }
        }
        if is_push {
            transcript
                .raw(format!("\n!\tPush rejected to {}.\n\n", self.push.app_name()).as_bytes());
        }
    }
}

/// The ref may have moved while this push waited; git would find out only after the release.
fn merge(repository: &Repository, deploy: &Deploy, pushed: &Pushed) -> Result<Repository, Failure> {
    match repository.merge(pushed, Timestamp::now()) {
        Merged::Changed(merged) if merged.refs.len() <= MAX_REFS => Ok(merged),
        Merged::Changed(merged) => Err(Failure::refused([
            format!(
                "With this push the repository would have {} branches and tags, and it may have {MAX_REFS}.",
                merged.refs.len()
            ),
            format!(
                "Push without tags: git push --no-follow-tags paas {}",
                deploy.branch
            ),
        ])),
        Merged::AlreadyThere => Err(Failure::AlreadyThere),
        Merged::Stale(name) => Err(overtaken(deploy, refs::short(&name))),
    }
}

fn overtaken(deploy: &Deploy, what: &str) -> Failure {
    Failure::refused([
        format!("Another push has moved {what} meanwhile; nothing of yours was deployed."),
        format!(
            "Look at what came first (git fetch, then git log paas/{}) and push again.",
            deploy.branch
        ),
    ])
}
