//! Review apps. Who manages a pipeline says how it has them; who may see it may see its config.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;
use model::{Permission, ReviewApp};
use serde_json::{Value, json};
use store::key;

use super::pipelines::{Seen, permitted};
use super::{Created, created};
use crate::actions;
use crate::auth::Session;
use crate::context::{Context, Ctx};
use crate::error::{ApiError, ApiResult};
use crate::find;
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views;

/// Heroku's own command line asks for it, and then for a repository of GitHub's unless it is told that there is none.
pub(crate) async fn repositories_feature() -> Json<Value> {
    Json(json!({
        "created_at": "1970-01-01T00:00:00Z",
        "description": "Repositories of pipelines",
        "display_name": "",
        "doc_url": "",
        "enabled": false,
        "feedback_email": "",
        "id": uuid::Uuid::nil(),
        "name": "dashboard-repositories-api",
        "state": "general",
        "updated_at": "1970-01-01T00:00:00Z",
    }))
}

pub(crate) async fn show_config(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::ReviewAppConfig>> {
    let store = context.store();
    let pipeline = Seen::by(store, &session).await?.find(&identity)?;
    let config = actions::review_apps::config(store, pipeline.id).await?;
    Ok(Json(views::review_app::config(&config.value)))
}

pub(crate) async fn enable(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
    JsonBody(body): JsonBody<wire::ReviewAppConfigUpdate>,
) -> ApiResult<Created<wire::ReviewAppConfig>> {
    let store = context.store();
    let seen = Seen::by(store, &session).await?;
    let pipeline = seen.managed(&session, &identity)?.id;
    let config = actions::review_apps::enable(store, pipeline, &body).await?;
    Ok(created(views::review_app::config(&config)))
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
    JsonBody(body): JsonBody<wire::ReviewAppConfigUpdate>,
) -> ApiResult<Json<wire::ReviewAppConfig>> {
    let store = context.store();
    let seen = Seen::by(store, &session).await?;
    let pipeline = seen.managed(&session, &identity)?.id;
    let config = actions::review_apps::update(store, pipeline, &body).await?;
    Ok(Json(views::review_app::config(&config)))
}

pub(crate) async fn disable(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::ReviewAppConfig>> {
    let store = context.store();
    let seen = Seen::by(store, &session).await?;
    let pipeline = seen.managed(&session, &identity)?.id;
    let config = actions::review_apps::disable(store, pipeline).await?;
    Ok(Json(views::review_app::config(&config)))
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::ReviewAppCreate>,
) -> ApiResult<Created<wire::ReviewApp>> {
    let seen = Seen::by(context.store(), &session).await?;
    let pipeline = seen.managed(&session, &body.pipeline)?;
    let account = &session.account;
    let review = actions::review_apps::create(&context, &pipeline, account, &body).await?;
    Ok(created(view(&context, &review).await?))
}

/// Of the apps that one may see.
pub(crate) async fn list(
    State(context): State<Ctx>,
    session: Session,
    range: PageRange,
    Path(identity): Path<String>,
) -> ApiResult<Page> {
    let store = context.store();
    let pipeline = Seen::by(store, &session).await?.find(&identity)?;
    let visible = find::visible_apps(store, &session.account).await?;
    let mut views = Vec::new();
    for seen in key::REVIEW_APPS.all(store).await? {
        let is_ours = seen.value.pipeline == pipeline.id;
        if is_ours && visible.iter().any(|app| app.id == seen.value.app) {
            views.push(view(&context, &seen.value).await?);
        }
    }
    range.page(views)
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::ReviewApp>> {
    let review = permitted_one(&context, &session, &identity, Permission::View).await?;
    Ok(Json(view(&context, &review).await?))
}

pub(crate) async fn destroy(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::ReviewApp>> {
    let review = permitted_one(&context, &session, &identity, Permission::Manage).await?;
    let shown = view(&context, &review).await?;
    actions::apps::destroy(&context, review.app).await?;
    Ok(Json(wire::ReviewApp {
        status: "deleting".to_owned(),
        ..shown
    }))
}

pub(crate) async fn of_app(
    State(context): State<Ctx>,
    access: AppAccess,
) -> ApiResult<Json<wire::ReviewApp>> {
    let all = key::REVIEW_APPS.all(context.store()).await?;
    let app = access.app.value.id;
    let found = all.into_iter().find(|seen| seen.value.app == app);
    let review = found
        .ok_or_else(|| ApiError::not_found("review app"))?
        .value;
    Ok(Json(view(&context, &review).await?))
}

async fn permitted_one(
    context: &Context,
    session: &Session,
    identity: &str,
    permission: Permission,
) -> ApiResult<ReviewApp> {
    let none = || ApiError::not_found("review app");
    let store = context.store();
    let review = actions::review_apps::find(store, identity).await?;
    let review = review.ok_or_else(none)?;
    match permitted(store, session, &review.app.to_string(), permission).await {
        Ok(_) => Ok(review),
        Err(error) if error.is_not_found() => Err(none()),
        Err(error) => Err(error),
    }
}

async fn view(context: &Context, review: &ReviewApp) -> ApiResult<wire::ReviewApp> {
    let place = key::app_setup(review.setup);
    let setup = key::APP_SETUPS.get(context.store(), &place).await?;
    let setup = setup.map(|setup| setup.value);
    Ok(views::review_app::review_app(review, setup.as_ref()))
}
