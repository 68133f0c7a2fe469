//! Where the platform's state and blobs are, opened by what the configuration says.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use controller_api::host_tls::IdentityFiles;
use store::Store;
use store::blob::{BlobConfig, S3Credentials};
use store::embedded::Embedded;
use store::etcd::upkeep::{self, Intervals};
use store::etcd::{Etcd, EtcdConfig, EtcdTls};
use store::migrate::{self, NotReady};
use tokio_util::sync::CancellationToken;

use crate::config::{Blobs, Config, StoreChoice};

/// How long the start waits to hear whether the store may be used.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// An open store, and how to close it.
#[derive(Clone)]
pub(crate) struct OpenStore {
    pub(crate) store: Arc<dyn Store>,
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    Embedded(Arc<Embedded>),
    Etcd(Arc<Etcd>),
}

impl OpenStore {
    /// After this host's certificate was replaced.
    pub(crate) async fn reconnect(&self) -> anyhow::Result<()> {
        match &self.backend {
            Backend::Embedded(_) => Ok(()),
            Backend::Etcd(etcd) => Ok(etcd.reconnect().await?),
        }
    }

    /// Whether one process at a time can have it.
    pub(crate) const fn is_embedded(&self) -> bool {
        matches!(self.backend, Backend::Embedded(_))
    }

    /// Looks after etcd, in turns with the other controllers; the embedded store looks after itself.
    pub(crate) async fn upkeep(&self, candidate: String, stop: CancellationToken) {
        if let Backend::Etcd(etcd) = &self.backend {
            upkeep::run(etcd.clone(), candidate, Intervals::default(), stop).await;
        }
    }

    pub(crate) async fn close(&self) {
        if let Backend::Embedded(embedded) = &self.backend {
            embedded.close().await;
        }
    }
}

pub(crate) async fn open_store(config: &Config) -> anyhow::Result<OpenStore> {
    match &config.store {
        StoreChoice::Embedded => {
            let embedded =
                Embedded::open(&config.data_dir).context("could not open the embedded store")?;
            Ok(OpenStore {
                store: embedded.clone(),
                backend: Backend::Embedded(embedded),
            })
        }
        StoreChoice::Etcd { endpoints } => {
            let identity = IdentityFiles::below(&config.data_dir);
            if config.store.is_over_tls() && !identity.host.exists() {
                bail!(
                    "this host has no certificate, and etcd asks for one. Join it with a token (`paas nodes:token`, \
                     `paasd join`); on the first host of a platform, run `paasd identity` before etcd is started"
                );
            }
            let etcd = EtcdConfig {
                endpoints: endpoints.clone(),
                user: None,
                tls: config.store.is_over_tls().then(|| EtcdTls {
                    ca: Some(identity.authority),
                    identity: Some((identity.host.clone(), identity.host)),
                }),
                members_file: Some(config.data_dir.join("etcd-members")),
            };
            // Not connected yet if etcd is away: routers and nodes work on without it.
            let etcd = Etcd::start(&etcd).await.context("could not use etcd")?;
            Ok(OpenStore {
                store: etcd.clone(),
                backend: Backend::Etcd(etcd),
            })
        }
    }
}

/// A store that is away is no reason not to start.
pub(crate) async fn refuse_unready(store: &dyn Store) -> anyhow::Result<()> {
    match tokio::time::timeout(ANSWER_WITHIN, migrate::check_ready(store)).await {
        Ok(Err(error @ (NotReady::Incoming | NotReady::Moved { .. }))) => Err(error.into()),
        _ => Ok(()),
    }
}

pub(crate) fn blob_config(config: &Config) -> BlobConfig {
    match config.blobs.clone() {
        Blobs::Local | Blobs::Shared => BlobConfig::Local {
            dir: config.data_dir.join("blobs"),
        },
        Blobs::S3 {
            bucket,
            region,
            endpoint,
            prefix,
            access_key_id,
            secret_access_key,
            allow_http,
        } => BlobConfig::S3 {
            bucket,
            region,
            endpoint,
            prefix: (!prefix.is_empty()).then_some(prefix),
            credentials: Some(S3Credentials {
                access_key_id,
                secret_access_key,
            }),
            allow_http,
        },
    }
}
