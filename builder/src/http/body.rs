//! A request's body on its way to git: streamed, never held whole, unpacked if it is gzipped.

use std::io::Write as _;

use axum::body::Body;
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tracing::debug;

use crate::git::converse::Input;

/// Compressed bytes unpacked at a time; a chunk of them can be a thousand times larger unpacked.
const GZIP_STEP: usize = 4096;

/// Feeds the body to git. A body that breaks off leaves the channel without an end: the client is gone.
pub(super) async fn feed(body: Body, gzip: bool, to_git: mpsc::Sender<Input>) {
    let mut chunks = body.into_data_stream();
    let mut decoder = gzip.then(|| MultiGzDecoder::new(Vec::new()));
    while let Some(chunk) = chunks.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                debug!(
                    error = &error as &dyn std::error::Error,
                    "A request's body broke off"
                );
                return;
            }
        };
        let sent = match &mut decoder {
            None => to_git.send(Input::Data(chunk)).await.is_ok(),
            Some(decoder) => unpack(decoder, &chunk, &to_git).await,
        };
        if !sent {
            return;
        }
    }
    if let Some(decoder) = decoder {
        // Cut short, it is no request: git must not take it for one.
        let Ok(rest) = decoder.finish() else { return };
        if to_git.send(Input::Data(rest.into())).await.is_err() {
            return;
        }
    }
    let _ = to_git.send(Input::End).await;
    // Holds the channel open until git has ended: closing it would say that the client is gone.
    to_git.closed().await;
}

async fn unpack(
    decoder: &mut MultiGzDecoder<Vec<u8>>,
    packed: &Bytes,
    to_git: &mpsc::Sender<Input>,
) -> bool {
    for step in packed.chunks(GZIP_STEP) {
        if decoder.write_all(step).is_err() {
            return false;
        }
        let unpacked = std::mem::take(decoder.get_mut());
        if !unpacked.is_empty() && to_git.send(Input::Data(unpacked.into())).await.is_err() {
            return false;
        }
    }
    true
}
