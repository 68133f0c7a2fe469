//! Evening out the nodes' loads.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use controller_api::wire::{self, RebalanceStatus};
use model::{NodeId, RebalanceProgress, RebalanceRequest};
use store::{Store, key};

use super::{Created, accepted};
use crate::actions;
use crate::auth::Session;
use crate::context::{Ctx, actor};
use crate::error::{ApiError, ApiResult};

/// The one that is being followed, or else the last one.
pub(crate) async fn show(State(context): State<Ctx>) -> ApiResult<Json<wire::Rebalance>> {
    Ok(Json(newest(context.store()).await?))
}

pub(crate) async fn request(
    State(context): State<Ctx>,
    session: Session,
) -> ApiResult<Created<wire::Rebalance>> {
    actions::rebalance::request(context.store(), &actor(&session.account)).await?;
    Ok(accepted(newest(context.store()).await?))
}

pub(crate) async fn stop(State(context): State<Ctx>) -> ApiResult<Json<wire::Rebalance>> {
    let store = context.store();
    match actions::rebalance::stop(store).await? {
        Some(stopped) => Ok(Json(of(store, stopped, RebalanceStatus::Stopped).await?)),
        None => Ok(Json(newest(store).await?)),
    }
}

async fn newest(store: &dyn Store) -> ApiResult<wire::Rebalance> {
    // The request first: it goes in the commit that says how it ended.
    if let Some(request) = key::REBALANCE.get(store, &key::rebalance()).await? {
        return of(store, request.value, RebalanceStatus::Balancing).await;
    }
    let progress = read_progress(store).await?;
    let progress = progress.ok_or_else(|| ApiError::not_found("rebalance"))?;
    of(store, progress.request, RebalanceStatus::Stopped).await
}

async fn read_progress(store: &dyn Store) -> ApiResult<Option<RebalanceProgress>> {
    let place = key::rebalance_progress();
    let seen = key::REBALANCE_PROGRESS.get(store, &place).await?;
    Ok(seen.map(|seen| seen.value))
}

/// How a request stands, unless its progress says that it is done.
async fn of(
    store: &dyn Store,
    request: RebalanceRequest,
    unfinished: RebalanceStatus,
) -> ApiResult<wire::Rebalance> {
    let progress = read_progress(store).await?;
    let progress = progress.filter(|progress| progress.request == request);
    let progress = progress.unwrap_or_else(|| RebalanceProgress::begun(request));
    let nodes = key::NODES.all(store).await?;
    let names = nodes
        .iter()
        .map(|seen| (seen.value.id, seen.value.name.as_str()));
    Ok(view(&progress, unfinished, &names.collect()))
}

fn view(
    progress: &RebalanceProgress,
    unfinished: RebalanceStatus,
    names: &HashMap<NodeId, &str>,
) -> wire::Rebalance {
    let name = |node: NodeId| {
        names
            .get(&node)
            .map_or_else(|| node.to_string(), |name| (*name).to_owned())
    };
    let moves = progress.moves.iter().map(|moved| wire::RebalanceMove {
        app: moved.app_name.to_string(),
        at: moved.at.into(),
        dyno: moved.dyno.to_string(),
        from: name(moved.from),
        to: name(moved.to),
    });
    wire::Rebalance {
        finished_at: progress.finished_at.map(Into::into),
        moved: progress.moved,
        moves: moves.collect(),
        requested_at: progress.request.requested_at.into(),
        requested_by: progress.request.requested_by.email.to_string(),
        status: match progress.finished_at {
            Some(_) => RebalanceStatus::Balanced,
            None => unfinished,
        },
    }
}
