//! Those who provide add-ons, and their plans.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;
use model::{AddonService, AddonServiceName};
use serde_json::{Map, Value};
use store::{Versioned, key};

use super::{Created, created};
use crate::actions;
use crate::addons::service_of;
use crate::auth::Session;
use crate::context::{Context, Ctx};
use crate::error::{ApiError, ApiResult};
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views::addon as views;

pub(crate) async fn list(
    State(context): State<Ctx>,
    _: Session,
    range: PageRange,
) -> ApiResult<Page> {
    let all = key::ADDON_SERVICES.all(context.store()).await?;
    range.page(all.iter().map(|service| views::service(&service.value)))
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    _: Session,
    JsonBody(manifest): JsonBody<Map<String, Value>>,
) -> ApiResult<Created<wire::AddonService>> {
    let made = actions::addon_services::add(&context, &Value::Object(manifest)).await?;
    Ok(created(views::service(&made)))
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    _: Session,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::AddonService>> {
    let found = find(&context, &identity).await?;
    Ok(Json(views::service(&found.value)))
}

pub(crate) async fn replace(
    State(context): State<Ctx>,
    _: Session,
    Path(identity): Path<String>,
    JsonBody(manifest): JsonBody<Map<String, Value>>,
) -> ApiResult<Json<wire::AddonService>> {
    let found = find(&context, &identity).await?;
    let manifest = Value::Object(manifest);
    let changed = actions::addon_services::replace(&context, &found, &manifest).await?;
    Ok(Json(views::service(&changed)))
}

pub(crate) async fn remove(
    State(context): State<Ctx>,
    _: Session,
    Path(identity): Path<String>,
    JsonBody(body): JsonBody<wire::AddonDestroy>,
) -> ApiResult<Json<wire::AddonService>> {
    let found = find(&context, &identity).await?;
    let force = body.force.unwrap_or_default();
    let gone = actions::addon_services::remove(&context, found, force).await?;
    Ok(Json(views::service(&gone)))
}

pub(crate) async fn region_capabilities(
    State(context): State<Ctx>,
    _: Session,
    range: PageRange,
) -> ApiResult<Page> {
    let all = key::ADDON_SERVICES.all(context.store()).await?;
    let all = all.iter().map(|service| &service.value);
    range.page(all.map(views::region_capability))
}

pub(crate) async fn region_capabilities_of(
    State(context): State<Ctx>,
    _: Session,
    Path(identity): Path<String>,
    range: PageRange,
) -> ApiResult<Page> {
    let service = find(&context, &identity).await?.value;
    range.page([views::region_capability(&service)])
}

pub(crate) async fn region_capabilities_in(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
    range: PageRange,
) -> ApiResult<Page> {
    // Where there is none, there is nothing to be had.
    let Json(_) = super::platform::region(Path(identity)).await?;
    region_capabilities(State(context), session, range).await
}

pub(crate) async fn plans(
    State(context): State<Ctx>,
    _: Session,
    Path(identity): Path<String>,
    range: PageRange,
) -> ApiResult<Page> {
    let service = find(&context, &identity).await?.value;
    let plans = service.plans.iter();
    range.page(plans.map(|plan| views::plan(&service, plan)))
}

pub(crate) async fn plan_of(
    State(context): State<Ctx>,
    _: Session,
    Path((identity, plan)): Path<(String, String)>,
) -> ApiResult<Json<wire::Plan>> {
    let service = find(&context, &identity).await?.value;
    let plan = service.plan(&plan);
    let plan = plan.ok_or_else(|| ApiError::not_found("plan"))?;
    Ok(Json(views::plan(&service, plan)))
}

pub(crate) async fn plan(
    State(context): State<Ctx>,
    _: Session,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::Plan>> {
    let found = actions::addons::find_plan(context.store(), &identity).await;
    let (service, plan) = found.map_err(|_| ApiError::not_found("plan"))?;
    Ok(Json(views::plan(&service.value, &plan)))
}

/// By name or id.
pub(super) async fn find(context: &Context, identity: &str) -> ApiResult<Versioned<AddonService>> {
    let none = || {
        ApiError::not_found_because(
            "add_on service",
            "Couldn't find that add-on service. See `paas addons:services`.",
        )
    };
    if let Ok(name) = identity.parse::<AddonServiceName>()
        && let Some(found) = service_of(context.store(), &name).await?
    {
        return Ok(found);
    }
    let all = key::ADDON_SERVICES.all(context.store()).await?;
    let found = all
        .into_iter()
        .find(|service| service.value.id.to_string() == identity);
    found.ok_or_else(none)
}
