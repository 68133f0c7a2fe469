//! Reading another platform's API: with its own token, to that host and no other, and never without an end.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Result;
use controller_api::{Client, ClientError, ClientOptions};
use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RANGE};
use reqwest::{Body, Method, Response};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::described::Item;
use crate::failure::Failure;
use crate::output::printable;

/// How long one answer may take, and all of them.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const ALL_WITHIN: Duration = Duration::from_secs(180);
/// The largest that an API has a reason to say at once, and in all.
const MAX_ANSWER: usize = 8 << 20;
const MAX_ALL: usize = 64 << 20;
pub(super) const MAX_PAGES: usize = 100;

#[derive(Debug)]
pub(super) struct Fetch {
    client: Client,
    base: Url,
    headers: HeaderMap,
    deadline: Instant,
    left: Left,
}

/// How many bytes may still come.
#[derive(Debug)]
struct Left(AtomicUsize);

impl Left {
    /// Whether there were as many, which there then are no more.
    fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Relaxed, Relaxed, less).is_ok()
    }
}

/// The other side has understood and said no.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: u16,
    host: String,
    message: Option<String>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} answered {}", self.host, self.status)?;
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refused {}

/// If it is a refusal, which.
pub(super) fn refused(error: &anyhow::Error) -> Option<&Refused> {
    error.downcast_ref()
}

/// What one may live without: where it is refused that is remarked, and there is nothing of it.
pub(super) fn or_left<T: Default>(
    outcome: Result<T>,
    kind: &'static str,
    left: &mut Vec<Item>,
) -> Result<T> {
    match outcome {
        Err(error) if refused(&error).is_some_and(|no| matches!(no.status, 402..=405 | 422)) => {
            left.push(Item::new(
                kind,
                "all",
                format!("could not be read: {error}"),
            ));
            Ok(T::default())
        }
        outcome => outcome,
    }
}

/// Which API, and how one speaks to it.
#[derive(Debug)]
pub(super) struct Other<'a> {
    pub(super) base: &'a Url,
    pub(super) ca_pem: Option<String>,
    pub(super) accept: &'static str,
    /// `Bearer …`
    pub(super) authorization: String,
}

impl Fetch {
    pub(super) fn new(other: Other<'_>) -> Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(other.accept));
        let mut authorization = HeaderValue::try_from(other.authorization).map_err(|_| {
            Failure::new("The token for the other side has characters that no token has")
        })?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
        let client = Client::new(ClientOptions {
            base_url: other.base.clone(),
            // Ours is for our platform.
            token: None,
            ca_pem: other.ca_pem,
            user_agent: concat!("paas/", env!("CARGO_PKG_VERSION")).to_owned(),
        })?;
        Ok(Self {
            client,
            base: other.base.clone(),
            headers,
            deadline: Instant::now() + ALL_WITHIN,
            left: Left(AtomicUsize::new(MAX_ALL)),
        })
    }

    /// `api.heroku.com`
    pub(super) fn host(&self) -> String {
        host(&self.base)
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T> {
        Ok(self.ask(path, None, None).await?.0)
    }

    /// One page, and the headers that came with it.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: Option<&str>,
        range: Option<&str>,
    ) -> Result<(T, HeaderMap)> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        url.set_query(query);
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let mut headers = self.headers.clone();
        if let Some(range) = range.and_then(|range| HeaderValue::try_from(range).ok()) {
            headers.insert(RANGE, range);
        }
        let until = self.deadline.min(Instant::now() + ANSWER_WITHIN);
        let answer = async {
            let asked = self
                .client
                .forward(Method::GET, &target, headers, Body::default());
            let response = asked.await.map_err(|error| self.out_of_reach(error))?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = self.body(response).await?;
            anyhow::Ok((status, headers, body))
        };
        let Ok(answer) = timeout_at(until, answer).await else {
            return Err(self.failed("did not answer in time").into());
        };
        let (status, headers, body) = answer?;
        if !status.is_success() {
            return Err(Refused {
                status: status.as_u16(),
                host: self.host(),
                message: message(&body),
            }
            .into());
        }
        let decoded = serde_json::from_slice(&body).map_err(|error| {
            let place = format!("{} of {}: {error}", target, self.host());
            Failure::new(format!(
                "The answer could not be understood: {}",
                printable(&place)
            ))
        })?;
        Ok((decoded, headers))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        let cut = |_| self.failed("did not say all it had to say");
        while let Some(chunk) = response.chunk().await.map_err(cut)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(self.failed("says more at once than an app can be").into());
            }
            if !self.left.take(chunk.len()) {
                return Err(self.failed("says more in all than an app can be").into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Heroku's way: all pages of a list. The first is asked for without a range, for not every list has the same fields to
    /// be ordered by.
    pub(super) async fn list<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Vec<T>> {
        const NEXT: HeaderName = HeaderName::from_static("next-range");
        let mut range: Option<String> = None;
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            let (mut page, headers) = self.ask::<Vec<T>>(path, None, range.as_deref()).await?;
            all.append(&mut page);
            let next = headers.get(NEXT).and_then(|next| next.to_str().ok());
            let Some(next) = next else {
                return Ok(all);
            };
            range = Some(self.goes_on(range.as_deref(), next)?);
        }
        Err(self.endless().into())
    }

    /// Where the next page is, which is never where the last one was.
    pub(super) fn goes_on(&self, last: Option<&str>, next: &str) -> Result<String, Failure> {
        if last == Some(next) {
            return Err(self.endless());
        }
        Ok(next.to_owned())
    }

    pub(super) fn endless(&self) -> Failure {
        self.failed("has a list that does not end")
    }

    pub(super) fn failed(&self, what: &str) -> Failure {
        Failure::new(format!("{} {what}", self.host()))
            .advise("Nothing was changed here. Try again.")
    }

    fn out_of_reach(&self, error: ClientError) -> anyhow::Error {
        let source = match error {
            ClientError::Unreachable { source, .. } | ClientError::TimedOut { source, .. } => {
                source
            }
            other => return other.into(),
        };
        let cause = anyhow::Error::new(source).root_cause().to_string();
        let advice = if cause.contains("certificate") {
            "If its certificate is of a private CA, give that with --from-ca-file FILE."
        } else {
            "Nothing was changed here. Is this its address, and does this machine reach it?"
        };
        Failure::new(format!("Could not reach {}: {cause}", self.host()))
            .advise(advice)
            .into()
    }
}

/// `api.example.com:8443`, the port only where it is not the usual one.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// What the body says of why: Heroku's `message`, Deis's `detail`.
fn message(body: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = ["message", "detail", "error"]
        .iter()
        .find_map(|name| json.get(name)?.as_str())?;
    let text: String = printable(text).chars().take(300).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_counted_over_all_answers() {
        let left = Left(AtomicUsize::new(10));
        assert!(left.take(6));
        assert!(!left.take(5), "no more than there are");
        assert!(left.take(4));
        assert!(!left.take(1));
    }

    #[test]
    fn a_page_that_leads_to_itself_ends_the_list() {
        let fetch = Fetch::new(Other {
            base: &"http://127.0.0.1:1".parse().unwrap(),
            ca_pem: None,
            accept: "application/json",
            authorization: "Bearer x".to_owned(),
        })
        .unwrap();
        assert_eq!(fetch.goes_on(None, "id a..").unwrap(), "id a..");
        assert_eq!(fetch.goes_on(Some("id a.."), "id b..").unwrap(), "id b..");
        let error = fetch.goes_on(Some("id b.."), "id b..").unwrap_err();
        assert_eq!(
            error.to_string(),
            "127.0.0.1:1 has a list that does not end"
        );
    }
}
