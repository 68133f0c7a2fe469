//! Asking builders: what a build says, what is in an archive.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use controller_api::archives::Looked;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use model::repository::Archive;
use model::{BuildId, Secret};
use rustls::ClientConfig;
use store::{Store, StoreError, key};
use tokio::time::timeout;
use tracing::debug;

const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// For the head of an answer about a build.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A builder that has a build says something every five seconds.
const SILENCE: Duration = Duration::from_secs(20);
/// An archive may have to be fetched from afar.
const LOOK_WITHIN: Duration = Duration::from_secs(12 * 60);

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Builders {
    scheme: &'static str,
    /// `None` where it could not be set up: then nobody is asked.
    http: Option<reqwest::Client>,
    token: Secret<String>,
}

/// What a build says, piece by piece; an error is its builder's silence.
pub(crate) type Said = BoxStream<'static, Result<Bytes, Lost>>;

#[derive(Debug, thiserror::Error)]
#[error("the build's builder is lost")]
pub(crate) struct Lost;

impl Builders {
    pub(crate) fn new(token: Secret<String>, tls: Option<&ClientConfig>) -> Self {
        let (scheme, http) = controller_api::tls::between_hosts(tls, CONNECT_DEADLINE);
        Self {
            scheme,
            http,
            token,
        }
    }

    /// From its beginning, while it runs; `None` when no builder has it now.
    pub(crate) async fn listen(
        &self,
        store: &dyn Store,
        build: BuildId,
    ) -> Result<Option<Said>, StoreError> {
        let Some(http) = &self.http else {
            return Ok(None);
        };
        let asked = all(store).await?.into_iter().map(async |addr| {
            let url = format!("{}://{addr}/internal/builds/{build}/output", self.scheme);
            let answer = http.get(url).bearer_auth(self.token.expose()).send();
            let answer = timeout(ANSWER_WITHIN, answer).await.ok()?.ok()?;
            answer.error_for_status().ok()
        });
        let answers = futures::future::join_all(asked).await;
        let found = answers.into_iter().flatten().next();
        Ok(found.map(|answer| {
            let pieces = answer.bytes_stream().map_err(|_| Lost);
            unless_silent(pieces.boxed())
        }))
    }

    /// What is in an archive, which is kept. `None` when no builder can tell now.
    pub(crate) async fn look(
        &self,
        store: &dyn Store,
        archive: &Archive,
    ) -> Result<Option<Looked>, StoreError> {
        let Some(http) = &self.http else {
            return Ok(None);
        };
        for addr in all(store).await? {
            let url = format!("{}://{addr}/internal/archives", self.scheme);
            let request = http.post(url).bearer_auth(self.token.expose());
            let answer = timeout(LOOK_WITHIN, async {
                let answer = request.json(archive).send().await?.error_for_status()?;
                answer.json::<Looked>().await
            });
            match answer.await {
                Ok(Ok(looked)) => return Ok(Some(looked)),
                Ok(Err(error)) => {
                    debug!(
                        error = &error as &dyn std::error::Error,
                        "A builder did not look at a source"
                    );
                }
                Err(_) => debug!("A builder took too long to look at a source"),
            }
        }
        Ok(None)
    }
}

/// Ends with an error when nothing comes for a while.
fn unless_silent(pieces: Said) -> Said {
    futures::stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        match timeout(SILENCE, pieces.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
            Ok(Some(Err(lost))) => Some((Err(lost), None)),
            Ok(None) => None,
            Err(_) => Some((Err(Lost), None)),
        }
    })
    .boxed()
}

async fn all(store: &dyn Store) -> Result<Vec<SocketAddr>, StoreError> {
    let builders = key::ALIVE_BUILDERS.all(store).await?;
    Ok(builders
        .into_iter()
        .map(|builder| builder.value.addr)
        .collect())
}
