//! Following a release until the scheduler has proven it, or has not.

use std::collections::HashSet;
use std::time::Duration;

use model::{
    AppId, Dyno, DynoId, DynoKind, DynoState, DynoStatus, Release, ReleaseStatus, ReleaseVersion,
};
use store::{Entry, Event, Follower, Update, key};
use tokio::time::{Instant, MissedTickBehavior};

use super::Job;
use super::failure::Failure;
use super::release::Released;
use super::transcript::Transcript;
use crate::words;

const DOT_EVERY: Duration = Duration::from_secs(3);

/// Until the release is proven (fine), failed (the push is refused), or out of this push's hands (fine, and said).
pub(crate) async fn verify(
    job: Job<'_>,
    released: &Released,
    transcript: &mut Transcript,
) -> Result<(), Failure> {
    let limits = &job.builder.config.limits;
    let has_command = released.slug.release_command().is_some();
    let time = if has_command {
        limits.release_phase_time
    } else {
        limits.verify_time
    };
    if has_command {
        transcript.raw(b"Running release command...\n\n");
    } else {
        transcript.raw(b"Verifying deploy...");
    }
    let deadline = Instant::now() + time;
    let mut version = released.version;
    loop {
        let mut watched = Watched::new(job, version, has_command);
        let Some(release) = watched.until_decided(deadline, transcript).await? else {
            transcript.raw(b" still pending.\n");
            transcript.problem(&format!(
                "{version} is not up after {}. It goes on without this push: see paas releases, paas ps and paas logs.",
                words::duration(time)
            ));
            return Ok(());
        };
        match &release.status {
            ReleaseStatus::Pending => {}
            ReleaseStatus::Succeeded => {
                let last = if has_command {
                    "Waiting for release... done.\n"
                } else {
                    " done.\n"
                };
                transcript.raw(last.as_bytes());
                return Ok(());
            }
            ReleaseStatus::Failed(failure) => {
                transcript.raw(if has_command {
                    b"Waiting for release... failed.\n"
                } else {
                    b" failed.\n"
                });
                return Err(
                    explain(job, version, failure, watched.has_shown_output, transcript).await,
                );
            }
            ReleaseStatus::Superseded { by } => {
                let successor = key::RELEASES
                    .get(&*job.builder.store, &key::release(release.app, *by))
                    .await?;
                let Some(successor) =
                    successor.filter(|next| next.value.slug == Some(released.slug.id))
                else {
                    transcript.raw(b" superseded.\n");
                    transcript.problem(&format!(
                        "{by} took the place of {version} before it was up: see paas releases."
                    ));
                    return Ok(());
                };
                transcript.problem(&format!(
                    "{by} ({}) took the place of {version} and runs the same code; following it.",
                    successor.value.description
                ));
                transcript.raw(b"Verifying deploy...");
                version = *by;
            }
        }
    }
}

async fn explain(
    job: Job<'_>,
    version: ReleaseVersion,
    failure: &model::ReleaseFailure,
    has_shown_output: bool,
    transcript: &mut Transcript,
) -> Failure {
    transcript.blank();
    transcript.problem(&format!("{version} failed: {}", failure.reason));
    if !failure.log_tail.is_empty() && !has_shown_output {
        transcript.problem("The last lines it wrote:");
        for line in &failure.log_tail {
            transcript.detail(line);
        }
    }
    match serving(job, version).await {
        Some(old) => transcript.problem(&format!(
            "{old} keeps serving: this push changed nothing that runs."
        )),
        None => transcript.problem(
            "There is no earlier release that could run instead. Mend the app and push again.",
        ),
    }
    Failure::Release(format!("{version} failed: {}", failure.reason))
}

/// The release that runs in place of a failed one.
async fn serving(job: Job<'_>, failed: ReleaseVersion) -> Option<ReleaseVersion> {
    let store = &*job.builder.store;
    let app = key::APPS
        .get(store, &key::app(job.push.app()))
        .await
        .ok()??
        .value;
    let current = key::RELEASES
        .get(store, &key::release(app.id, app.current))
        .await
        .ok()??
        .value;
    (current.slug.is_some() && current.version != failed).then_some(current.version)
}

/// One release being followed, and the dynos of its release phase.
struct Watched<'a> {
    job: Job<'a>,
    app: AppId,
    version: ReleaseVersion,
    release: Follower,
    dynos: Follower,
    statuses: Follower,
    has_command: bool,
    release_dynos: HashSet<DynoId>,
    has_shown_output: bool,
}

impl<'a> Watched<'a> {
    fn new(job: Job<'a>, version: ReleaseVersion, has_command: bool) -> Self {
        let app = job.push.app();
        let follow = |key| Follower::new(job.builder.store.clone(), vec![key]);
        Self {
            job,
            app,
            version,
            release: follow(key::release(app, version)),
            dynos: follow(key::dynos_of(app)),
            statuses: follow(key::dyno_statuses_of(app)),
            has_command,
            release_dynos: HashSet::new(),
            has_shown_output: false,
        }
    }

    /// The release once it is no longer pending; `None` at the deadline.
    async fn until_decided(
        &mut self,
        deadline: Instant,
        transcript: &mut Transcript,
    ) -> Result<Option<Release>, Failure> {
        let mut dots = tokio::time::interval_at(Instant::now() + DOT_EVERY, DOT_EVERY);
        dots.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                update = self.dynos.next(), if self.has_command => self.note_dynos(update),
                update = self.statuses.next(), if self.has_command => self.note_statuses(update, transcript).await?,
                _ = self.release.next() => {
                    let found = key::RELEASES.get(&*self.job.builder.store, &key::release(self.app, self.version)).await?;
                    let Some(release) = found else {
                        return Err(Failure::Release("the app was destroyed".to_owned()));
                    };
                    if !release.value.status.is_pending() {
                        return Ok(Some(release.value));
                    }
                }
                _ = dots.tick(), if !self.has_command => transcript.raw(b"."),
                () = tokio::time::sleep_until(deadline) => return Ok(None),
            }
        }
    }

    fn note_dynos(&mut self, update: Update) {
        for entry in entries(update) {
            if let Ok(dyno) = key::DYNOS.decode(&entry)
                && Self::is_release_dyno(self.version, &dyno.value)
            {
                self.release_dynos.insert(dyno.value.id);
            }
        }
    }

    /// What the release command wrote last, once it has ended.
    async fn note_statuses(
        &mut self,
        update: Update,
        transcript: &mut Transcript,
    ) -> Result<(), Failure> {
        for entry in entries(update) {
            let Ok(status) = key::DYNO_STATUS.decode(&entry) else {
                continue;
            };
            let DynoStatus {
                dyno,
                state:
                    DynoState::Stopped {
                        exit: Some(exit), ..
                    },
                ..
            } = status.value
            else {
                continue;
            };
            if !self.has_shown_output && self.is_of_release(dyno).await? {
                self.has_shown_output = true;
                for line in exit.log_tail {
                    transcript.raw(format!("{line}\n").as_bytes());
                }
            }
        }
        Ok(())
    }

    /// Noted already, or still there to be asked: the two follow each other at a distance.
    async fn is_of_release(&mut self, dyno: DynoId) -> Result<bool, Failure> {
        if self.release_dynos.contains(&dyno) {
            return Ok(true);
        }
        let found = key::DYNOS
            .get(&*self.job.builder.store, &key::dyno(self.app, dyno))
            .await?;
        let version = self.version;
        Ok(found.is_some_and(|found| Self::is_release_dyno(version, &found.value)))
    }

    fn is_release_dyno(version: ReleaseVersion, dyno: &Dyno) -> bool {
        matches!(dyno.kind, DynoKind::ReleasePhase) && dyno.release == version
    }
}

fn entries(update: Update) -> Vec<Entry> {
    match update {
        Update::Snapshot { entries, .. } => entries,
        Update::Changes { events, .. } => events
            .into_iter()
            .filter_map(|event| match event {
                Event::Put(entry) => Some(entry),
                Event::Delete { .. } => None,
            })
            .collect(),
    }
}
