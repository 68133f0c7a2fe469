//! What the platform's other roles call.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use controller_api::log_sink::{BATCH_HEADER, MAX_BODY_BYTES};
use model::AppId;
use model::log::LogLine;
use serde::Deserialize;
use store::key;
use tracing::debug;
use uuid::Uuid;

use super::dynos::{Upgrade, meet};
use crate::attach::Side;
use crate::context::{Context, Ctx};
use crate::drains::{MAX_PARCELS_BYTES, Parcel};
use crate::error::{ApiError, ApiResult};
use crate::http::body::JsonBody;
use crate::logs::{Filter, Reader, Start};

/// A batch of log lines, one JSON object on a line. Lines of apps that are no more are dropped; so are batches that came
/// before.
pub(crate) async fn logs(
    State(context): State<Ctx>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<StatusCode> {
    let body = whole(body, MAX_BODY_BYTES).await?;
    let batch = batch_number(&headers)?;
    let mut by_app: HashMap<AppId, Vec<LogLine>> = HashMap::new();
    for text in body
        .split(|byte| *byte == b'\n')
        .filter(|text| !text.is_empty())
    {
        let line: LogLine = serde_json::from_slice(text).map_err(|error| {
            ApiError::bad_request(format!("A log line cannot be read: {error}"))
        })?;
        by_app.entry(line.app).or_default().push(line);
    }
    for (app, lines) in by_app {
        if !context.batches.is_new(batch, app) {
            debug!("A batch of log lines came again");
            continue;
        }
        let mut drained = None;
        if exists(&context, app).await? {
            drained = context.drains.want(app).then(|| lines.clone());
            context
                .logs
                .append(app, lines)
                .await
                .map_err(ApiError::internal)?;
        }
        context.batches.arrived(batch, app);
        if let Some(lines) = drained {
            let (sender, number) = batch;
            context.drains.offer(Parcel {
                sender,
                number,
                app,
                lines,
            });
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Lines that this controller is to deliver to drains, from another that has them.
pub(crate) async fn drains(State(context): State<Ctx>, body: Body) -> ApiResult<StatusCode> {
    let body = whole(body, MAX_PARCELS_BYTES).await?;
    let parcels: Vec<Parcel> = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request(format!("The lines cannot be read: {error}")))?;
    for parcel in parcels {
        context.drains.take(parcel);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Other roles say more at once than people may.
async fn whole(body: Body, most: usize) -> ApiResult<Bytes> {
    axum::body::to_bytes(body, most)
        .await
        .map_err(|_| ApiError::too_large("That is too much at once."))
}

/// What another controller asks for.
#[derive(Debug, Deserialize)]
pub(crate) struct LogsWanted {
    app: AppId,
    filter: Filter,
    start: Start,
    tail: bool,
}

/// This controller's lines of an app, for another controller that merges them with its own.
pub(crate) async fn read_logs(
    State(context): State<Ctx>,
    JsonBody(wanted): JsonBody<LogsWanted>,
) -> ApiResult<Body> {
    let reader = Reader::open(&context.logs, wanted.app, wanted.filter, wanted.start)
        .await
        .map_err(ApiError::internal)?;
    Ok(Body::from_stream(
        reader.stream(wanted.tail, context.shutdown.clone()),
    ))
}

/// The agent's end of an attached dyno.
pub(crate) async fn attach(
    State(context): State<Ctx>,
    Path(secret): Path<String>,
    upgrade: Upgrade,
) -> ApiResult<Response> {
    meet(context, secret, Side::Agent, upgrade)
}

async fn exists(context: &Context, app: AppId) -> ApiResult<bool> {
    Ok(context.logs.is_open(app)
        || key::APPS
            .get(context.store(), &key::app(app))
            .await?
            .is_some())
}

/// `<sender> <number>`
fn batch_number(headers: &HeaderMap) -> ApiResult<(Uuid, u64)> {
    let parse = || {
        let (sender, number) = headers.get(BATCH_HEADER)?.to_str().ok()?.split_once(' ')?;
        Some((sender.parse().ok()?, number.parse().ok()?))
    };
    parse().ok_or_else(|| {
        ApiError::bad_request(format!(
            "The header {BATCH_HEADER} must be a UUID and a number."
        ))
    })
}
