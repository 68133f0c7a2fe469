//! A push, from the hook's question to its answer.
//!
//! Decide which ref deploys, wait for the app's turn, build, release, follow the release until it is proven. Until the
//! release begins the client may leave and everything ends; from then on it goes on without it. The ref moves only when
//! the answer is yes.

pub(crate) mod build;
pub(crate) mod failure;
pub(crate) mod lock;
pub(crate) mod queue;
pub(crate) mod refs;
pub(crate) mod release;
pub(crate) mod transcript;
pub(crate) mod unfinished;
pub(crate) mod verify;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use model::{Build, BuildId, BuildStatus};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::Builder;
use crate::hook::wire::Request;
use crate::push::Push;
use build::Built;
use failure::{Failure, chain};
use queue::Turn;
use refs::Deploy;
use release::Released;
use transcript::Transcript;
use unfinished::Held;

#[derive(Debug)]
pub(crate) enum Verdict {
    /// The ref is to move. Whoever comes next must find it moved: the commit is to be let go and the turn to be ended only
    /// then.
    Accepted(Box<(Held, Turn)>),
    Refused,
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
    let job = Job {
        builder,
        push,
        deploy: &deploy,
        repo: &repo,
    };
    match job.run(&mut transcript).await {
        Ok(accepted) => Verdict::Accepted(Box::new(accepted)),
        Err(failure) => {
            job.explain(&failure, &mut transcript);
            Verdict::Refused
        }
    }
}

/// One push's work; what all of its steps need to know.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) builder: &'a Arc<Builder>,
    pub(crate) push: &'a Push,
    pub(crate) deploy: &'a Deploy,
    pub(crate) repo: &'a crate::git::Repo,
}

impl Job<'_> {
    async fn run(self, transcript: &mut Transcript) -> Result<(Held, Turn), Failure> {
        let now = Timestamp::now();
        let build = Build {
            id: BuildId::new(),
            app: self.push.app(),
            actor: self.push.actor().clone(),
            commit: Some(self.deploy.commit.clone()),
            stack: self.builder.config.container.stack.clone(),
            buildpacks: Vec::new(),
            status: BuildStatus::Pending,
            output: None,
            created_at: now,
            updated_at: now,
        };
        let turn = queue::wait_for_turn(self, &build, transcript).await?;
        let log = &self.builder.log;
        log.api(
            build.app,
            format!("Build started by user {}", build.actor.email),
        );
        let outcome = self.in_turn(&turn, &build, transcript).await;
        match &outcome {
            Ok((released, _)) => {
                info!(app.name = %self.push.app_name(), release.version = released.version.0, "Deployed {} of {}", released.version, self.push.app_name());
            }
            Err(failure) if !failure.is_after_release() => {
                log.api(
                    build.app,
                    format!("Build failed -- check your build output: {failure}"),
                );
                self.record_failure(&build, failure, transcript).await;
            }
            Err(_) => {}
        }
        // Gives up the turn first: what is left to clean is in nobody's way.
        let accepted = match outcome {
            Ok((_, held)) => Ok((held, turn)),
            Err(failure) => {
                turn.end().await;
                Err(failure)
            }
        };
        let dir = self.builder.config.builds_dir().join(build.id.to_string());
        if let Err(error) = crate::housekeeping::remove_tree(dir).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not remove a build's files; housekeeping will"
            );
        }
        accepted
    }

    /// With the app's build lock held.
    async fn in_turn(
        self,
        turn: &Turn,
        build: &Build,
        transcript: &mut Transcript,
    ) -> Result<(Released, Held), Failure> {
        self.check_ref().await?;
        let built = build::build(self, turn, build, transcript).await?;
        if !self.push.begin_release() {
            return Err(Failure::Cancelled);
        }
        let held = Held::hold(self.repo, build.id, self.deploy).await?;
        match self.launch(turn, build, built, transcript).await {
            Ok(released) => Ok((released, held)),
            Err(failure) => {
                held.forget().await;
                Err(failure)
            }
        }
    }

    async fn launch(
        self,
        turn: &Turn,
        build: &Build,
        built: Built,
        transcript: &mut Transcript,
    ) -> Result<Released, Failure> {
        let released = release::release(self, turn, build, built, transcript).await?;
        verify::verify(self, &released, transcript).await?;
        Ok(released)
    }

    /// The ref may have moved while this push waited; git would find out only after the release.
    async fn check_ref(self) -> Result<(), Failure> {
        let current = self.repo.branch_tip(&self.deploy.branch).await?;
        if current == self.deploy.previous {
            return Ok(());
        }
        if current.as_ref() == Some(&self.deploy.commit) {
            return Err(Failure::refused([
                "Another push has deployed this very commit meanwhile: there is nothing left to do.".to_owned(),
            ]));
        }
        Err(Failure::refused([
            format!(
                "Another push has moved {} meanwhile; nothing of yours was deployed.",
                self.deploy.branch
            ),
            format!(
                "Look at what came first (git fetch, then git log paas/{}) and push again.",
                self.deploy.branch
            ),
        ]))
    }

    async fn record_failure(self, build: &Build, failure: &Failure, transcript: &mut Transcript) {
        let output = release::save_log(self, transcript).await;
        let failed = Build {
            status: BuildStatus::Failed {
                reason: failure.to_string(),
            },
            output,
            updated_at: Timestamp::now(),
            ..build.clone()
        };
        let place = store::key::build(build.app, build.id);
        let txn = store::Txn::new()
            .exists(place.clone())
            .put(&store::key::BUILDS, place, &failed);
        if let Err(error) = txn.commit(&*self.builder.store).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not record a failed build; housekeeping will"
            );
        }
    }

    fn explain(self, failure: &Failure, transcript: &mut Transcript) {
        match failure {
            Failure::Refused(lines) => {
                for line in lines {
                    transcript.problem(line);
                }
            }
            Failure::Told(_) => transcript.raw(b"Verifying deploy...\n"),
            Failure::Release(_) => {}
            Failure::Cancelled => transcript.problem("The push was cancelled, and its build with it."),
            Failure::LockLost => transcript.problem(
                "The builder lost touch with the platform's store, and another build took over. Please push again.",
            ),
            Failure::Internal { .. } => {
                error!(error = %chain(failure), app.name = %self.push.app_name(), "Could not deploy");
                transcript.problem(&format!("The platform failed, not your app: {failure}."));
                transcript.problem("Nothing was deployed. Please push again; if it stays so, tell the platform's operators.");
            }
        }
        transcript.raw(format!("\n!\tPush rejected to {}.\n\n", self.push.app_name()).as_bytes());
    }
}
