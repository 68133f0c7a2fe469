//! One module per noun, all alike: extract, (the route's rule has authorized,) act, view.

pub(crate) mod accounts;
pub(crate) mod addon_providers;
pub(crate) mod addon_services;
pub(crate) mod addons;
pub(crate) mod app_setups;
pub(crate) mod apps;
pub(crate) mod attachments;
pub(crate) mod audit;
pub(crate) mod authorizations;
pub(crate) mod browser_login;
pub(crate) mod buildpacks;
pub(crate) mod builds;
pub(crate) mod certificates;
pub(crate) mod collaborators;
pub(crate) mod config_vars;
pub(crate) mod domains;
pub(crate) mod dynos;
pub(crate) mod empty;
pub(crate) mod features;
pub(crate) mod formation;
pub(crate) mod internal;
pub(crate) mod invitations;
pub(crate) mod joining;
pub(crate) mod keys;
pub(crate) mod log_drains;
pub(crate) mod logs;
pub(crate) mod nodes;
pub(crate) mod notice;
pub(crate) mod oidc;
pub(crate) mod pipelines;
pub(crate) mod placement;
pub(crate) mod platform;
pub(crate) mod platform_certificate;
pub(crate) mod platform_status;
pub(crate) mod promotions;
pub(crate) mod rebalance;
pub(crate) mod registry;
pub(crate) mod releases;
pub(crate) mod review_apps;
pub(crate) mod routers;
pub(crate) mod routing;
pub(crate) mod second_factor;
pub(crate) mod slugs;
pub(crate) mod sources;
pub(crate) mod tcp_routes;
pub(crate) mod team_apps;
pub(crate) mod team_members;
pub(crate) mod teams;
pub(crate) mod terminals;
pub(crate) mod transfers;
pub(crate) mod webhooks;

use axum::Json;
use axum::http::StatusCode;

use crate::error::{ApiError, ApiResult};

pub(crate) type Created<T> = (StatusCode, Json<T>);

pub(crate) const fn created<T>(value: T) -> Created<T> {
    (StatusCode::CREATED, Json(value))
}

/// For what has been set going.
pub(crate) const fn accepted<T>(value: T) -> Created<T> {
    (StatusCode::ACCEPTED, Json(value))
}

/// Does it to its end, and has on record how it went, though the client hangs up.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> ApiResult<T> {
    tokio::spawn(work).await.map_err(ApiError::internal)
}
