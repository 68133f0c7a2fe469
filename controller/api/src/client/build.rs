//! Sources, and builds of what was uploaded to them.

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, Method};

use super::{Client, ClientError};
use crate::wire::{Build, BuildCreate, Source};

impl Client {
    /// A place to upload code to.
    pub async fn create_source(&self) -> Result<Source, ClientError> {
        self.send(Method::POST, &["sources"], &serde_json::json!({}))
            .await
    }

    /// To a source's `put_url`, which is secret and all that is needed there. `told` hears how far it is.
    pub async fn upload(
        &self,
        put_url: &str,
        length: u64,
        pieces: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
        told: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<(), ClientError> {
        let mut sent = 0;
        let pieces = pieces.inspect(move |piece| {
            sent += piece.as_ref().map_or(0, |piece| piece.len() as u64);
            told(sent);
        });
        let request = self
            .http()
            .put(put_url)
            .header(CONTENT_LENGTH, length)
            .body(Body::wrap_stream(pieces));
        self.execute(request).await.map(drop)
    }

    pub async fn create_build(
        &self,
        app: &str,
        create: &BuildCreate,
    ) -> Result<Build, ClientError> {
        self.send(Method::POST, &["apps", app, "builds"], create)
            .await
    }

    /// Ends a build that has not ended.
    pub async fn cancel_build(&self, app: &str, build: &str) -> Result<Build, ClientError> {
        self.delete(&["apps", app, "builds", build]).await
    }

    /// The app's next build begins with an empty cache.
    pub async fn purge_build_cache(&self, app: &str) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &["apps", app, "build-cache"])?;
        self.execute(request).await.map(drop)
    }
}
