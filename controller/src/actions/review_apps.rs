//! Review apps: apps that are set up for a branch, in the stage `review` of a pipeline, and go when nobody needs them.

use controller_api::wire::app::Identity;
use controller_api::wire::{AppCreate, ReviewAppConfigUpdate, ReviewAppCreate};
use model::pipeline::MAX_APPS;
use model::{
    Account, Coupling, CouplingId, Pipeline, PipelineId, ReviewApp, ReviewAppConfig, ReviewAppId,
    Stage, Timestamp,
};
use rand::Rng as _;
use store::{Committed, Store, StoreError, Txn, Versioned, key};

use super::app_setups::{self, Wish};
use super::pipelines::couplings_of;
use super::{ActionError, Attempts, apps, builds};
use crate::context::Context;

const STALE_DAYS: u32 = 5;
const MAX_STALE_DAYS: u32 = 365;
/// So that a number fits behind it.
const MAX_BASE_NAME: usize = 23;
const MAX_BRANCH: usize = 255;

pub(crate) async fn config(
    store: &dyn Store,
    pipeline: PipelineId,
) -> Result<Versioned<ReviewAppConfig>, ActionError> {
    let place = key::review_app_config(pipeline);
    let found = key::REVIEW_APP_CONFIGS.get(store, &place).await?;
    found.ok_or_else(|| ActionError::NotFound {
        resource: "review app config",
        message: "Review apps are not enabled for this pipeline.".to_owned(),
    })
}

pub(crate) async fn enable(
    store: &dyn Store,
    pipeline: PipelineId,
    update: &ReviewAppConfigUpdate,
) -> Result<ReviewAppConfig, ActionError> {
    let now = Timestamp::now();
    let usual = ReviewAppConfig {
        pipeline,
        repo: None,
        automatic_review_apps: false,
        destroy_stale_apps: false,
        stale_days: STALE_DAYS,
        wait_for_ci: false,
        base_name: None,
        created_at: now,
        updated_at: now,
    };
    let config = changed(&usual, update)?;
    let place = key::review_app_config(pipeline);
    let txn =
        Txn::new()
            .exists(key::pipeline(pipeline))
            .create(&key::REVIEW_APP_CONFIGS, place, &config);
    match txn.commit(store).await? {
        Committed::Done(_) => Ok(config),
        Committed::Conflict => Err(ActionError::invalid(
            "Review apps are enabled for this pipeline already.",
        )),
    }
}

pub(crate) async fn update(
    store: &dyn Store,
    pipeline: PipelineId,
    update: &ReviewAppConfigUpdate,
) -> Result<ReviewAppConfig, ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let seen = config(store, pipeline).await?;
        let changed = changed(&seen.value, update)?;
        let txn = Txn::new().replace(&key::REVIEW_APP_CONFIGS, &seen, &changed);
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(changed);
        }
        attempts.lost().await?;
    }
}

/// The review apps there are stay.
pub(crate) async fn disable(
    store: &dyn Store,
    pipeline: PipelineId,
) -> Result<ReviewAppConfig, ActionError> {
    let seen = config(store, pipeline).await?;
    Txn::new().delete(seen.key).commit(store).await?;
    Ok(seen.value)
}

fn changed(
    config: &ReviewAppConfig,
    update: &ReviewAppConfigUpdate,
) -> Result<ReviewAppConfig, ActionError> {
    let stale_days = update.stale_days.unwrap_or(config.stale_days);
    if !(1..=MAX_STALE_DAYS).contains(&stale_days) {
        return Err(ActionError::invalid(format!(
            "stale_days must be 1 to {MAX_STALE_DAYS}."
        )));
    }
    let base_name = update.base_name.clone().or(config.base_name.clone());
    if let Some(base) = &base_name {
        let fits = base.len() <= MAX_BASE_NAME;
        if !fits || format!("{base}-1").parse::<model::AppName>().is_err() {
            return Err(ActionError::invalid(format!(
                "The base_name must be the beginning of an app's name, of at most {MAX_BASE_NAME} characters."
            )));
        }
    }
    Ok(ReviewAppConfig {
        repo: update.repo.clone().or(config.repo.clone()),
        automatic_review_apps: update
            .automatic_review_apps
            .unwrap_or(config.automatic_review_apps),
        destroy_stale_apps: update
            .destroy_stale_apps
            .unwrap_or(config.destroy_stale_apps),
        stale_days,
        wait_for_ci: update.wait_for_ci.unwrap_or(config.wait_for_ci),
        base_name,
        updated_at: Timestamp::now(),
        ..config.clone()
    })
}

/// The app, its place in the pipeline and the wish for the rest, in one commit.
pub(crate) async fn create(
    context: &Context,
    pipeline: &Pipeline,
    by: &Account,
    create: &ReviewAppCreate,
) -> Result<ReviewApp, ActionError> {
    let store = context.store();
    let branch = create.branch.trim();
    if branch.is_empty() || branch.len() > MAX_BRANCH || branch.chars().any(char::is_control) {
        return Err(ActionError::invalid("Name the branch."));
    }
    let config = config(store, pipeline.id).await?;
    if couplings_of(store, pipeline.id).await?.len() >= MAX_APPS {
        return Err(ActionError::invalid(format!(
            "A pipeline may have at most {MAX_APPS} apps."
        )));
    }
    // Whoever changes the pipeline's apps meanwhile is told by this.
    let seen = key::PIPELINES
        .get(store, &key::pipeline(pipeline.id))
        .await?;
    let seen = seen.ok_or(ActionError::Gone {
        resource: "pipeline",
    })?;
    let environment = create.environment.iter().flatten();
    let env = environment.filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
    let wish = Wish {
        archive: builds::archive(context, &create.source_blob).await?,
        url: create.source_blob.url.clone(),
        env: env.collect(),
        buildpacks: Vec::new(),
        environment: Some("review".to_owned()),
    };
    let app = AppCreate {
        name: Some(name(&config.value, pipeline, create.pr_number)),
        team: (pipeline.owner.team()).map(|team| Identity(team.to_string())),
        ..AppCreate::default()
    };
    let (id, now) = (ReviewAppId::new(), Timestamp::now());
    let mut made = None;
    app_setups::begin(context, by, &app, wish, |setup| {
        let review = ReviewApp {
            id,
            pipeline: pipeline.id,
            app: setup.app,
            setup: setup.id,
            branch: branch.to_owned(),
            pr_number: create.pr_number,
            fork_repo_id: create.fork_repo_id,
            creator: by.id,
            created_at: now,
        };
        let coupling = Coupling {
            id: CouplingId::new(),
            app: setup.app,
            pipeline: pipeline.id,
            stage: Stage::Review,
            created_at: now,
            updated_at: now,
        };
        let txn = Txn::new()
            .unchanged(&config)
            .replace(&key::PIPELINES, &seen, &seen.value)
            .create(&key::COUPLINGS, key::coupling(setup.app), &coupling)
            .create(&key::REVIEW_APPS, key::review_app(id), &review);
        made = Some(review);
        txn
    })
    .await?;
    made.ok_or(ActionError::Gone { resource: "app" })
}

/// `myapp-pr-17`, or with a number by chance.
fn name(config: &ReviewAppConfig, pipeline: &Pipeline, pr_number: Option<i64>) -> String {
    let base = config.base_name.clone().unwrap_or_else(|| {
        let plain = pipeline.name.as_str().to_ascii_lowercase();
        let plain: String = plain
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .skip_while(|c| !c.is_ascii_lowercase())
            .take(16)
            .collect();
        match plain.trim_end_matches('-') {
            "" => "review".to_owned(),
            plain => plain.to_owned(),
        }
    });
    match pr_number {
        Some(number) if (0..1000).contains(&number) => format!("{base}-pr-{number}"),
        _ => format!("{base}-{:06x}", rand::rng().random_range(0..0x100_0000)),
    }
}

/// By its id.
pub(crate) async fn find(
    store: &dyn Store,
    identity: &str,
) -> Result<Option<ReviewApp>, StoreError> {
    let Ok(id) = identity.parse::<ReviewAppId>() else {
        return Ok(None);
    };
    let found = key::REVIEW_APPS.get(store, &key::review_app(id)).await?;
    Ok(found.map(|found| found.value))
}

/// Those to which nothing was released for as long as their pipelines say.
pub(crate) async fn destroy_stale(context: &Context) -> Result<(), ActionError> {
    let (store, now) = (context.store(), Timestamp::now());
    for seen in key::REVIEW_APPS.all(store).await? {
        let review = seen.value;
        let place = key::review_app_config(review.pipeline);
        let config = key::REVIEW_APP_CONFIGS.get(store, &place).await?;
        let app = key::APPS.get(store, &key::app(review.app)).await?;
        let (Some(config), Some(app)) = (config, app) else {
            continue;
        };
        let last = app.value.released_at.unwrap_or(app.value.created_at);
        if config.value.is_stale(last, now) {
            let app = apps::destroy(context, review.app).await?;
            tracing::info!(app.name = %app.name, "Destroyed a review app that was stale");
        }
    }
    Ok(())
}
