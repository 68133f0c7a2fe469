//! Where an app's dynos may run.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use controller_api::wire;
use model::{App, DynoKind, NodeId};
use store::{Store, key};

use crate::actions;
use crate::context::{Ctx, actor};
use crate::error::ApiResult;
use crate::guard::AppAccess;
use crate::http::body::JsonBody;

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AppAccess,
) -> ApiResult<Json<wire::Placement>> {
    view(context.store(), &access.app.value).await
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::PlacementUpdate>,
) -> ApiResult<Json<wire::Placement>> {
    let by = actor(&access.session.account);
    let app = actions::placement::update(&context, access.app.value.id, &by, &body).await?;
    view(context.store(), &app).await
}

async fn view(store: &dyn Store, app: &App) -> ApiResult<Json<wire::Placement>> {
    let types = app.placement.types.iter().map(|(process_type, own)| {
        let own = wire::TypePlacement {
            one_per_node: own.one_per_node,
            tags: own.tags.clone(),
        };
        (process_type.to_string(), own)
    });
    Ok(Json(wire::Placement {
        misplaced: misplaced(store, app).await?,
        tags: app.placement.tags.clone(),
        types: types.collect(),
    }))
}

async fn misplaced(store: &dyn Store, app: &App) -> ApiResult<u32> {
    if app.placement.is_empty() {
        return Ok(0);
    }
    let nodes = key::NODES.all(store).await?;
    let tags: HashMap<NodeId, _> = nodes
        .iter()
        .map(|seen| (seen.value.id, &seen.value.tags))
        .collect();
    let dynos = key::DYNOS.list(store, &key::dynos_of(app.id)).await?;
    let misplaced = dynos.iter().map(|seen| &seen.value).filter(|dyno| {
        let tags = dyno.node.and_then(|node| tags.get(&node));
        matches!(dyno.kind, DynoKind::Formation)
            && tags.is_some_and(|tags| !app.placement.admits(&dyno.name.process_type, tags))
    });
    Ok(u32::try_from(misplaced.count()).unwrap_or(u32::MAX))
}
