//! How to reach etcd.

use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use model::Secret;

use super::retry::DEADLINE;
use crate::StoreError;

/// Below etcd's own limit of one ping in 5 s (`--grpc-keepalive-min-time`), and only while a stream is open.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_DEADLINE: Duration = Duration::from_secs(5);
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdConfig {
    /// `http://10.0.0.1:2379` or `https://…`; any number of members of one cluster.
    pub endpoints: Vec<String>,
    pub user: Option<EtcdUser>,
    /// For `https://`; without it the host's certificate authorities are trusted.
    pub tls: Option<EtcdTls>,
    /// Where the cluster's members are remembered, one address to a line. With it those are used too that the cluster tells
    /// of, without it only `endpoints`.
    pub members_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdUser {
    pub name: String,
    pub password: Secret<String>,
}

/// PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdTls {
    /// Who signed etcd's certificates.
    pub ca: Option<PathBuf>,
    /// This client's own certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl EtcdConfig {
    pub(super) async fn connect(&self, endpoint: &str) -> Result<Client, StoreError> {
        let doing = "connecting to etcd";
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECT_DEADLINE)
            .with_keep_alive(PING_EVERY, PING_DEADLINE)
            .with_keep_alive_while_idle(false)
            .with_require_leader(true);
        if let Some(user) = &self.user {
            options = options
                .with_user(&user.name, user.password.expose())
                .with_auto_token_refresh(true);
        }
        if let Some(tls) = &self.tls {
            options = options.with_tls(tls.options().await?);
        } else if endpoint.starts_with("https://") {
            options = options.with_tls(TlsOptions::new().with_enabled_roots());
        }
        tokio::time::timeout(DEADLINE, Client::connect([endpoint], Some(options)))
            .await
            .map_err(|elapsed| StoreError::unavailable(doing, elapsed))?
            .map_err(|error| StoreError::unavailable(doing, error))
    }
}

impl EtcdTls {
    async fn options(&self) -> Result<TlsOptions, StoreError> {
        let mut options = match &self.ca {
            Some(ca) => TlsOptions::new().ca_certificate(Certificate::from_pem(read(ca).await?)),
            None => TlsOptions::new().with_enabled_roots(),
        };
        if let Some((certificate, key)) = &self.identity {
            options = options.identity(Identity::from_pem(
                read(certificate).await?,
                read(key).await?,
            ));
        }
        Ok(options)
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    fs_err::tokio::read(path)
        .await
        .map_err(|source| StoreError::Files {
            path: path.to_owned(),
            source: source.into(),
        })
}
