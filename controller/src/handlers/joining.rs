//! Hosts that join, renew their certificates, and leave.

use axum::Json;
use axum::extract::{ConnectInfo, Path, State};
use controller_api::host_listener::Peer;
use controller_api::wire;

use crate::actions::{ActionError, joining};
use crate::audit;
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
    ConnectInfo(peer): ConnectInfo<Peer>,
    JsonBody(body): JsonBody<wire::JoinRequest>,
) -> ApiResult<Created<wire::Joined>> {
    let Some(maker) = joining::maker_of_token(&context, &body).await? else {
        return Ok(created(joining::join(&context, body).await?));
    };
    // Whoever made the token answers for the host.
    let mut deed = audit::without_token(&maker, Some(peer.addr.ip()), "POST /nodes");
    deed.parameters
        .insert("node".to_owned(), audit::cut(&body.name.to_string()));
    deed.parameters
        .insert("address".to_owned(), body.address.to_string());
    let status = |joined: &Result<_, ActionError>| match joined {
        Ok(_) => 201,
        Err(ActionError::Forbidden { .. }) => 403,
        Err(_) => 422,
    };
    let join = joining::join(&context, body);
    Ok(created(context.audit.of(deed, join, status).await??))
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
