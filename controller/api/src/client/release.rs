//! Releases, slugs and builds.

use bytes::Bytes;
use futures::Stream;
use reqwest::Method;

use super::{Client, ClientError};
use crate::wire::{Build, ConfigVars, Release, ReleaseCreate, ReleaseFailure, Slug};

/// Which releases to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseRange {
    All,
    /// The newest so many (at most 1000), newest first.
    Newest(u32),
}

impl Client {
    /// [`ReleaseRange::All`] comes oldest first.
    pub async fn releases(
        &self,
        app: &str,
        range: ReleaseRange,
    ) -> Result<Vec<Release>, ClientError> {
        let path = ["apps", app, "releases"];
        match range {
            ReleaseRange::All => {
                let mut releases: Vec<Release> = self.get_all(&path).await?;
                releases.sort_by_key(|release| release.version);
                Ok(releases)
            }
            ReleaseRange::Newest(count) => {
                self.get_page(&path, &format!("version ..; max={count}, order=desc"))
                    .await
            }
        }
    }

    /// By version (`12` or `v12`) or id.
    pub async fn release(&self, app: &str, release: &str) -> Result<Release, ClientError> {
        self.get(&["apps", app, "releases", release]).await
    }

    pub async fn release_config_vars(
        &self,
        app: &str,
        release: &str,
    ) -> Result<ConfigVars, ClientError> {
        self.get(&["apps", app, "releases", release, "config-vars"])
            .await
    }

    /// Why a failed release failed.
    pub async fn release_failure(
        &self,
        app: &str,
        release: &str,
    ) -> Result<ReleaseFailure, ClientError> {
        self.get(&["apps", app, "releases", release, "failure"])
            .await
    }

    /// Makes a new release with an older one's slug and config.
    pub async fn rollback(&self, app: &str, release: &str) -> Result<Release, ClientError> {
        self.create_release(
            app,
            &ReleaseCreate {
                release: Some(release.to_owned()),
                ..ReleaseCreate::default()
            },
        )
        .await
    }

    pub async fn create_release(
        &self,
        app: &str,
        create: &ReleaseCreate,
    ) -> Result<Release, ClientError> {
        self.send(Method::POST, &["apps", app, "releases"], create)
            .await
    }

    pub async fn slug(&self, app: &str, slug: &str) -> Result<Slug, ClientError> {
        self.get(&["apps", app, "slugs", slug]).await
    }

    pub async fn builds(&self, app: &str) -> Result<Vec<Build>, ClientError> {
        self.get_all(&["apps", app, "builds"]).await
    }

    pub async fn build(&self, app: &str, build: &str) -> Result<Build, ClientError> {
        self.get(&["apps", app, "builds", build]).await
    }

    /// A build's output as it was printed; follows a build that still runs until its end.
    pub async fn build_output(
        &self,
        build: &Build,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + Send + use<>, ClientError> {
        use futures::TryStreamExt as _;
        let request = self.http().get(&build.output_stream_url);
        let response = self.execute(request).await?;
        Ok(response
            .bytes_stream()
            .map_err(|source| ClientError::Interrupted { source }))
    }
}
