//! An archive's `app.json`, for controllers: they make apps of it, and reach for nothing that users name.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use controller_api::archives::{Looked, MAX_MANIFEST};
use model::Checksum;
use model::repository::Archive;
use tracing::error;

use super::{bring, read_file};
use crate::Builder;
use crate::deploy::failure::{Failure, chain};
use crate::housekeeping::blocking;
use crate::remote::serve::is_internal;

/// Fetches and checks an archive and puts it into the blob store, so that it is the one that is built.
pub(crate) async fn serve(
    State(builder): State<Arc<Builder>>,
    headers: HeaderMap,
    Json(archive): Json<Archive>,
) -> Response {
    if !is_internal(&builder, &headers) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let looked = tokio::select! {
        looked = look(&builder, &archive) => looked,
        () = builder.stopping.cancelled() => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    match looked {
        Ok((blob, manifest)) => Json(Looked::Found { blob, manifest }).into_response(),
        Err(Failure::Refused(lines)) => Json(Looked::Refused {
            reason: lines.join(" "),
        })
        .into_response(),
        Err(failure) => {
            error!(error = %chain(&failure), "Could not look at a source");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

async fn look(builder: &Builder, archive: &Archive) -> Result<(Checksum, Option<String>), Failure> {
    let internal = Failure::internal;
    let _place = builder
        .queues
        .looks
        .acquire()
        .await
        .map_err(|closed| internal("wait for a place")(closed.into()))?;
    let dir = tempfile::Builder::new()
        .prefix("look-")
        .tempdir_in(builder.config.builds_dir())
        .map_err(|e| internal("prepare to read the source")(e.into()))?;
    let (file, tar) = (dir.path().join("source.tgz"), dir.path().join("source.tar"));
    bring(builder, archive, &file, &tar).await?;
    let blob = builder.blobs.put_file(&file).await;
    let blob = blob.map_err(|e| internal("keep the source")(e.into()))?;
    let manifest = blocking(move || read_file(&tar, "app.json", MAX_MANIFEST)).await;
    let manifest = manifest.map_err(|e| internal("read app.json")(e.into()))?;
    let manifest = manifest.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok((blob, manifest))
}
