//! What builders say to each other: a line of JSON there; output, signs of life and the outcome back, in the frames that
//! hooks are answered in.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use model::{AppId, BuildId};
use serde::{Deserialize, Serialize};

use crate::deploy::build::Built;
use crate::deploy::failure::Failure;

/// The build and its source are on record.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(super) app: AppId,
    pub(super) build: BuildId,
    /// Of the request that gave it this place.
    pub(super) attempt: u32,
}

/// For the pusher; an empty one is a sign of life.
pub(super) const OUTPUT: u8 = b'o';
/// [`Outcome`] as JSON, at the end.
pub(super) const OUTCOME: u8 = b'e';

/// How often something is said.
pub(super) const BEAT: Duration = Duration::from_secs(2);
/// Whoever is silent for this long is lost.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(super) enum Outcome {
    Built(Box<Built>),
    /// Still to be told, line by line.
    Refused {
        lines: Vec<String>,
    },
    /// The output says so.
    Told {
        reason: String,
    },
    /// It did not come to an end there, and may elsewhere.
    Abandoned {
        reason: String,
    },
}

impl From<Result<Built, Failure>> for Outcome {
    fn from(result: Result<Built, Failure>) -> Self {
        match result {
            Ok(built) => Self::Built(Box::new(built)),
            Err(Failure::Refused(lines)) => Self::Refused { lines },
            Err(Failure::Told(reason)) => Self::Told { reason },
            Err(other) => Self::Abandoned {
                reason: crate::deploy::failure::chain(&other).to_string(),
            },
        }
    }
}

/// Longer than any frame.
const MAX_FRAME: usize = 4 << 20;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it says what is no frame")]
pub(super) struct Nonsense;

/// Takes a whole frame off the front, if there is one: its kind and what is in it.
pub(super) fn take_frame(received: &mut BytesMut) -> Result<Option<(u8, Bytes)>, Nonsense> {
    let Some((head, _)) = received.split_first_chunk::<5>() else {
        return Ok(None);
    };
    let [kind, length @ ..] = *head;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| Nonsense)?;
    if length > MAX_FRAME || !matches!(kind, OUTPUT | OUTCOME) {
        return Err(Nonsense);
    }
    if received.len() < 5 + length {
        return Ok(None);
    }
    received.advance(5);
    Ok(Some((kind, received.split_to(length).freeze())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::wire::frame;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_were_cut() {
        let sent = [
            frame(OUTPUT, b"hello"),
            frame(OUTPUT, b""),
            frame(OUTCOME, b"{}"),
        ]
        .concat();
        for size in 1..=sent.len() {
            let (mut received, mut frames) = (BytesMut::new(), Vec::new());
            for chunk in sent.chunks(size) {
                received.extend_from_slice(chunk);
                while let Some(frame) = take_frame(&mut received).unwrap() {
                    frames.push(frame);
                }
            }
            let expected: [(u8, &[u8]); 3] = [(OUTPUT, b"hello"), (OUTPUT, b""), (OUTCOME, b"{}")];
            assert!(
                frames
                    .iter()
                    .map(|(kind, text)| (*kind, &text[..]))
                    .eq(expected)
            );
            assert!(received.is_empty());
        }
        for bad in [&b"x\0\0\0\0"[..], b"o\xff\xff\xff\xff"] {
            assert_eq!(take_frame(&mut BytesMut::from(bad)), Err(Nonsense));
        }
    }
}
