//! The one member of the cluster that is spoken with, and the move to another when it falls silent.
//!
//! The client could balance over all members by itself, but then it asks dead ones too, and notices no sooner than by a
//! ping, of which etcd allows one in five seconds, that a host has lost its power. Leases here are shorter than that. So
//! the member is looked at often, by a question that it answers by itself, and left for one that answers; what was under
//! way on it ends at once, where that is safe.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use etcd_client::Client;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::config::EtcdConfig;
use super::{members, roster};
use crate::StoreError;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a member may take to say how it is. It asks nobody and reads no disk for that.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);
/// How often the cluster is asked who its members are, where that is remembered.
const LEARN_EVERY: Duration = Duration::from_secs(60);

pub(super) struct Connection {
    config: EtcdConfig,
    /// Where members are: the configuration's, and those that the cluster told of.
    endpoints: ArcSwap<Vec<String>>,
    member: ArcSwap<Member>,
}

pub(super) struct Member {
    pub(super) client: Client,
    /// Another has taken its place: what waits for it waits in vain, most likely.
    pub(super) left: CancellationToken,
    endpoint: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    /// With the first member found that answers within `patience`. Different processes begin with different ones.
    pub(super) async fn open(config: &EtcdConfig, patience: Duration) -> Result<Self, StoreError> {
        let doing = "connecting to etcd";
        let until = Instant::now() + patience;
        let endpoints = known_endpoints(config);
        let first = rand::random_range(0..endpoints.len().max(1));
        let mut error = StoreError::unavailable(doing, "no address of a member is known");
        for endpoint in endpoints.iter().cycle().skip(first) {
            match open(config, endpoint).await {
                Ok(member) => {
                    return Ok(Self {
                        config: config.clone(),
                        member: ArcSwap::from_pointee(member),
                        endpoints: ArcSwap::from_pointee(endpoints),
                    });
                }
                Err(found) => error = found,
            }
            if Instant::now() >= until {
                break;
            }
            sleep(PAUSE).await;
        }
        Err(error)
    }

    /// With a member that may not be there: [`Connection::keep`] finds one that is.
    pub(super) async fn unseen(config: &EtcdConfig) -> Result<Self, StoreError> {
        let endpoints = known_endpoints(config);
        let Some(endpoint) = endpoints.first() else {
            let doing = "connecting to etcd";
            return Err(StoreError::unavailable(
                doing,
                "no address of a member is known",
            ));
        };
        let member = Member {
            client: config.connect(endpoint).await?,
            left: CancellationToken::new(),
            endpoint: endpoint.clone(),
        };
        Ok(Self {
            config: config.clone(),
            member: ArcSwap::from_pointee(member),
            endpoints: ArcSwap::from_pointee(endpoints),
        })
    }

    pub(super) const fn config(&self) -> &EtcdConfig {
        &self.config
    }

    pub(super) fn member(&self) -> Arc<Member> {
        self.member.load_full()
    }

    /// Looks after the connection for ever.
    pub(super) async fn keep(&self) {
        loop {
            sleep(LOOK_EVERY).await;
            let member = self.member();
            let Err(error) = look_at(&member.client).await else {
                continue;
            };
            // It comes last: its connection may be what is broken, and a new one to it be fine.
            let endpoints = self.endpoints.load_full();
            let place = endpoints.iter().position(|at| *at == member.endpoint);
            let others = endpoints.iter().cycle().skip(place.map_or(0, |at| at + 1));
            for endpoint in others.take(endpoints.len()) {
                if let Ok(next) = open(&self.config, endpoint).await {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        etcd.left = member.endpoint,
                        etcd.taken = next.endpoint,
                        "A member of etcd does not answer; goes on with another"
                    );
                    self.take(next);
                    break;
                }
            }
        }
    }

    /// The same member, with the certificate that is in the files now: a client shows the one it was made with, for ever.
    pub(super) async fn reopen(&self) -> Result<(), StoreError> {
        self.take(open(&self.config, &self.member().endpoint).await?);
        Ok(())
    }

    /// Asks the cluster who its members are, for ever, and remembers it: one that took a dead one's place is found even by
    /// a configuration from before.
    pub(super) async fn learn(&self) {
        let Some(file) = &self.config.members_file else {
            return std::future::pending().await;
        };
        loop {
            match members::list(self).await {
                Ok(listed) => {
                    let voters = listed.iter().filter(|member| !member.is_learner());
                    let told: Vec<String> = voters
                        .filter_map(|member| member.client_urls().first().cloned())
                        .collect();
                    let endpoints = roster::merge(&self.config.endpoints, &told);
                    if roster::load(file) != told {
                        roster::keep(file, &told);
                    }
                    self.endpoints.store(Arc::new(endpoints));
                }
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "Could not ask etcd for its members"
                ),
            }
            sleep(LEARN_EVERY).await;
        }
    }

    fn take(&self, next: Member) {
        let before = self.member.swap(Arc::new(next));
        before.left.cancel();
    }
}

fn known_endpoints(config: &EtcdConfig) -> Vec<String> {
    let told = config.members_file.as_deref().map(roster::load);
    roster::merge(&config.endpoints, &told.unwrap_or_default())
}

async fn open(config: &EtcdConfig, endpoint: &str) -> Result<Member, StoreError> {
    let client = config.connect(endpoint).await?;
    look_at(&client).await?;
    Ok(Member {
        client,
        left: CancellationToken::new(),
        endpoint: endpoint.to_owned(),
    })
}

/// Whether it is there, and part of a cluster that can decide.
async fn look_at(client: &Client) -> Result<(), StoreError> {
    let doing = "looking at a member of etcd";
    let mut maintenance = client.maintenance_client();
    let status = timeout(ANSWER_WITHIN, maintenance.status())
        .await
        .map_err(|elapsed| StoreError::unavailable(doing, elapsed))?
        .map_err(|error| StoreError::unavailable(doing, error))?;
    if status.leader() == 0 {
        return Err(StoreError::unavailable(doing, "it knows of no leader"));
    }
    Ok(())
}
