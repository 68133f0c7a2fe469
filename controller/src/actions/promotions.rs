//! Promoting: the slug that runs in one app of a pipeline becomes a release of others, as it was built.

use std::collections::HashSet;

use model::pipeline::{PROMOTED_WITHIN, Promotion, PromotionOutcome, PromotionTarget};
use model::release::ReleaseDraft;
use model::{
    Actor, App, PipelineId, PromotionId, PromotionTargetId, Release, ReleaseStatus, ReleaseVersion,
    Slug, SlugId, Timestamp,
};
use store::ledger::{NewRelease, append_release};
use store::{Committed, Store, StoreError, Txn, Versioned, key};
use tracing::warn;

use super::ActionError;
use crate::context::{Context, Ctx};
use crate::find;
use crate::views;

/// What is to be promoted.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) app: App,
    pub(crate) release: Release,
    slug: Slug,
}

/// An app that is to be promoted to, or why it cannot be.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) app: App,
    pub(crate) refusal: Option<String>,
}

/// The named release, or the one that serves.
pub(crate) async fn source(
    store: &dyn Store,
    app: App,
    release: Option<&str>,
) -> Result<Source, ActionError> {
    let identity = release.map_or_else(|| app.current.to_string(), str::to_owned);
    let release = find::release(store, app.id, &identity).await?;
    let release = release.ok_or_else(|| ActionError::NotFound {
        resource: "release",
        message: format!("Couldn't find the release {identity} of {}.", app.name),
    })?;
    let release = release.value;
    if !views::release::is_eligible(&release) {
        return Err(ActionError::invalid(format!(
            "{} of {} cannot be promoted: it has no code, or is not proven to work.",
            release.version, app.name
        )));
    }
    let slug = find::slug(store, app.id, release.slug).await?;
    let slug = slug.ok_or_else(|| {
        ActionError::invalid(format!(
            "{} of {} cannot be promoted: its slug is no longer kept.",
            release.version, app.name
        ))
    })?;
    Ok(Source { app, release, slug })
}

/// Goes on to the end even if nobody waits for it. The releases are made when this returns; how they fare is another thing.
pub(crate) async fn promote(
    context: &Ctx,
    pipeline: PipelineId,
    source: Source,
    targets: Vec<Target>,
    by: Actor,
) -> Result<Promotion, ActionError> {
    let mut seen = HashSet::new();
    if targets.is_empty() || !targets.iter().all(|target| seen.insert(target.app.id)) {
        return Err(ActionError::invalid(
            "Name the apps to promote to, each once.",
        ));
    }
    let promotion = Promotion {
        id: PromotionId::new(),
        pipeline,
        source: source.app.id,
        release: source.release.id,
        targets: targets
            .iter()
            .map(|target| PromotionTarget {
                id: PromotionTargetId::new(),
                app: target.app.id,
                outcome: None,
            })
            .collect(),
        actor: by,
        created_at: Timestamp::now(),
    };
    let txn = Txn::new().exists(key::pipeline(pipeline)).create(
        &key::PROMOTIONS,
        key::promotion(promotion.id),
        &promotion,
    );
    if txn.commit(context.store()).await? == Committed::Conflict {
        return Err(ActionError::Gone {
            resource: "pipeline",
        });
    }
    let (context, id) = (context.clone(), promotion.id);
    let promoting = tokio::spawn(async move { reach_all(&context, id, &source, &targets).await });
    promoting.await.map_err(ActionError::internal)?;
    Ok(promotion)
}

/// One that cannot be reached, or not be told of, keeps none of the others from its turn.
async fn reach_all(context: &Context, promotion: PromotionId, source: &Source, targets: &[Target]) {
    for (at, target) in targets.iter().enumerate() {
        if let Err(error) = reach_one(context, promotion, source, at, target).await {
            warn!(
                error = &error as &dyn std::error::Error,
                app.name = %target.app.name,
                "Could not promote; the promotion says that it was interrupted"
            );
        }
    }
}

async fn reach_one(
    context: &Context,
    promotion: PromotionId,
    source: &Source,
    at: usize,
    target: &Target,
) -> Result<(), ActionError> {
    let seen = read(context.store(), promotion).await?;
    let failure = match &target.refusal {
        Some(refusal) => refusal.clone(),
        None => match reach(context, &seen, source, at).await {
            Ok(()) => return Ok(()),
            Err(ActionError::Store(StoreError::Contended { .. })) => {
                "The app was changed by others again and again; promote again.".to_owned()
            }
            // Whether it was reached is not known yet.
            Err(ActionError::Store(error)) => return Err(error.into()),
            Err(error) => super::sentence(&error.to_string()),
        },
    };
    let outcome = PromotionOutcome::Failed { message: failure };
    let changed = decided(&seen.value, at, outcome);
    let txn = Txn::new().replace(&key::PROMOTIONS, &seen, &changed);
    txn.commit(context.store()).await?;
    Ok(())
}

async fn read(store: &dyn Store, id: PromotionId) -> Result<Versioned<Promotion>, ActionError> {
    let found = key::PROMOTIONS.get(store, &key::promotion(id)).await?;
    found.ok_or(ActionError::Gone {
        resource: "pipeline promotion",
    })
}

fn decided(promotion: &Promotion, at: usize, outcome: PromotionOutcome) -> Promotion {
    let mut changed = promotion.clone();
    changed.targets[at].outcome = Some(outcome);
    changed
}

/// The release, its slug and the outcome in one commit.
async fn reach(
    context: &Context,
    seen: &Versioned<Promotion>,
    source: &Source,
    at: usize,
) -> Result<(), ActionError> {
    let promotion = &seen.value;
    let (target, now) = (promotion.targets[at].app, Timestamp::now());
    let slug = Slug {
        id: SlugId::new(),
        app: target,
        created_at: now,
        ..source.slug.clone()
    };
    let description = description(source);
    let (_, release) = append_release(context.store(), &context.keyring, target, now, |base| {
        let mut app = base.app.value.clone();
        app.adopt(&slug);
        let draft = ReleaseDraft {
            description: description.clone(),
            actor: promotion.actor.clone(),
            slug: Some(slug.id),
        };
        // Its id is made with it: what is known beforehand is its version.
        let outcome = PromotionOutcome::Released {
            version: app.latest.next(),
        };
        let also = Txn::new()
            // As long as it is there, so is its blob.
            .exists(key::slug(source.app.id, source.slug.id))
            .create(&key::SLUGS, key::slug(target, slug.id), &slug)
            .replace(&key::PROMOTIONS, seen, &decided(promotion, at, outcome));
        Ok::<_, ActionError>(NewRelease {
            draft,
            config: base.config.clone(),
            attached: None,
            app,
            also,
        })
    })
    .await?;
    let by = &promotion.actor;
    context.tell(target, by, &description).await;
    context
        .tell(target, by, &format!("Release {} created", release.version))
        .await;
    Ok(())
}

fn description(source: &Source) -> String {
    let (app, version) = (&source.app.name, source.release.version);
    let commit = source.slug.commit.as_deref();
    match commit.and_then(|commit| commit.get(..8)) {
        Some(commit) => format!("Promote {app} {version} {commit}"),
        None => format!("Promote {app} {version}"),
    }
}

/// How it went with one of its apps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fared {
    Pending(Option<Release>),
    Succeeded(Release),
    Failed(Option<Release>, String),
}

pub(crate) async fn fared(
    store: &dyn Store,
    promotion: &Promotion,
    target: &PromotionTarget,
    now: Timestamp,
) -> Result<Fared, StoreError> {
    let version = match &target.outcome {
        None if now.duration_since(promotion.created_at).unsigned_abs() < PROMOTED_WITHIN => {
            return Ok(Fared::Pending(None));
        }
        None => {
            let why = "The promotion was interrupted before it got to this app; promote again.";
            return Ok(Fared::Failed(None, why.to_owned()));
        }
        Some(PromotionOutcome::Failed { message }) => {
            return Ok(Fared::Failed(None, message.clone()));
        }
        Some(PromotionOutcome::Released { version }) => *version,
    };
    let Some(promoted) = release(store, target, version).await? else {
        let why = "The app is gone.".to_owned();
        return Ok(Fared::Failed(None, why));
    };
    // A later release, of a config var for example, may carry it on before it is proven.
    let mut last = promoted.clone();
    while let ReleaseStatus::Superseded { by } = last.status {
        match release(store, target, by).await? {
            Some(next) if next.slug == promoted.slug => last = next,
            _ => break,
        }
    }
    Ok(match &last.status {
        ReleaseStatus::Pending => Fared::Pending(Some(promoted)),
        ReleaseStatus::Succeeded => Fared::Succeeded(promoted),
        ReleaseStatus::Failed(failure) => {
            let why = super::sentence(&failure.reason);
            Fared::Failed(Some(promoted), why)
        }
        ReleaseStatus::Superseded { by } => {
            let why = format!("{by} took its place before it was proven to work.");
            Fared::Failed(Some(promoted), why)
        }
    })
}

async fn release(
    store: &dyn Store,
    target: &PromotionTarget,
    version: ReleaseVersion,
) -> Result<Option<Release>, StoreError> {
    let found = key::RELEASES
        .get(store, &key::release(target.app, version))
        .await?;
    Ok(found.map(|release| release.value))
}
