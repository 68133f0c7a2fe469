//! Making the release: slug, build, ledger entry and app in one commit.

use std::collections::BTreeMap;

use buildpacks::order::ShippedPack;
use jiff::Timestamp;
use model::release::ReleaseDraft;
use model::{
    App, Build, BuildStatus, BuildpackRef, Checksum, ProcessType, Release, ReleaseVersion, Slug,
    SlugId,
};
use store::ledger::{AppendError, Base, NewRelease, append_release, read_base};
use store::{StoreError, Txn, Versioned, key};
use tokio::time::Instant;
use tracing::warn;

use super::Job;
use super::build::Built;
use super::failure::Failure;
use super::queue::Turn;
use super::transcript::Transcript;

#[derive(Debug)]
pub(crate) struct Released {
    pub(crate) version: ReleaseVersion,
    pub(crate) slug: Slug,
}

pub(crate) async fn release(
    job: Job<'_>,
    turn: &Turn,
    build: &Build,
    built: Built,
    repo_size: Option<u64>,
    transcript: &mut Transcript,
) -> Result<Released, Failure> {
    let store = &*job.builder.store;
    let output = save_log(job, transcript).await;
    transcript.build_has_ended();
    if let Some(base) = read_base(store, &job.builder.keyring, build.app).await? {
        announce_removed(&base, &built.process_types, transcript);
    }
    transcript.topic("Launching...");
    let now = Timestamp::now();
    let slug = Slug {
        id: SlugId::new(),
        app: build.app,
        checksum: built.slug.checksum.clone(),
        size: built.slug.size,
        unpacked_size: built.slug.unpacked_size,
        commit: built.version.clone(),
        commit_description: built.version_description.clone(),
        language: built.language.clone(),
        process_types: built.process_types.clone(),
        stack: build.stack.clone(),
        created_at: now,
    };
    // When the store first did not say whether it had made the release.
    let mut unsure_since: Option<Instant> = None;
    let release = loop {
        let pending = match state(job, build, &slug).await {
            Ok(State::Released(release)) => break release,
            Ok(State::Destroyed) => return Err(destroyed()),
            Ok(State::Elsewhere) => return Err(Failure::LockLost),
            Ok(State::Pending(_)) if turn.lock.lost().is_cancelled() => {
                return Err(Failure::LockLost);
            }
            Ok(State::Pending(pending)) => pending,
            // Unknown to the end: whoever finds the build finds out.
            Err(_) if unsure_since.is_some() => return Err(Failure::LockLost),
            Err(error) => return Err(error.into()),
        };
        let appended = append_release(store, &job.builder.keyring, build.app, now, |base| {
            let app = &base.app.value;
            let succeeded = Build {
                buildpacks: built.buildpacks.clone(),
                status: BuildStatus::Succeeded {
                    slug: slug.id,
                    release: app.latest.next(),
                },
                output: output.clone(),
                updated_at: now,
                ..build.clone()
            };
            let also = Txn::new()
                .put(&key::SLUGS, key::slug(slug.app, slug.id), &slug)
                .replace(&key::BUILDS, &pending, &succeeded);
            Ok::<_, std::convert::Infallible>(NewRelease {
                draft: ReleaseDraft {
                    description: described(built.version.as_deref()),
                    actor: build.actor.clone(),
                    slug: Some(slug.id),
                },
                config: base.config.clone(),
                attached: None,
                app: App {
                    repo_size: repo_size.or(app.repo_size),
                    ..deployed(app, &slug, &built)
                },
                also: turn.lock.guard(also),
            })
        })
        .await;
        match appended {
            Ok((_, release)) => break release,
            Err(AppendError::NoSuchApp) => return Err(destroyed()),
            // It may have been made all the same: the build's record tells.
            Err(AppendError::Store(error)) if error.is_retryable() => {
                let since = *unsure_since.get_or_insert_with(Instant::now);
                warn!(error = &error as &dyn std::error::Error, app.name = %job.push.app_name(), "Could not make a release; looking what came of it");
                if since.elapsed() >= crate::PATIENCE {
                    return Err(Failure::LockLost);
                }
                tokio::time::sleep(crate::PAUSE).await;
            }
            Err(AppendError::Store(source)) => return Err(source.into()),
            Err(AppendError::Refused(never)) => match never {},
        }
    };
    tell(job, &release, &slug, transcript);
    Ok(Released {
        version: release.version,
        slug,
    })
}

/// How far a build has come that this builder has the lock of, or had.
enum State {
    Pending(Versioned<Build>),
    /// By this builder: only the store's answer was lost.
    Released(Release),
    Elsewhere,
    Destroyed,
}

async fn state(job: Job<'_>, build: &Build, slug: &Slug) -> Result<State, StoreError> {
    let store = &*job.builder.store;
    let place = key::build(build.app, build.id);
    let Some(found) = key::BUILDS.get(store, &place).await? else {
        return Ok(State::Destroyed);
    };
    let version = match found.value.status {
        BuildStatus::Pending => return Ok(State::Pending(found)),
        BuildStatus::Succeeded {
            slug: made,
            release,
        } if made == slug.id => release,
        BuildStatus::Succeeded { .. } | BuildStatus::Failed { .. } => return Ok(State::Elsewhere),
    };
    let place = key::release(build.app, version);
    let release = key::RELEASES.get(store, &place).await?;
    Ok(release.map_or(State::Destroyed, |release| State::Released(release.value)))
}

fn destroyed() -> Failure {
    Failure::refused(["The app was destroyed while it was being built.".to_owned()])
}

/// The app as the deploy leaves it.
fn deployed(app: &App, slug: &Slug, built: &Built) -> App {
    let mut app = app.clone();
    app.adopt(slug);
    // As on Heroku, what was detected stays the app's; but not the pack of last resort, which would keep an app whose
    // language comes with a later push from being detected.
    if app.buildpacks.is_empty() && built.detected && !is_last_resort(&built.buildpacks) {
        app.buildpacks = built.buildpacks.clone();
    }
    app
}

fn is_last_resort(buildpacks: &[BuildpackRef]) -> bool {
    matches!(buildpacks, [only] if only.0 == ShippedPack::Procfile.to_string())
}

fn announce_removed(
    base: &Base,
    kept: &BTreeMap<ProcessType, String>,
    transcript: &mut Transcript,
) {
    let running = base
        .app
        .value
        .formation
        .iter()
        .filter(|(_, formation)| formation.quantity > 0);
    for (process_type, formation) in
        running.filter(|(process_type, _)| !kept.contains_key(*process_type))
    {
        transcript.topic(&format!(
            "Removing process type {process_type} ({})",
            formation.quantity
        ));
    }
}

fn tell(job: Job<'_>, release: &Release, slug: &Slug, transcript: &mut Transcript) {
    if slug.release_command().is_some() {
        transcript.problem(
            "Release command declared: this new release will not be available until the command succeeds.",
        );
    }
    let url = job.builder.config.app_url(job.push.app_name());
    transcript.detail(&format!("Released {}", release.version));
    transcript.detail(&format!("{url} deployed to paas"));
    transcript.blank();
    let (log, app, email) = (&job.builder.log, release.app, &release.actor.email);
    log.api(app, "Build succeeded".to_owned());
    log.api(app, format!("{} by user {email}", release.description));
    log.api(
        app,
        format!("Release {} created by user {email}", release.version),
    );
}

/// The build's output so far, into the blob store. Without it a build is still a build.
pub(crate) async fn save_log(job: Job<'_>, transcript: &mut Transcript) -> Option<Checksum> {
    let path = transcript.flushed_log()?;
    match job.builder.blobs.put_file(path).await {
        Ok(checksum) => Some(checksum),
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, app.name = %job.push.app_name(), "Could not keep a build's output");
            None
        }
    }
}

/// `Deploy 1a2b3c4d`, `Deploy v1.3.0`
fn described(version: Option<&str>) -> String {
    const LONGEST: usize = 60;
    match version {
        Some(commit) if commit.len() >= 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()) => {
            format!("Deploy {}", &commit[..8])
        }
        Some(version) => format!(
            "Deploy {}",
            version.chars().take(LONGEST).collect::<String>()
        ),
        None => "Deploy source archive".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use model::{AccountId, AppId, BuildpackRef, DynoSize, Formation, Owner};

    use super::*;
    use crate::slug::Packed;

    fn app(formation: &[(&str, u32)], buildpacks: &[&str]) -> App {
        let now = Timestamp::UNIX_EPOCH;
        App {
            id: AppId::new(),
            name: "ticks".parse().unwrap(),
            owner: Owner::Account(AccountId::new()),
            locked: false,
            created_at: now,
            updated_at: now,
            released_at: None,
            stack: "heroku-24".to_owned(),
            maintenance: false,
            buildpacks: buildpacks
                .iter()
                .map(|name| BuildpackRef((*name).to_owned()))
                .collect(),
            formation: formation
                .iter()
                .map(|(name, quantity)| {
                    (
                        name.parse().unwrap(),
                        Formation {
                            quantity: *quantity,
                            size: DynoSize::Basic,
                        },
                    )
                })
                .collect(),
            placement: Default::default(),
            routing: Default::default(),
            latest: ReleaseVersion(1),
            target: ReleaseVersion(1),
            current: ReleaseVersion(1),
            repo_size: None,
            slug_size: None,
        }
    }

    fn built(types: &[&str]) -> (Built, Slug) {
        let process_types: BTreeMap<ProcessType, String> = types
            .iter()
            .map(|name| (name.parse().unwrap(), "run it".to_owned()))
            .collect();
        let checksum: Checksum = "0".repeat(64).parse().unwrap();
        let built = Built {
            slug: Packed {
                checksum: checksum.clone(),
                size: 10,
                unpacked_size: 20,
            },
            version: Some("12345678".repeat(5)),
            version_description: None,
            language: None,
            process_types: process_types.clone(),
            buildpacks: vec![BuildpackRef("heroku/python".to_owned())],
            detected: true,
        };
        let slug = Slug {
            id: SlugId::new(),
            app: AppId::new(),
            checksum,
            size: 10,
            unpacked_size: 20,
            commit: None,
            commit_description: None,
            language: None,
            process_types,
            stack: "heroku-24".to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
        };
        (built, slug)
    }

    fn quantities(app: &App) -> Vec<(String, u32)> {
        app.formation
            .iter()
            .map(|(name, formation)| (name.to_string(), formation.quantity))
            .collect()
    }

    #[test]
    fn a_first_deploy_gets_one_web_dyno_and_keeps_what_was_detected() {
        let (built, slug) = built(&["web", "worker", "release"]);
        let after = deployed(&app(&[], &[]), &slug, &built);
        assert_eq!(
            quantities(&after),
            [("web".to_owned(), 1), ("worker".to_owned(), 0)]
        );
        assert_eq!(after.buildpacks, built.buildpacks);
        assert_eq!(after.slug_size, Some(10));
    }

    #[test]
    fn a_release_says_what_was_deployed() {
        for (version, expected) in [
            (Some("1a2b3c4d".repeat(5)), "Deploy 1a2b3c4d"),
            (Some("v1.3.0".to_owned()), "Deploy v1.3.0"),
            (Some("1a2b3c".to_owned()), "Deploy 1a2b3c"),
            (None, "Deploy source archive"),
        ] {
            assert_eq!(described(version.as_deref()), expected);
        }
    }

    #[test]
    fn later_deploys_leave_the_scale_and_the_chosen_buildpacks_alone() {
        let (built, slug) = built(&["web", "clock"]);
        let after = deployed(
            &app(&[("web", 0), ("worker", 2)], &["https://example.com/x.git"]),
            &slug,
            &built,
        );
        assert_eq!(
            quantities(&after),
            [
                ("clock".to_owned(), 0),
                ("web".to_owned(), 0),
                ("worker".to_owned(), 2)
            ]
        );
        assert_eq!(
            after.buildpacks,
            [BuildpackRef("https://example.com/x.git".to_owned())]
        );
    }
}
