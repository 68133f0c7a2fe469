//! Hosts that join, renew their certificates, and leave.

use axum::Json;
use axum::extract::{ConnectInfo, Path, State};
use controller_api::host_listener::Peer;
use controller_api::wire;

use crate::actions::joining;
use crate::auth::Session;
use crate::context::Ctx;
use crate::error::{ApiError, ApiResult};
use crate::handlers::{Created, created, nodes};
use crate::http::body::JsonBody;

pub(crate) async fn create_token(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::NodeTokenCreate>,
) -> ApiResult<Created<wire::NodeToken>> {
    let token = joining::create_token(&context, &session.account, &body).await?;
    Ok(created(token))
}

pub(crate) async fn join(
    State(context): State<Ctx>,
    JsonBody(body): JsonBody<wire::JoinRequest>,
) -> ApiResult<Created<wire::Joined>> {
    Ok(created(joining::join(&context, body).await?))
}

/// For the host itself, over the connection that its certificate made.
pub(crate) async fn renew(
    State(context): State<Ctx>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    JsonBody(body): JsonBody<wire::CertificateRenewal>,
) -> ApiResult<Created<wire::CertificateRenewed>> {
    let host = peer.host.ok_or_else(ApiError::no_endpoint)?;
    let certificate = joining::renew(&context, host, &body.certificate_request).await?;
    Ok(created(wire::CertificateRenewed { certificate }))
}

pub(crate) async fn remove(
    State(context): State<Ctx>,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::Node>> {
    let removed = joining::remove(&context, &identity).await?;
    Ok(Json(nodes::view_of_removed(&removed)))
}
