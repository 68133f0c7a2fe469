//! Logplex's POSTs: a batch of frames each, which is delivered when the answer says so.

use std::sync::Arc;
use std::time::Duration;

use model::{DrainToken, DrainUrl};
use reqwest::{Response, StatusCode};

use super::courier::Failure;
use super::frame::Batch;
use super::network::{Network, certificate_trouble};

/// From the connection to the end of the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// An answer that ends within it leaves the connection to the next batch.
const MAX_ANSWER: usize = 64 << 10;

pub(super) struct Post {
    network: Arc<Network>,
    token: DrainToken,
    url: DrainUrl,
}

impl Post {
    pub(super) const fn new(network: Arc<Network>, token: DrainToken, url: DrainUrl) -> Self {
        Self {
            network,
            token,
            url,
        }
    }

    pub(super) async fn send(&self, batch: &Batch) -> Result<(), Failure> {
        // No resolver is asked for an address.
        self.network.outbound.check_literal(self.url.url())?;
        let http = self.network.http().await?;
        let sent = http
            .post(self.url.url().clone())
            .header("content-type", "application/logplex-1")
            .header("logplex-msg-count", batch.messages)
            .header("logplex-frame-id", batch.id.simple().to_string())
            .header("logplex-drain-token", self.token.to_string())
            .body(batch.frames.clone())
            .timeout(ANSWER_WITHIN)
            .send()
            .await;
        match sent {
            Ok(response) => {
                let status = response.status();
                finish(response).await;
                judge(status)
            }
            Err(error) => Err(match certificate_trouble(&error) {
                Some(why) => Failure::certificate(why),
                None if error.is_timeout() => {
                    Failure::passing(format!("no answer within {} s", ANSWER_WITHIN.as_secs()))
                }
                None => Failure::passing(innermost(&error)),
            }),
        }
    }
}

async fn finish(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > MAX_ANSWER {
            return;
        }
    }
}

/// As Logplex: what the receiver finds fault with it would find fault with again, and is not sent again. Besides 5xx,
/// three of the 4xx ask for another try, though.
fn judge(status: StatusCode) -> Result<(), Failure> {
    let again = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    let what = || format!("it answers {status}");
    match status.as_u16() {
        200..=299 => Ok(()),
        500.. => Err(Failure::passing(what())),
        _ if again.contains(&status) => Err(Failure::passing(what())),
        _ => Err(Failure::refused(what())),
    }
}

/// What is at the bottom of an error: the rest names the URL, or says that something failed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
        .to_string()
        .to_lowercase()
        .split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::courier::FailureKind;
    use super::*;

    #[test]
    fn a_status_decides_whether_a_batch_is_sent_again() {
        let kind = |status| {
            let judged = judge(StatusCode::from_u16(status).unwrap());
            judged.err().map(|failure| failure.kind)
        };
        for delivered in [200, 201, 204] {
            assert_eq!(kind(delivered), None, "{delivered}");
        }
        for again in [408, 425, 429, 500, 502, 503] {
            assert_eq!(kind(again), Some(FailureKind::Passing), "{again}");
        }
        for never in [301, 307, 400, 401, 403, 404, 410, 413] {
            assert_eq!(kind(never), Some(FailureKind::Refused), "{never}");
        }
    }
}
