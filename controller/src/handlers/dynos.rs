//! Dynos.

use std::convert::Infallible;

use axum::Json;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use controller_api::attach::MAX_FRAME_BYTES;
use controller_api::wire;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use model::dyno::Attach;
use model::{Dyno, DynoKind, ProcessType};

use super::{Created, accepted, created};
use crate::actions::dynos::{Order, Which, no_dyno, order, run};
use crate::actions::inside::open;
use crate::attach::{End, Kind, PROTOCOL, Rendezvous, Side, kind_of};
use crate::context::{Context, Ctx, actor};
use crate::error::{ApiError, ApiResult};
use crate::find;
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views;

pub(crate) async fn list(
    State(context): State<Ctx>,
    access: AppAccess,
    range: PageRange,
) -> ApiResult<Page> {
    let app = &access.app.value;
    let dynos = find::dynos(context.store(), app.id).await?;
    range.page(dynos.iter().map(|known| views::dyno::dyno(app, known)))
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::Dyno>> {
    let app = &access.app.value;
    let known = find::dyno(context.store(), app.id, &identity)
        .await?
        .ok_or_else(|| no_dyno(&identity))?;
    Ok(Json(views::dyno::dyno(app, &known)))
}

/// A one-off dyno.
pub(crate) async fn create(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::DynoCreate>,
) -> ApiResult<Created<wire::Dyno>> {
    let by = actor(&access.session.account);
    let (app, dyno) = run(&context, access.app.value.id, &by, &body).await?;
    let attach_url = attach_url(&context, &dyno);
    Ok(created(views::dyno::new_dyno(&app, &dyno, attach_url)))
}

/// A command inside a dyno that is up.
pub(crate) async fn run_inside(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
    JsonBody(body): JsonBody<wire::InsideCreate>,
) -> ApiResult<Created<wire::Dyno>> {
    let by = actor(&access.session.account);
    let app = &access.app.value;
    let (known, inside) = open(&context, app, &by, &identity, &body).await?;
    let attach_url = url_of(&context, &inside.attach);
    let attached = views::dyno::attached(app, &known, inside.command, attach_url);
    Ok(created(attached))
}

pub(crate) async fn restart_all(
    State(context): State<Ctx>,
    access: AppAccess,
) -> ApiResult<Created<wire::Empty>> {
    give(&context, &access, Which::Formation, Order::Restart).await
}

pub(crate) async fn restart(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Created<wire::Empty>> {
    give(&context, &access, Which::One(identity), Order::Restart).await
}

pub(crate) async fn stop(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Created<wire::Empty>> {
    give(&context, &access, Which::One(identity), Order::Stop).await
}

pub(crate) async fn restart_type(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, process_type)): Path<(String, String)>,
) -> ApiResult<Created<wire::Empty>> {
    give(
        &context,
        &access,
        Which::Type(known_type(&process_type)?),
        Order::Restart,
    )
    .await
}

pub(crate) async fn stop_type(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, process_type)): Path<(String, String)>,
) -> ApiResult<Created<wire::Empty>> {
    give(
        &context,
        &access,
        Which::Type(known_type(&process_type)?),
        Order::Stop,
    )
    .await
}

/// An answer of ours where a request does not ask for a WebSocket.
pub(super) type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// The client's end of an attached dyno. The secret is the proof.
pub(crate) async fn attach(
    State(context): State<Ctx>,
    Path(secret): Path<String>,
    rendezvous: AsksForRendezvous,
    upgrade: Upgrade,
) -> ApiResult<Response> {
    match rendezvous.0 {
        Some(upgrade) => rendezvous_with(context, secret, upgrade),
        None => meet(context, secret, Side::Client, upgrade),
    }
}

pub(super) fn meet(
    context: Ctx,
    secret: String,
    side: Side,
    upgrade: Upgrade,
) -> ApiResult<Response> {
    known_secret(&context, &secret)?;
    let upgrade = upgrade
        .map_err(|why| ApiError::bad_request(format!("This address is for WebSockets: {why}.")))?;
    let upgrade = upgrade
        .max_message_size(MAX_FRAME_BYTES)
        .max_frame_size(MAX_FRAME_BYTES);
    Ok(upgrade.on_upgrade(async move |socket| {
        let end = End::WebSocket(Box::new(socket));
        context
            .meetings
            .meet(secret, side, end, &context.shutdown)
            .await;
    }))
}

/// What a request has to be taken over by, if it asks for the rendezvous protocol.
pub(crate) struct AsksForRendezvous(Option<OnUpgrade>);

impl<S: Sync> FromRequestParts<S> for AsksForRendezvous {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let asks = parts
            .headers
            .get(UPGRADE)
            .is_some_and(|protocol| protocol == PROTOCOL);
        let upgrade = asks.then(|| parts.extensions.remove::<OnUpgrade>());
        Ok(Self(upgrade.flatten()))
    }
}

fn rendezvous_with(context: Ctx, secret: String, upgrade: OnUpgrade) -> ApiResult<Response> {
    let has_terminal = known_secret(&context, &secret)? == Kind::Terminal;
    tokio::spawn(async move {
        // A client that has left meanwhile.
        let Ok(client) = upgrade.await else { return };
        let end = Rendezvous::over(TokioIo::new(client), has_terminal);
        let end = End::Rendezvous(end);
        context
            .meetings
            .meet(secret, Side::Client, end, &context.shutdown)
            .await;
    });
    let switching = [(CONNECTION, "upgrade"), (UPGRADE, PROTOCOL)];
    Ok((StatusCode::SWITCHING_PROTOCOLS, switching).into_response())
}

fn known_secret(context: &Context, secret: &str) -> ApiResult<Kind> {
    kind_of(&context.keyring, secret).ok_or_else(|| ApiError::not_found("dyno"))
}

/// `rendezvous://api.<domain>:<port>/<secret>`
fn attach_url(context: &Context, dyno: &Dyno) -> Option<String> {
    let DynoKind::OneOff(one_off) = &dyno.kind else {
        return None;
    };
    Some(url_of(context, one_off.attach.as_ref()?))
}

fn url_of(context: &Context, attach: &Attach) -> String {
    let (host, port) = (context.config.api_host(), context.config.api.port);
    format!("rendezvous://{host}:{port}/{}", attach.secret.expose())
}

async fn give(
    context: &Context,
    access: &AppAccess,
    which: Which,
    what: Order,
) -> ApiResult<Created<wire::Empty>> {
    order(context, access.app.value.id, &which, what).await?;
    Ok(accepted(wire::Empty {}))
}

fn known_type(text: &str) -> ApiResult<ProcessType> {
    text.parse().map_err(|_| ApiError::not_found("formation"))
}
