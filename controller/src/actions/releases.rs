//! Rolling back, and releasing a slug again.

use controller_api::wire::ReleaseCreate;
use model::release::ReleaseDraft;
use model::{Actor, App, AppId, ConfigVars, Release, ReleaseStatus, SlugId, Timestamp};
use store::Txn;
use store::ledger::{Base, NewRelease, append_release, read_config};

use super::ActionError;
use crate::context::Context;
use crate::{find, views};

const MAX_DESCRIPTION: usize = 255;

pub(crate) async fn create(
    context: &Context,
    app: AppId,
    by: &Actor,
    create: &ReleaseCreate,
) -> Result<(App, Release), ActionError> {
    match (&create.release, &create.slug) {
        (Some(release), None) => rollback(context, app, by, release).await,
        (None, Some(slug)) => {
            release_slug(context, app, by, slug, create.description.as_deref()).await
        }
        _ => Err(ActionError::invalid(
            "Name either the release to go back to, or the slug to release.",
        )),
    }
}

/// A new release with the old one's slug and config.
async fn rollback(
    context: &Context,
    app: AppId,
    by: &Actor,
    identity: &str,
) -> Result<(App, Release), ActionError> {
    let old = find::release(context.store(), app, identity)
        .await?
        .ok_or_else(|| ActionError::NotFound {
            resource: "release",
            message: format!(
                "Couldn't find the release {identity}. See `paas releases` for those there are."
            ),
        })?;
    let old = old.value;
    if !views::release::is_eligible(&old) {
        return Err(ActionError::invalid(not_eligible(&old)));
    }
    let config = read_config(context.store(), &context.keyring, app, old.version)
        .await?
        .ok_or(ActionError::Gone { resource: "app" })?;
    // What its add-ons gave then is not what they give now.
    let config = config.without(&old.addons.vars);
    if find::slug(context.store(), app, old.slug).await?.is_none() {
        return Err(ActionError::invalid(format!(
            "Cannot roll back to {}: its slug is no longer kept. Check out its commit and push that instead.",
            old.version
        )));
    }
    let description = format!("Rollback to {}", old.version);
    append(context, app, by, description, |_| {
        (old.slug, config.clone())
    })
    .await
}

fn not_eligible(old: &Release) -> String {
    let version = old.version;
    match &old.status {
        ReleaseStatus::Failed(failure) => {
            format!(
                "Cannot roll back to {version}: that release failed ({}).",
                failure.reason
            )
        }
        ReleaseStatus::Pending => {
            format!("Cannot roll back to {version}: it is still being released.")
        }
        ReleaseStatus::Superseded { by } => {
            format!(
                "Cannot roll back to {version}: {by} took its place before it was proven to work."
            )
        }
        ReleaseStatus::Succeeded => {
            format!("Cannot roll back to {version}: it has no code, only config.")
        }
    }
}

/// The slug with the present config.
async fn release_slug(
    context: &Context,
    app: AppId,
    by: &Actor,
    identity: &str,
    description: Option<&str>,
) -> Result<(App, Release), ActionError> {
    let not_found = || ActionError::NotFound {
        resource: "slug",
        message: format!("Couldn't find the slug {identity} of this app."),
    };
    let id: SlugId = identity.parse().map_err(|_| not_found())?;
    let slug = find::slug(context.store(), app, Some(id))
        .await?
        .ok_or_else(not_found)?;
    let description = match description.filter(|text| !text.is_empty()) {
        Some(text) => text
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_DESCRIPTION)
            .collect(),
        None => deploy_description(slug.commit.as_deref()),
    };
    append(context, app, by, description, |base| {
        (Some(id), base.config.clone())
    })
    .await
}

fn deploy_description(commit: Option<&str>) -> String {
    commit.map_or_else(
        || "Deploy".to_owned(),
        |commit| format!("Deploy {}", &commit[..commit.len().min(8)]),
    )
}

async fn append(
    context: &Context,
    app: AppId,
    by: &Actor,
    description: String,
    content: impl Fn(&Base) -> (Option<SlugId>, ConfigVars) + Send + Sync,
) -> Result<(App, Release), ActionError> {
    let appended = append_release(
        context.store(),
        &context.keyring,
        app,
        Timestamp::now(),
        |base| {
            let (slug, config) = content(base);
            let draft = ReleaseDraft {
                description: description.clone(),
                actor: by.clone(),
                slug,
            };
            Ok::<_, ActionError>(NewRelease {
                draft,
                config,
                attached: None,
                app: base.app.value.clone(),
                also: Txn::new(),
            })
        },
    )
    .await?;
    context.tell(app, by, &description).await;
    context
        .tell(app, by, &format!("Release {} created", appended.1.version))
        .await;
    Ok(appended)
}
