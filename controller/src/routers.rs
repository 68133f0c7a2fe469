//! Asking the routers: each says itself how it is, at the moment somebody wants to know.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use model::{RouterReport, Secret};
use reqwest::StatusCode;
use rustls::ClientConfig;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

const CONNECT_DEADLINE: Duration = Duration::from_secs(1);
/// Somebody waits for the answer; a router that is well has it in milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How many are asked at a time.
const AT_A_TIME: usize = 32;
/// More than any router has to say of itself.
const MAX_ANSWER: usize = 1 << 20;

/// How routers are asked.
#[derive(Debug, Clone)]
pub(crate) struct Routers {
    scheme: &'static str,
    /// `None` where it could not be set up: then none answers.
    http: Option<reqwest::Client>,
    token: Secret<String>,
}

/// Why there is no answer, in words for operators.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("it has not said where it can be asked")]
    NoAddress,
    #[error("it was not reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("it has not answered within {} s", ANSWER_WITHIN.as_secs())]
    Late,
    #[error("it does not know the app yet")]
    UnknownApp,
    #[error("another process answers in its place")]
    Succeeded,
    #[error("it answered {0}")]
    Refused(StatusCode),
    #[error("it answered what is no answer")]
    Nonsense,
    #[error("it is about to leave, and is not asked any more")]
    Leaving,
}

impl Routers {
    /// `tls` proves who is who; without it (in tests) they are called over plain HTTP.
    pub(crate) fn new(token: Secret<String>, tls: Option<&ClientConfig>) -> Self {
        let (scheme, http) = controller_api::tls::between_hosts(tls, CONNECT_DEADLINE);
        Self {
            scheme,
            http,
            token,
        }
    }

    /// What each says about `what`, a path below its own, in the order of `reports`. Takes about [`ANSWER_WITHIN`] at most.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        reports: &[RouterReport],
        what: &str,
    ) -> Vec<Result<T, NoAnswer>> {
        let asked: Vec<_> = reports
            .iter()
            .map(|report| timeout(ANSWER_WITHIN, self.ask_one(report, what)))
            .collect();
        let answers = stream::iter(asked).buffered(AT_A_TIME);
        answers
            .map(|answer| answer.unwrap_or(Err(NoAnswer::Late)))
            .collect()
            .await
    }

    async fn ask_one<T: DeserializeOwned>(
        &self,
        report: &RouterReport,
        what: &str,
    ) -> Result<T, NoAnswer> {
        if report.about.leaving {
            return Err(NoAnswer::Leaving);
        }
        let addr = report.about.addr.ok_or(NoAnswer::NoAddress)?;
        let http = self.http.as_ref().ok_or(NoAnswer::Nonsense)?;
        let url = format!(
            "{}://{addr}/internal/routers/{}{what}",
            self.scheme, report.id
        );
        let request = http.get(url).bearer_auth(self.token.expose());
        let mut answer = request.send().await.map_err(NoAnswer::Unreachable)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::MISDIRECTED_REQUEST => return Err(NoAnswer::Succeeded),
            StatusCode::NOT_FOUND if !what.is_empty() => return Err(NoAnswer::UnknownApp),
            other => return Err(NoAnswer::Refused(other)),
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(NoAnswer::Unreachable)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(NoAnswer::Nonsense);
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|_| NoAnswer::Nonsense)
    }
}
