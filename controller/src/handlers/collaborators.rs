//! Collaborators.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;
use store::key;

use super::{Created, created};
use crate::actions;
use crate::context::{Context, Ctx};
use crate::error::{ApiError, ApiResult};
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views::collaborator::{collaborator, owner};
use crate::{find, owners};

/// As [`create`], and also of those who let themselves into an app of their team.
pub(crate) async fn create_of_team(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::CollaboratorCreate>,
) -> ApiResult<Created<wire::Collaborator>> {
    let (app, account) = (&access.app.value, &access.session.account);
    let permission = actions::collaborators::named(body.permissions.as_deref())?;
    let (store, role) = (context.store(), access.role);
    let shared =
        actions::team_apps::share(store, app, role, account, &body.user, permission).await?;
    Ok(created(collaborator(
        app,
        &shared.collaborator,
        shared.email,
    )))
}

pub(crate) async fn list(
    State(context): State<Ctx>,
    access: AppAccess,
    range: PageRange,
) -> ApiResult<Page> {
    let app = &access.app.value;
    let found = key::COLLABORATORS
        .list(context.store(), &key::collaborators_of(app.id))
        .await?;
    let accounts = found.iter().map(|seen| seen.value.account).collect();
    let emails = find::emails(context.store(), accounts).await?;
    let others = found.iter().filter_map(|seen| {
        let email = emails.get(&seen.value.account)?.clone();
        Some(collaborator(app, &seen.value, email))
    });
    range.page(std::iter::once(owner_of(&context, &access).await?).chain(others))
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::CollaboratorCreate>,
) -> ApiResult<Created<wire::Collaborator>> {
    let app = &access.app.value;
    let permission = actions::collaborators::named(body.permissions.as_deref())?;
    let store = context.store();
    let shared = actions::collaborators::add(store, app, &body.user, permission).await?;
    Ok(created(collaborator(
        app,
        &shared.collaborator,
        shared.email,
    )))
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::Collaborator>> {
    let app = &access.app.value;
    let owner = owner_of(&context, &access).await?;
    if [
        owner.id.to_string(),
        owner.user.id.to_string(),
        owner.user.email.to_string(),
    ]
    .contains(&identity)
    {
        return Ok(Json(owner));
    }
    let (found, email) = actions::collaborators::find(context.store(), app, &identity).await?;
    Ok(Json(collaborator(app, &found.value, email)))
}

/// What they may do.
pub(crate) async fn update(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
    JsonBody(body): JsonBody<wire::CollaboratorUpdate>,
) -> ApiResult<Json<wire::Collaborator>> {
    let (store, app) = (context.store(), &access.app.value);
    let permission = actions::collaborators::named(Some(&body.permissions))?;
    let permission = permission
        .ok_or_else(|| ApiError::invalid("Name the permissions: view, deploy, operate, manage."))?;
    let (found, email) = actions::collaborators::find(store, app, &identity).await?;
    let changed = actions::collaborators::permit(store, &found, permission).await?;
    Ok(Json(collaborator(app, &changed, email)))
}

pub(crate) async fn remove(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::Collaborator>> {
    let AppAccess { app, role, session } = &access;
    let (found, email) =
        actions::collaborators::find(context.store(), &app.value, &identity).await?;
    actions::collaborators::remove(context.store(), &app.value, *role, session, &found).await?;
    Ok(Json(collaborator(&app.value, &found.value, email)))
}

async fn owner_of(context: &Context, access: &AppAccess) -> ApiResult<wire::Collaborator> {
    let app = &access.app.value;
    let shown = owners::show(context.store(), app.owner).await?;
    let shown = shown.ok_or_else(|| ApiError::not_found("app"))?;
    Ok(owner(app, shown.email))
}
