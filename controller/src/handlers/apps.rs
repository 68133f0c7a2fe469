//! Apps.

use std::collections::HashSet;

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;
use model::{Account, App, AppId};
use store::key;

use super::accounts::require_self;
use super::{Created, created};
use crate::actions;
use crate::auth::Session;
use crate::context::{Context, Ctx, actor};
use crate::error::{ApiError, ApiResult};
use crate::find;
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views;

/// Every app one may see: for administrators, every app.
pub(crate) async fn list(
    State(context): State<Ctx>,
    session: Session,
    range: PageRange,
) -> ApiResult<Page> {
    let apps = if session.account.is_admin {
        key::APPS
            .all(context.store())
            .await?
            .into_iter()
            .map(|app| app.value)
            .collect()
    } else {
        apps_of(&context, &session.account).await?
    };
    page(&context, apps, &range).await
}

/// The apps one owns or works on.
pub(crate) async fn list_of_user(
    State(context): State<Ctx>,
    session: Session,
    Path(user): Path<String>,
    range: PageRange,
) -> ApiResult<Page> {
    require_self(&session, &user)?;
    page(&context, apps_of(&context, &session.account).await?, &range).await
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::AppCreate>,
) -> ApiResult<Created<wire::App>> {
    let app = actions::apps::create(&context, &session.account, &body).await?;
    Ok(created(view(&context, &app).await?))
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AppAccess,
) -> ApiResult<Json<wire::App>> {
    Ok(Json(view(&context, &access.app.value).await?))
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::AppUpdate>,
) -> ApiResult<Json<wire::App>> {
    let by = actor(&access.session.account);
    let app = actions::apps::update(&context, access.app.value.id, access.role, &by, &body).await?;
    Ok(Json(view(&context, &app).await?))
}

pub(crate) async fn destroy(
    State(context): State<Ctx>,
    access: AppAccess,
) -> ApiResult<Json<wire::App>> {
    let app = actions::apps::destroy(&context, access.app.value.id).await?;
    Ok(Json(view(&context, &app).await?))
}

async fn apps_of(context: &Context, account: &Account) -> ApiResult<Vec<App>> {
    let shared: HashSet<AppId> = key::COLLABORATORS
        .all(context.store())
        .await?
        .into_iter()
        .filter(|collaborator| collaborator.value.account == account.id)
        .map(|collaborator| collaborator.value.app)
        .collect();
    let apps = key::APPS
        .all(context.store())
        .await?
        .into_iter()
        .map(|app| app.value);
    Ok(apps
        .filter(|app| app.owner == account.id || shared.contains(&app.id))
        .collect())
}

async fn page(context: &Context, apps: Vec<App>, range: &PageRange) -> ApiResult<Page> {
    let owners = apps.iter().map(|app| app.owner).collect();
    let emails = find::emails(context.store(), owners).await?;
    let acm: HashSet<AppId> = (key::ACM.all(context.store()).await?.iter())
        .map(|acm| acm.value.app)
        .collect();
    range.page(apps.iter().filter_map(|app| {
        let owner = emails.get(&app.owner)?.clone();
        let acm = acm.contains(&app.id);
        Some(views::app::app(&context.config, app, owner, acm))
    }))
}

async fn view(context: &Context, app: &App) -> ApiResult<wire::App> {
    let owner = key::ACCOUNTS
        .get(context.store(), &key::account(app.owner))
        .await?;
    let owner = owner.ok_or_else(|| ApiError::not_found("app"))?.value.email;
    let acm = actions::acm::is_enabled(context.store(), app.id).await?;
    Ok(views::app::app(&context.config, app, owner, acm))
}
