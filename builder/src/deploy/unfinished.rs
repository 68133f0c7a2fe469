//! Releases whose push is cut short. A release is made before git moves the ref, so a builder that is killed between the
//! two would leave an app that runs a commit its repository does not have.
//!
//! So before the release a ref of the builder's own holds the commit; it goes when git has ended. One that is found
//! without a push at work tells of a push that was cut short: if its release came up, the branch is moved now.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{AppId, BuildId, BuildStatus, ReleaseStatus, ReleaseVersion, SlugId};
use store::{Store, StoreError, key};
use tracing::{info, warn};

use super::refs::Deploy;
use crate::Builder;
use crate::git::Repo;
use crate::git::command::OWN_REFS;
use crate::git::repo::RepoError;
use crate::housekeeping::app_dirs;

/// While a release is on trial.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// In a ref's name, for a branch that was not there before.
const NEW: &str = "new";

/// A commit that is being released, held in its repository.
#[derive(Debug)]
pub(crate) struct Held {
    repo: Repo,
    name: String,
}

impl Held {
    pub(crate) async fn hold(
        repo: &Repo,
        build: BuildId,
        deploy: &Deploy,
    ) -> Result<Self, RepoError> {
        let previous = deploy.previous.as_deref().unwrap_or(NEW);
        let name = format!("{OWN_REFS}/releasing/{build}/{previous}/{}", deploy.branch);
        repo.hold(&name, &deploy.commit).await?;
        Ok(Self {
            repo: repo.clone(),
            name,
        })
    }

    /// Git has moved the branch, or is not to.
    pub(crate) async fn forget(self) {
        if let Err(error) = self.repo.delete_ref(&self.name).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not let go of a commit; the next start will"
            );
        }
    }
}

/// A hold that was found: its parts, from the ref's name.
#[derive(Debug, PartialEq, Eq)]
struct Found<'a> {
    build: BuildId,
    previous: Option<&'a str>,
    branch: &'a str,
}

impl<'a> Found<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let rest = name.strip_prefix(OWN_REFS)?.strip_prefix("/releasing/")?;
        let mut parts = rest.splitn(3, '/');
        Some(Self {
            build: parts.next()?.parse().ok()?,
            previous: Some(parts.next()?).filter(|previous| *previous != NEW),
            branch: parts.next()?,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// A push is at work, or the release is on trial.
    Open,
    /// The release came up, or another took its place in good order.
    Released,
    /// There was no release, or it failed.
    Void,
}

/// After a start: settles what an earlier life of this builder left, as soon as each release is decided.
pub(crate) async fn settle_all(builder: Arc<Builder>) {
    let mut apps: BTreeSet<AppId> = match app_dirs(builder.repos.dir(), ".git") {
        Ok(repos) => repos.into_iter().map(|(app, _)| app).collect(),
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not look for pushes that were cut short"
            );
            return;
        }
    };
    apps.retain(|app| builder.repos.at(*app).has_own_refs());
    while !apps.is_empty() {
        let mut open = BTreeSet::new();
        for app in apps {
            match settle(&builder, app).await {
                Ok(true) => {}
                Ok(false) => {
                    open.insert(app);
                }
                Err(error) => {
                    warn!(error = &*error, app.id = %app, "Could not settle a push that was cut short; will retry");
                    open.insert(app);
                }
            }
        }
        apps = open;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// `false` while something of the app is open.
async fn settle(
    builder: &Builder,
    app: AppId,
) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let repo = builder.repos.at(app);
    let mut settled = true;
    for (name, commit) in repo.refs_below(OWN_REFS).await? {
        let Some(found) = Found::parse(&name) else {
            continue;
        };
        match fate(&*builder.store, app, found.build).await? {
            Fate::Open => {
                settled = false;
                continue;
            }
            Fate::Void => {}
            Fate::Released => {
                let tip = repo.branch_tip(found.branch).await?;
                // Unless git had moved it after all, or another push has since.
                if tip.as_deref() == found.previous {
                    let branch = format!("refs/heads/{}", found.branch);
                    let from = found.previous.unwrap_or_default();
                    repo.move_ref(&branch, &commit, Some(from)).await?;
                    repo.mend_head().await?;
                    info!(app.id = %app, commit, "Moved a branch for a push that was cut short after its release");
                }
            }
        }
        repo.delete_ref(&name).await?;
    }
    Ok(settled)
}

async fn fate(store: &dyn Store, app: AppId, build: BuildId) -> Result<Fate, StoreError> {
    // The lock first: a push that is at work has it until it has let go of its commit.
    let lock = key::ALIVE_BUILDS.get(store, &key::alive_build(app)).await?;
    if lock.is_some_and(|holder| holder.value == build) {
        return Ok(Fate::Open);
    }
    let record = key::BUILDS.get(store, &key::build(app, build)).await?;
    match record.map(|record| record.value.status) {
        Some(BuildStatus::Succeeded { slug, release }) => {
            fate_of_release(store, app, release, slug).await
        }
        _ => Ok(Fate::Void),
    }
}

/// As a push that follows its release judges it.
async fn fate_of_release(
    store: &dyn Store,
    app: AppId,
    mut version: ReleaseVersion,
    slug: SlugId,
) -> Result<Fate, StoreError> {
    loop {
        let place = key::release(app, version);
        let Some(release) = key::RELEASES.get(store, &place).await? else {
            return Ok(Fate::Void);
        };
        if release.value.slug != Some(slug) {
            return Ok(Fate::Released);
        }
        match release.value.status {
            ReleaseStatus::Pending => return Ok(Fate::Open),
            ReleaseStatus::Succeeded => return Ok(Fate::Released),
            ReleaseStatus::Failed(_) => return Ok(Fate::Void),
            ReleaseStatus::Superseded { by } => version = by,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_tells_what_it_holds() {
        let build = BuildId::new();
        let id = "1111111111111111111111111111111111111111";
        for (previous, expected) in [(id, Some(id)), (NEW, None)] {
            assert_eq!(
                Found::parse(&format!("refs/paas/releasing/{build}/{previous}/main")),
                Some(Found {
                    build,
                    previous: expected,
                    branch: "main"
                })
            );
        }
        assert_eq!(Found::parse("refs/heads/main"), None);
        assert_eq!(Found::parse("refs/paas/releasing/x/new/main"), None);
    }
}
