//! Uploading code, and fetching it again. The URLs are secrets, and all that is asked for.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use controller_api::wire;
use futures::StreamExt as _;
use model::Account;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

use super::{Created, created};
use crate::actions;
use crate::auth::Session;
use crate::context::{Context, Ctx};
use crate::error::{ApiError, ApiResult};
use crate::guard::AppAccess;

/// The most that may be uploaded.
const MAX_BYTES: u64 = 512 << 20;
/// Between two pieces of an upload.
const SILENCE: Duration = Duration::from_secs(60);
pub(crate) const UPLOAD_WITHIN: Duration = Duration::from_secs(3600);

pub(crate) async fn create(
    State(context): State<Ctx>,
    session: Session,
) -> ApiResult<Created<wire::Source>> {
    make(&context, &session.account).await
}

/// As it was done before sources were an account's.
pub(crate) async fn create_for_app(
    State(context): State<Ctx>,
    access: AppAccess,
) -> ApiResult<Created<wire::Source>> {
    make(&context, &access.session.account).await
}

async fn make(context: &Context, by: &Account) -> ApiResult<Created<wire::Source>> {
    let source = actions::sources::create(context, by).await?;
    Ok(created(wire::Source {
        source_blob: wire::SourceUrls {
            get_url: actions::sources::get_url(context, source.id)?,
            put_url: actions::sources::put_url(context, source.id)?,
        },
    }))
}

/// To disk, then to the blob store; on record once it is whole.
pub(crate) async fn upload(
    State(context): State<Ctx>,
    Path(ticket): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<StatusCode> {
    let source = actions::sources::to_put(&context, &ticket).await?;
    let source = source.ok_or_else(expired)?;
    if source.value.blob.is_some() {
        return Err(actions::sources::used().into());
    }
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BYTES) {
        return Err(too_large());
    }
    let _place = context.uploads.try_acquire().map_err(|_| {
        ApiError::rate_limit("Too many sources are being uploaded. Please try again in a minute.")
    })?;
    let dir = scratch(&context)?;
    let file = dir.path().join("source");
    let received = timeout(UPLOAD_WITHIN, receive(body, &file)).await;
    received.map_err(|_| ApiError::bad_request("The upload took too long."))??;
    let blob = context.blobs.put_file(&file).await;
    let blob = blob.map_err(ApiError::internal)?;
    actions::sources::uploaded(&context, &source, blob).await?;
    Ok(StatusCode::OK)
}

async fn receive(body: Body, file: &std::path::Path) -> ApiResult<()> {
    let mut out = fs_err::tokio::File::create(file)
        .await
        .map_err(ApiError::internal)?;
    let (mut pieces, mut received) = (body.into_data_stream(), 0);
    loop {
        let piece = timeout(SILENCE, pieces.next()).await;
        let piece = piece.map_err(|_| ApiError::bad_request("The upload fell silent."))?;
        let Some(piece) = piece else { break };
        let piece = piece.map_err(|_| ApiError::bad_request("The upload was cut short."))?;
        received += piece.len() as u64;
        if received > MAX_BYTES {
            return Err(too_large());
        }
        out.write_all(&piece).await.map_err(ApiError::internal)?;
    }
    out.flush().await.map_err(ApiError::internal)
}

pub(crate) async fn download(
    State(context): State<Ctx>,
    Path(ticket): Path<String>,
) -> ApiResult<Response> {
    let source = actions::sources::to_get(&context, &ticket).await?;
    let blob = source.and_then(|source| source.value.blob);
    let blob = blob.ok_or_else(expired)?;
    let dir = scratch(&context)?;
    let file = dir.path().join("source");
    context
        .blobs
        .fetch_to(&blob, &file)
        .await
        .map_err(ApiError::internal)?;
    // Once it is open it needs no name.
    let open = fs_err::tokio::File::open(&file).await;
    let open = open.map_err(ApiError::internal)?;
    let length = open.metadata().await.map_err(ApiError::internal)?.len();
    let headers = [
        (header::CONTENT_TYPE, "application/gzip".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    Ok((headers, Body::from_stream(ReaderStream::new(open))).into_response())
}

fn scratch(context: &Context) -> ApiResult<tempfile::TempDir> {
    let uploads = context.config.data_dir.join("uploads");
    tempfile::tempdir_in(uploads).map_err(ApiError::internal)
}

fn expired() -> ApiError {
    ApiError::not_found_because(
        "source",
        "There is no such source, or nothing in it, or it has expired.",
    )
}

fn too_large() -> ApiError {
    let max = MAX_BYTES >> 20;
    ApiError::too_large(format!("A source may have at most {max} MB."))
}
