//! A build of ours that another builder does.

use bytes::BytesMut;
use futures::StreamExt as _;
use model::{BuildRequest, BuilderReport};
use tokio::time::timeout;

use super::wire::{Ask, OUTPUT, Outcome, SILENCE, take_frame};
use crate::deploy::Job;
use crate::deploy::build::Built;
use crate::deploy::failure::{Failure, chain};
use crate::deploy::queue::Turn;
use crate::deploy::transcript::Transcript;
use crate::workspace::private_dir;

/// That builder will not tell how the build ended. Why.
#[derive(Debug)]
pub(crate) struct Lost(pub(crate) String);

/// Whatever ends the wait ends the build there, too: its caller is gone.
pub(crate) async fn build(
    job: Job<'_>,
    turn: &Turn,
    peer: &BuilderReport,
    request: &BuildRequest,
    transcript: &mut Transcript,
) -> Result<Result<Built, Failure>, Lost> {
    let dir = job.builder.config.build_dir(request.build);
    let kept = private_dir(&dir).and_then(|()| transcript.keep_in(&crate::workspace::log_in(&dir)));
    if let Err(error) = kept {
        return Ok(Err(Failure::internal("keep the build's output")(
            error.into(),
        )));
    }
    tokio::select! {
        outcome = converse(job, peer, request, transcript) => outcome,
        () = job.push.cancelled().cancelled() => Ok(Err(Failure::Cancelled)),
        () = turn.lock.lost().cancelled() => Ok(Err(Failure::LockLost)),
        () = job.builder.ending.cancelled() => Ok(Err(Failure::Stopping)),
    }
}

async fn converse(
    job: Job<'_>,
    peer: &BuilderReport,
    request: &BuildRequest,
    transcript: &mut Transcript,
) -> Result<Result<Built, Failure>, Lost> {
    let peers = &job.builder.peers;
    let http = peers.http.as_ref();
    let http = http.ok_or_else(|| Lost("no other builder can be called".to_owned()))?;
    let ask = Ask {
        app: request.app,
        build: request.build,
        attempt: request.attempt,
    };
    let asked = http
        .post(format!("{}://{}/internal/builds", peers.scheme, peer.addr))
        .bearer_auth(peers.token.expose())
        .json(&ask)
        .send();
    let response = timeout(SILENCE, asked).await.map_err(|_| silent())?;
    let response = response.and_then(reqwest::Response::error_for_status);
    let mut body = response.map_err(|error| lost(&error))?.bytes_stream();
    let mut received = BytesMut::new();
    loop {
        while let Some((kind, text)) = take_frame(&mut received).map_err(|error| lost(&error))? {
            if kind == OUTPUT {
                transcript.raw(&text);
                continue;
            }
            let outcome = serde_json::from_slice(&text).map_err(|error| lost(&error))?;
            return settle(outcome, transcript);
        }
        let chunk = timeout(SILENCE, body.next()).await.map_err(|_| silent())?;
        let chunk = chunk.ok_or_else(|| Lost("it broke off".to_owned()))?;
        received.extend_from_slice(&chunk.map_err(|error| lost(&error))?);
    }
}

fn settle(outcome: Outcome, transcript: &mut Transcript) -> Result<Result<Built, Failure>, Lost> {
    let failure = match outcome {
        Outcome::Built(built) => return Ok(Ok(*built)),
        Outcome::Abandoned { reason } => return Err(Lost(reason)),
        Outcome::Refused { lines } => Failure::Refused(lines),
        Outcome::Told { reason } => Failure::Told(reason),
    };
    transcript.build_has_ended();
    Ok(Err(failure))
}

fn silent() -> Lost {
    Lost(format!("it has been silent for {} s", SILENCE.as_secs()))
}

fn lost(error: &dyn std::error::Error) -> Lost {
    Lost(chain(error).to_string())
}
