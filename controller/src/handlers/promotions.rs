//! Promotions.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;
use model::pipeline::MAX_APPS;
use model::{App, Permission, Pipeline, Promotion, PromotionId, Timestamp};
use store::{Store, key};

use super::pipelines::{Seen, permitted};
use super::{Created, created};
use crate::actions::promotions::{Fared, Target, fared, promote, source};
use crate::auth::Session;
use crate::context::{Ctx, actor};
use crate::error::{ApiError, ApiResult};
use crate::find;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views;

pub(crate) async fn create(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::PipelinePromotionCreate>,
) -> ApiResult<Created<wire::PipelinePromotion>> {
    let store = context.store();
    let seen = Seen::by(store, &session).await?;
    let pipeline = seen.find(&body.pipeline.0)?;
    let from = permitted(store, &session, &body.source.app.0, Permission::View).await?;
    must_be_in(&seen, &pipeline, &from)?;
    if body.targets.len() > MAX_APPS {
        return Err(ApiError::invalid("Name the apps to promote to, each once."));
    }
    let mut targets = Vec::new();
    for target in &body.targets {
        let app = permitted(store, &session, &target.app.0, Permission::View).await?;
        must_be_in(&seen, &pipeline, &app)?;
        if app.id == from.id {
            return Err(ApiError::invalid(format!(
                "{} cannot be promoted to itself.",
                app.name
            )));
        }
        let role = find::role(store, &session.account, &app).await?;
        let may = role.is_some_and(|role| role.may(Permission::Deploy));
        let refusal = (!may).then(|| format!("You may not deploy to {}.", app.name));
        targets.push(Target { app, refusal });
    }
    let release = body.source.release.as_ref();
    let source = source(store, from, release.map(|release| release.0.as_str())).await?;
    let by = actor(&session.account);
    let made = promote(&context, pipeline.id, source, targets, by).await?;
    let now = key::PROMOTIONS.get(store, &key::promotion(made.id)).await;
    // That it was made is known, whatever the store says now.
    let promotion = now.ok().flatten().map_or(made, |seen| seen.value);
    let fared = all_fared(store, &promotion).await?;
    Ok(created(views::pipeline::promotion(&promotion, &fared)))
}

fn must_be_in(seen: &Seen, pipeline: &Pipeline, app: &App) -> ApiResult<()> {
    match seen.has(pipeline, app.id) {
        true => Ok(()),
        false => Err(ApiError::invalid(format!(
            "{} is not in the pipeline {}.",
            app.name, pipeline.name
        ))),
    }
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<Json<wire::PipelinePromotion>> {
    let store = context.store();
    let promotion = find(store, &session, &id).await?;
    let fared = all_fared(store, &promotion).await?;
    Ok(Json(views::pipeline::promotion(&promotion, &fared)))
}

pub(crate) async fn targets(
    State(context): State<Ctx>,
    session: Session,
    Path(id): Path<String>,
    range: PageRange,
) -> ApiResult<Page> {
    let store = context.store();
    let promotion = find(store, &session, &id).await?;
    let fared = all_fared(store, &promotion).await?;
    let targets = promotion.targets.iter().zip(fared);
    range.page(targets.map(|(target, fared)| views::pipeline::target(&promotion, target, fared)))
}

async fn all_fared(store: &dyn Store, promotion: &Promotion) -> ApiResult<Vec<Fared>> {
    let (now, mut all) = (Timestamp::now(), Vec::new());
    for target in &promotion.targets {
        all.push(fared(store, promotion, target, now).await?);
    }
    Ok(all)
}

/// Of a pipeline that one may see.
async fn find(store: &dyn Store, session: &Session, id: &str) -> ApiResult<Promotion> {
    let none = || ApiError::not_found("pipeline promotion");
    let id: PromotionId = id.parse().map_err(|_| none())?;
    let found = key::PROMOTIONS.get(store, &key::promotion(id)).await?;
    let promotion = found.ok_or_else(none)?.value;
    let seen = Seen::by(store, session).await?;
    seen.find(&promotion.pipeline.to_string())
        .map_err(|_| none())?;
    Ok(promotion)
}
