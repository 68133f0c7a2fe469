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
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views;
use crate::{find, owners};

/// Every app one may see: for administrators, every app.
pub(crate) async fn list(
    State(context): State<Ctx>,
    session: Session,
    range: PageRange,
) -> ApiResult<Page> {
    let apps = find::visible_apps(context.store(), &session.account).await?;
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
    let apps = find::apps_of(context.store(), &session.account).await?;
    page(&context, apps, &range).await
}

/// Those of a list of ids that one may see.
pub(crate) async fn filter(
    State(context): State<Ctx>,
    session: Session,
    range: PageRange,
    JsonBody(body): JsonBody<wire::AppsFilter>,
) -> ApiResult<Page> {
    let store = context.store();
    let wanted: HashSet<String> = body.within.id.into_iter().collect();
    let mut apps = find::visible_apps(store, &session.account).await?;
    apps.retain(|app| wanted.contains(&app.id.to_string()));
    team_page(&context, &session.account, &apps, &range).await
}

/// With what a team has to do with each.
pub(super) async fn team_page(
    context: &Context,
    account: &Account,
    apps: &[App],
    range: &PageRange,
) -> ApiResult<Page> {
    let own = find::apps_of(context.store(), account).await?;
    let own: HashSet<AppId> = own.iter().map(|app| app.id).collect();
    let locked: HashSet<AppId> = (apps.iter().filter(|app| app.locked))
        .map(|app| app.id)
        .collect();
    let apps = views_of(context, apps).await?;
    range.page(apps.into_iter().map(|app| wire::TeamApp {
        joined: own.contains(&app.id),
        locked: locked.contains(&app.id),
        app,
    }))
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

async fn page(context: &Context, apps: Vec<App>, range: &PageRange) -> ApiResult<Page> {
    range.page(views_of(context, &apps).await?)
}

async fn views_of(context: &Context, apps: &[App]) -> ApiResult<Vec<wire::App>> {
    let owners = apps.iter().map(|app| app.owner).collect();
    let owners = owners::shown(context.store(), owners).await?;
    let acm: HashSet<AppId> = (key::ACM.all(context.store()).await?.iter())
        .map(|acm| acm.value.app)
        .collect();
    let views = apps.iter().filter_map(|app| {
        let owner = owners.get(&app.owner)?;
        let acm = acm.contains(&app.id);
        Some(views::app::app(&context.config, app, owner, acm))
    });
    Ok(views.collect())
}

pub(super) async fn view(context: &Context, app: &App) -> ApiResult<wire::App> {
    let owner = owners::show(context.store(), app.owner).await?;
    let owner = owner.ok_or_else(|| ApiError::not_found("app"))?;
    let acm = actions::acm::is_enabled(context.store(), app.id).await?;
    Ok(views::app::app(&context.config, app, &owner, acm))
}
